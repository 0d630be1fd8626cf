// run: collects output; a non-zero exit is a value, what never started is an exception.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";

import { ExecError, InvalidError, Sandbox, TimedOutError } from "microsandbox";

import { limit } from "./support.js";

let sandbox;
before(async () => {
  sandbox = await Sandbox.create();
}, limit);
after(() => sandbox.close(), limit);

const sh = (script, options) => sandbox.run(["sh", "-c", script], options);

test("output, errors and exit code", limit, async () => {
  const { wallTime, cpuTime, memoryPeak, ...result } = await sh("echo out; echo err >&2; exit 3");
  assert.deepEqual(result, {
    exitCode: 3,
    signal: null,
    cause: "exited",
    stdout: Buffer.from("out\n"),
    stderr: Buffer.from("err\n"),
    truncated: false,
    limitsHit: [],
  });
  assert.ok(wallTime > 0);
  assert.ok(cpuTime >= 0);
  assert.ok(memoryPeak > 0);
});

test("a program ended by a signal", limit, async () => {
  const { exitCode, signal, cause } = await sh("kill -TERM $$");
  assert.deepEqual({ exitCode, signal, cause }, { exitCode: null, signal: "SIGTERM", cause: "signaled" });
});

test("input, and its end", limit, async () => {
  assert.equal((await sandbox.run(["cat"], { input: "grüße" })).stdout.toString(), "grüße");
  assert.equal((await sandbox.run(["cat"], { input: "" })).stdout.length, 0);
  assert.equal((await sandbox.run(["cat"])).stdout.length, 0, "without input stdin is empty");
});

test("1 MiB each way, unchanged", limit, async () => {
  const input = randomBytes(2 ** 20);
  const { stdout } = await sandbox.run(["cat"], { input });
  assert.equal(stdout.length, input.length);
  const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
  assert.equal(hash(stdout), hash(input));
});

test("a program that does not read its input", limit, async () => {
  assert.equal((await sandbox.run(["true"], { input: Buffer.alloc(2 ** 20) })).exitCode, 0);
});

test("env, clearEnv and cwd", limit, async () => {
  const env = async (options) => (await sandbox.run(["/usr/bin/env"], options)).stdout.toString().trim().split("\n").sort();
  const plain = await env({ env: { A: "1" } });
  for (const line of ["A=1", "HOME=/root", "LANG=C.UTF-8"]) assert.ok(plain.includes(line), line);
  assert.ok(plain.some((line) => line.startsWith("PATH=")));
  assert.deepEqual(await env({ env: ["B=2", Buffer.from("C=3")], clearEnv: true }), ["B=2", "C=3"]);
  assert.equal((await sandbox.run(["pwd"], { cwd: "/usr" })).stdout.toString(), "/usr\n");
});

test("bytes that are not UTF-8 reach the program and come back", limit, async () => {
  const bytes = Buffer.from([0xff, 0xfe, 0x80, 0x41]);
  const echoed = await sandbox.run(["printf", "%s", bytes]);
  assert.deepEqual(echoed.stdout, bytes);
  const fromEnv = await sh('printf %s "$X"', { env: { X: bytes } });
  assert.deepEqual(fromEnv.stdout, bytes);
});

test("a program that cannot be started is an exception with errno and stage", limit, async (t) => {
  for (const [name, argv, options, errnoName, stage] of [
    ["missing", ["/nonexistent"], {}, "ENOENT", "exec"],
    ["not in PATH", ["no-such-program"], {}, "ENOENT", "exec"],
    ["not executable", ["/etc/passwd"], {}, "EACCES", "exec"],
    ["bad cwd", ["true"], { cwd: "/nonexistent" }, "ENOENT", "cwd"],
  ]) {
    await t.test(name, () =>
      assert.rejects(sandbox.run(argv, options), (error) => {
        assert.ok(error instanceof ExecError);
        assert.deepEqual([error.errnoName, error.stage], [errnoName, stage]);
        assert.match(error.stack, /run\.test\.js/);
        return true;
      }));
  }
});

test("wrong arguments", limit, async () => {
  for (const [argv, options] of [
    [[], {}], [undefined, {}], ["ls", {}], [["a\0b"], {}], [[1], {}], [["true"], { tiemout: 1 }],
    [["true"], { timeout: 0 }], [["true"], { timeout: 2 ** 31 }], [["true"], { maxOutput: -1 }],
    [["true"], { input: 5 }], [["true"], { env: { "A=B": "1" } }], [["true"], { env: { A: 1 } }],
    [["true"], { env: "A=1" }], [["true"], { stdout: "ignore" }],
  ]) {
    await assert.rejects(sandbox.run(argv, options), InvalidError, JSON.stringify([argv, options]));
  }
});

test("maxOutput caps what is kept, not what is read", limit, async () => {
  const { stdout, stderr, exitCode, truncated } = await sh("head -c 300000 /dev/zero; echo end >&2", { maxOutput: 1000 });
  assert.deepEqual([stdout.length, stderr.toString(), exitCode, truncated], [1000, "end\n", 0, true]);
  const exact = await sh("head -c 1000 /dev/zero", { maxOutput: 1000 });
  assert.deepEqual([exact.stdout.length, exact.truncated], [1000, false]);
  const none = await sh("echo x", { maxOutput: 0 });
  assert.deepEqual([none.stdout.length, none.truncated], [0, true]);
});

test("a child that holds the output is not waited for, and nothing written is lost", limit, async () => {
  const began = Date.now();
  const { stdout } = await sh("sleep 300 & head -c 50000 /dev/zero; echo end");
  assert.equal(stdout.length, 50004);
  assert.ok(Date.now() - began < 60_000);
});

test("timeout kills, and keeps what was written", limit, async () => {
  await assert.rejects(sh("echo begun; exec sleep 300", { timeout: 1000 }), (error) => {
    assert.ok(error instanceof TimedOutError);
    assert.equal(error.partial.signal, "SIGKILL");
    assert.equal(error.partial.stdout.toString(), "begun\n");
    return true;
  });
  assert.equal((await sh("exit 4", { timeout: 60_000 })).exitCode, 4);
});

test("AbortSignal kills", limit, async (t) => {
  await t.test("before", async () => {
    await assert.rejects(sh("exit 0", { signal: AbortSignal.abort() }), { name: "AbortError" });
  });
  await t.test("while it starts", async () => {
    const controller = new AbortController();
    const running = sh("exec sleep 300", { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assert.rejects(running, { message: "enough" });
  });
  await t.test("while it runs", async () => {
    const controller = new AbortController();
    const running = sh("exec sleep 300", { signal: controller.signal });
    setTimeout(() => controller.abort(), 200);
    await assert.rejects(running, { name: "AbortError" });
  });
  await t.test("after: nothing happens", async () => {
    const controller = new AbortController();
    assert.equal((await sh("exit 0", { signal: controller.signal })).exitCode, 0);
    controller.abort();
  });
});
