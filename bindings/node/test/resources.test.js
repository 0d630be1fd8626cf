// Limits of a sandbox as a whole, of a program's output, and how an outcome names them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidError, Sandbox } from "microsandbox";

import { limit } from "./support.js";

const within = async (options, use) => {
  const sandbox = await Sandbox.create(options);
  try {
    await use(sandbox, (script, more) => sandbox.run(["sh", "-c", script], more));
  } finally {
    await sandbox.close();
  }
};

test("limits of a sandbox are told, and named when met", limit, () =>
  within({ maxProcesses: 8, maxOpenFiles: 100, cpuTimeLimit: 60_000 }, async (sandbox, sh) => {
    const { maxProcesses, maxOpenFiles, cpuTimeLimit, cpus, cpuWeight, receipt } = await sandbox.info();
    assert.deepEqual([maxProcesses, maxOpenFiles, cpuTimeLimit, cpus, cpuWeight], [8, 100, 60_000, null, null]);
    assert.match(receipt, /^limits: at most 8 processes/m);
    const free = await sh("ulimit -Hn");
    assert.deepEqual([free.stdout.toString(), free.limitsHit], ["100\n", []]);
    const { limitsHit } = await sh("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 >/dev/null 2>&1 & done 2>/dev/null; :");
    assert.deepEqual(limitsHit, ["processes"]);
  }));

test("outputLimit ends a program", limit, () =>
  within({}, async (_, sh) => {
    const { cause, limitsHit, stdout } = await sh("yes; :", { outputLimit: 5000 });
    assert.deepEqual([cause, limitsHit, stdout.length], ["output-limit", ["output"], 5000]);
  }));

test("cpuTimeLimit ends a sandbox with its programs", limit, () =>
  within({ cpuTimeLimit: 300 }, async (_, sh) => {
    const { cause, limitsHit } = await sh("while :; do :; done");
    assert.deepEqual([cause, limitsHit], ["cpu-time", ["cpu-time"]]);
  }));

test("limits that cannot be", limit, async () => {
  for (const options of [
    { cpus: 0 }, { cpus: -1 }, { cpus: NaN }, { cpuWeight: 0 }, { cpuWeight: 10_001 }, { cpuTimeLimit: 0 }, { cpuTimeLimit: 1 },
    { maxProcesses: 2 ** 20 }, { maxOpenFiles: 1 },
  ]) {
    await assert.rejects(Sandbox.create(options), InvalidError, JSON.stringify(options));
  }
  await within({}, async (_, sh) => {
    await assert.rejects(async () => sh("", { outputLimit: 0 }), InvalidError);
  });
});
