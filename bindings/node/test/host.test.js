// Hosts that behave badly: worker threads that vanish, exits without close, signal storms.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { alive, assertNothingLeft, collect, fdCount, limit, until, untilDead, withSandbox } from "./support.js";

const fixture = (name) => fileURLToPath(new URL(`../testdata/${name}`, import.meta.url));

function node(script, ...args) {
  const child = spawn(process.execPath, [fixture(script), ...args], { stdio: ["ignore", "pipe", "inherit"] });
  child.output = collect(child.stdout).then((bytes) => bytes.toString());
  child.ended = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  return child;
}

test("several worker threads use the library at once", limit, async () => {
  await withSandbox(async (sandbox) => {
    const workers = Array.from({ length: 3 }, () => new Worker(fixture("worker.js"), { workerData: { mode: "run" } }));
    const greetings = workers.map((worker) => once(worker, "message"));
    assert.equal((await sandbox.run(["echo", "main"])).stdout.toString(), "main\n");
    const messages = await Promise.all(greetings);
    assert.deepEqual(messages.flat(), Array(3).fill("hello from a worker\n"));
    for (const worker of workers) await worker.terminate();
  });
  await assertNothingLeft();
});

test("the sandboxes of a worker end with it", limit, async (t) => {
  for (const mode of ["leave", "terminate", "opening"]) {
    await t.test(mode, async () => {
      const fds = fdCount();
      const worker = new Worker(fixture("worker.js"), { workerData: { mode } });
      const exited = once(worker, "exit");
      const [pid] = await once(worker, "message");
      assert.ok(mode === "leave" || alive(pid));
      if (mode !== "leave") await worker.terminate();
      await exited;
      await untilDead(pid);
      await until(() => fdCount() <= fds, `${fds} descriptors again`);
    });
  }
  await assertNothingLeft();
});

test("a process that exits with open sandboxes leaves nothing", limit, async (t) => {
  for (const how of ["exit", "throw", "kill", "fall off the end"]) {
    await t.test(how, async () => {
      const child = node("exit.js", how);
      const pids = JSON.parse((await child.output).split("\n")[0]);
      assert.equal(pids.length, 2);
      await child.ended;
      for (const pid of pids) await untilDead(pid);
      await assertNothingLeft();
    });
  }
});

test("unref lets the process end while a program runs and a wait is pending", limit, async () => {
  const child = node("unref.js");
  assert.deepEqual(await child.ended, { code: 0, signal: null });
  await untilDead(Number(await child.output));
});

test("a program on the host's own descriptors", limit, async () => {
  const child = spawn(process.execPath, [fixture("inherit.js")]);
  child.stdin.end("from the host\n");
  const [stdout, stderr] = await Promise.all([collect(child.stdout), collect(child.stderr)]);
  assert.equal(stdout.toString(), "from the host\n");
  assert.equal(stderr.toString(), "");
});

test("a storm of signals on the host harms nothing", limit, async () => {
  const child = node("storm.js");
  const { code, signal } = await child.ended;
  assert.deepEqual({ code, signal }, { code: 0, signal: null });
  const { received, results } = JSON.parse(await child.output);
  assert.ok(received > 100, `only ${received} signals arrived`);
  assert.deepEqual(results, ["0", "1", "2"]);
  await assertNothingLeft();
});


test("no free descriptors: an error each time, and all works again afterwards", limit, async () => {
  const child = spawn("sh", ["-c", 'ulimit -n 512; exec "$0" "$1"', process.execPath, fixture("no-fds.js")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { codes, exitCode } = JSON.parse(await collect(child.stdout));
  assert.ok(codes.includes("MSB_E_LIMIT"), `${codes}`);
  assert.equal(exitCode, 6);
  await assertNothingLeft();
});
