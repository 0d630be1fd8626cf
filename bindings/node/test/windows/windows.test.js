// The package on Windows: `node --test windows.test.js` with MSB_NODE_ADDON set, as
// tests/windows does under wine. MSB_TEST_GUEST is the program that the sandboxes run.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test as always } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import { Pool, Sandbox, audit, listSandboxes, probe, removeSandbox, setLogFd, version } from "../../index.js";

const skip = process.platform !== "win32" && "needs Windows: tests/windows runs it under wine";
const test = (name, body) => always(name, { skip }, body);
const guest = process.env.MSB_TEST_GUEST;
/** More than ASCII. */
const stateDir = mkdtempSync(join(tmpdir(), "grüße-"));
after(() => rmSync(stateDir, { recursive: true, force: true, maxRetries: 20 }));
const job = { engine: "job", stateDir };

async function withSandbox(body, options) {
  const sandbox = await Sandbox.create({ ...job, ...options });
  try {
    return await body(sandbox);
  } finally {
    await sandbox.close();
  }
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("auto is refused, and leaves nothing", async () => {
  assert.match(version(), /^\d+\.\d+\.\d+$/);
  await assert.rejects(Sandbox.create({ stateDir }), { code: "MSB_E_UNSUPPORTED", message: /MSB_ENGINE_JOB/ });
  assert.deepEqual(await listSandboxes({ stateDir }), []);
  assert.equal((await probe(job)).engine, "job");
});

test("run", () =>
  withSandbox(
    async (box) => {
      assert.equal(box.name, "läuft");
      const said = await box.run([guest, "guest", "say"]);
      assert.deepEqual([said.stdout.toString(), said.stderr.toString(), said.exitCode], ["to stdout", "to stderr", 0]);
      assert.equal((await box.run(["cmd.exe", "/c", "exit 300"])).exitCode, 300);
      await assert.rejects(box.run(["no-such-program"]), { code: "MSB_E_EXEC" });
    },
    { name: "läuft" },
  ));

test("megabytes", () =>
  withSandbox(async (box) => {
    const input = randomBytes(3 << 20);
    const all = await box.run([guest, "guest", "copy"], { input });
    assert.equal(all.exitCode, 3);
    assert.ok(input.equals(all.stdout));
    const capped = await box.run([guest, "guest", "copy"], { input, maxOutput: 1000 });
    assert.ok(capped.truncated && input.subarray(0, 1000).equals(capped.stdout));
    assert.equal((await box.run(["cmd.exe", "/c", "exit 0"], { input })).exitCode, 0);
    const runs = await Promise.all([1, 2, 3, 4].map(() => box.run([guest, "guest", "copy"], { input })));
    assert.ok(runs.every((run) => input.equals(run.stdout)));
  }));

test("a run that takes too long", () =>
  withSandbox(async (box) => {
    await assert.rejects(box.run([guest, "guest", "wait"], { timeout: 1500 }), (error) => {
      assert.equal(error.code, "MSB_E_TIMED_OUT");
      return /^\d+/.test(error.partial.stdout.toString());
    });
    const controller = new AbortController();
    const run = box.run([guest, "guest", "wait"], { signal: controller.signal });
    while ((await box.info()).programs === 0) await delay(50);
    controller.abort();
    await assert.rejects(run, { name: "AbortError" });
    assert.equal((await box.info()).programs, 0);
  }));

test("streams", () =>
  withSandbox(async (box) => {
    const program = await box.spawn([guest, "guest", "copy"], { stdin: "pipe", stdout: "pipe" });
    const text = collect(program.stdout);
    program.stdin.write("one ");
    program.stdin.end("two");
    assert.equal(await text, "one two");
    assert.equal((await program.wait()).exitCode, 3);
    await program.close();
    const left = await box.spawn([guest, "guest", "wait"], { stdin: "pipe", stdout: "pipe" });
    assert.ok(left.kill("SIGKILL"));
    assert.equal((await left.wait()).signal, "SIGKILL");
    await left.close();
  }));

test("given files", async () => {
  const path = join(stateDir, "out");
  const fd = openSync(path, "w");
  try {
    await withSandbox(async (box) => {
      const program = await box.spawn([guest, "guest", "say"], { stdout: fd, stderr: fd });
      assert.equal((await program.wait()).exitCode, 0);
    });
    await assert.rejects(
      withSandbox((box) => box.spawn([guest, "guest", "say"], { stdout: 9999 })),
      { code: "MSB_E_INVALID", message: /not a descriptor/ },
    );
  } finally {
    closeSync(fd);
  }
  assert.equal(readFileSync(path, "utf8").length, "to stdoutto stderr".length);
});

test("logs", () =>
  withSandbox(async (box) => {
    const program = await box.spawn([guest, "guest", "say"], { stdout: "log", stderr: "log" });
    assert.equal((await program.wait()).exitCode, 0);
    const said = {};
    for await (const entry of box.logs({ program: program.number })) said[entry.source] = entry.data.toString();
    assert.deepEqual(said, { stdout: "to stdout", stderr: "to stderr" });
    for await (const entry of box.logs({ follow: true })) {
      assert.ok(entry);
      break; // with a read under way
    }
  }));

test("a log of actions", async () => {
  const path = join(stateDir, "actions");
  const fd = openSync(path, "w");
  setLogFd(fd);
  try {
    await withSandbox(async () => {}, { name: "told" });
  } finally {
    setLogFd(null);
    closeSync(fd);
  }
  assert.match(readFileSync(path, "utf8"), /told/);
});

test("detached and stored", async () => {
  const box = await Sandbox.create({ ...job, name: "kept", detached: true, stored: true, maxDuration: 120_000 });
  await box.close();
  assert.deepEqual((await listSandboxes({ stateDir })).map((entry) => entry.name), ["kept"]);
  const again = await Sandbox.open("kept", { stateDir });
  assert.equal((await again.run(["cmd.exe", "/c", "exit 4"])).exitCode, 4);
  assert.ok(again.stop(0));
  assert.equal((await again.wait()).cause, "stopped");
  await again.close();
  await removeSandbox("kept", { stateDir });
  assert.equal((await audit({ stateDir })).orphans, 0);
});

test("pools and terminals are refused", () =>
  withSandbox(async (box) => {
    await assert.rejects(Pool.create({ size: 1, ...job }), { code: "MSB_E_UNSUPPORTED" });
    await assert.rejects(box.spawn(["cmd.exe"], { pty: true }), { code: "MSB_E_UNSUPPORTED" });
  }));

test("a worker that ends in the middle of waits", async () => {
  const index = new URL("../../index.js", import.meta.url).href;
  const code = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.index).then(async ({ Sandbox }) => {
      const box = await Sandbox.create(workerData.job);
      const program = await box.spawn([workerData.guest, "guest", "wait"], { stdout: "pipe" });
      box.wait().catch(() => {});
      parentPort.postMessage(box.name);
    });`;
  const worker = new Worker(code, { eval: true, workerData: { index, job, guest } });
  const name = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await worker.terminate();
  for (const end = Date.now() + 30_000; (await listSandboxes({ stateDir })).some((e) => e.name === name); ) {
    assert.ok(Date.now() < end, "the worker's sandbox has ended with it");
    await delay(50);
  }
});
