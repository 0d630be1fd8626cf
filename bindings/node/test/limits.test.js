// As whom a program runs, its own limits, and what it used.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { ExecError, InvalidError, Sandbox } from "microsandbox";

import { limit } from "./support.js";

let sandbox;
before(async () => {
  sandbox = await Sandbox.create();
}, limit);
after(() => sandbox.close(), limit);

const sh = (script, options) => sandbox.run(["sh", "-c", script], options);
const text = async (script, options) => (await sh(script, options)).stdout.toString().trim();

test("uid, gid and groups", limit, async () => {
  const ids = "id -u; id -g; id -G";
  assert.equal(await text(ids), "0\n0\n0");
  assert.equal(await text(ids, { uid: 1000, gid: 1001, groups: [1002, 20] }), "1000\n1001\n1001 1002 20");
  assert.equal(await text("grep CapEff /proc/self/status", { uid: 1000 }), `CapEff:\t${"0".repeat(16)}`);
});

test("umask, and 0 is one", limit, async () => {
  assert.equal(await text("umask"), "0022");
  assert.equal(await text("umask", { umask: 0o077 }), "0077");
  assert.equal(await text("umask", { umask: 0 }), "0000");
});

test("resource limits, soft and hard", limit, async () => {
  assert.equal(await text("ulimit -Sn; ulimit -Hn", { rlimits: { nofile: 64 } }), "64\n64");
  assert.equal(await text("ulimit -Sn; ulimit -Hn", { rlimits: { nofile: [32, 64] } }), "32\n64");
  assert.equal(await text("ulimit -Sf; ulimit -Hf", { rlimits: { fsize: [Infinity, Infinity] } }), "unlimited\nunlimited");
  assert.equal(await text("ulimit -Sn", { rlimits: {} }), await text("ulimit -Sn"));
  await assert.rejects(sh("", { rlimits: { nofile: 2 ** 40 } }), (error) => {
    assert.ok(error instanceof ExecError);
    assert.equal(error.errnoName, "EPERM");
    return true;
  });
});

test("causes of limits", limit, async (t) => {
  for (const [cause, signal, script, options] of [
    ["wall-limit", "SIGKILL", "exec sleep 300", { wallLimit: 300 }],
    ["cpu-limit", "SIGXCPU", "while :; do :; done", { rlimits: { cpu: [1, 10] } }],
    ["file-limit", "SIGXFSZ", "exec head -c 100000 /dev/zero > /tmp/large", { rlimits: { fsize: 4096 } }],
  ]) {
    await t.test(cause, async () => {
      const outcome = await sh(script, options);
      assert.deepEqual([outcome.cause, outcome.signal, outcome.exitCode], [cause, signal, null]);
      assert.equal((await sh("exit 3", options)).exitCode, 3, "a program within the limit ends by itself");
    });
  }
});

test("spawn has the same options, and the outcome what was used", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "while :; do :; done"], { uid: 1000, wallLimit: 1000 });
  const { cause, cpuTime, wallTime } = await program.wait();
  assert.equal(cause, "wall-limit");
  assert.ok(cpuTime >= 10 && cpuTime <= wallTime * 4, `${cpuTime} of ${wallTime} ms`);

  const { memoryPeak } = await sh("x=$(head -c 40000000 /dev/zero | tr '\\0' x); exit 0");
  assert.ok(memoryPeak > 40_000_000, `${memoryPeak} bytes`);
});

test("wrong ones are refused", limit, async () => {
  for (const options of [
    { uid: -1 }, { uid: 2 ** 32 }, { uid: 2 ** 32 - 1 }, { uid: "root" }, { gid: 1.5 }, { groups: 5 },
    { groups: [-1] }, { groups: ["0"] }, { umask: 0o1000 }, { umask: -1 }, { umask: 2 ** 32 - 1 }, { wallLimit: 0 },
    { rlimits: { nofiles: 1 } }, { rlimits: { nofile: -1 } }, { rlimits: { nofile: [2, 1] } },
    { rlimits: { nofile: [1] } }, { rlimits: { nofile: "1" } }, { rlimits: [1] },
  ]) {
    await assert.rejects(sh("exit 0", options), InvalidError, JSON.stringify(options));
  }
});
