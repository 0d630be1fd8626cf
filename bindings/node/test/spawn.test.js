// spawn: streams on the program's own pipes.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { once } from "node:events";
import { after, before, test } from "node:test";

import { ExecError, InvalidError, Sandbox } from "microsandbox";

import { collect, fdCount, limit, stateDir } from "./support.js";

let sandbox;
before(async () => {
  sandbox = await Sandbox.create();
}, limit);
after(() => sandbox.close(), limit);

test("a conversation", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "while read line; do echo got $line; done; exit 5"]);
  const received = program.stdout[Symbol.asyncIterator]();
  for (const word of ["one", "two"]) {
    program.stdin.write(`${word}\n`);
    assert.equal((await received.next()).value.toString(), `got ${word}\n`);
  }
  program.stdin.end();
  assert.equal((await program.wait()).exitCode, 5);
  assert.equal((await received.next()).done, true);
});

test("1 MiB each way, unchanged", limit, async () => {
  const input = randomBytes(2 ** 20);
  const program = await sandbox.spawn(["cat"]);
  program.stdin.end(input);
  const output = await collect(program.stdout);
  const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
  assert.equal(hash(output), hash(input));
  assert.equal((await program.wait()).exitCode, 0);
});

test("output that is read after the end is all there", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "head -c 60000 /dev/zero; echo err >&2"], { stdin: "ignore" });
  assert.equal(program.stdin, null);
  await program.wait();
  assert.equal((await collect(program.stdout)).length, 60000);
  assert.equal((await collect(program.stderr)).toString(), "err\n");
});

test("backpressure: a program whose output is not read waits, and goes on", limit, async () => {
  const program = await sandbox.spawn(["head", "-c", "4000000", "/dev/zero"]);
  await once(program.stdout, "readable");
  assert.equal((await collect(program.stdout)).length, 4000000);
});

test("signals by name and number; false after the end", limit, async () => {
  const trapping = await sandbox.spawn(["sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"]);
  await once(trapping.stdout, "data");
  assert.equal(trapping.kill("SIGUSR1"), true);
  assert.equal((await trapping.wait()).exitCode, 7);
  assert.equal(trapping.kill(), false);

  const sleeping = await sandbox.spawn(["sleep", "300"]);
  assert.throws(() => sleeping.kill("SIGNOPE"), InvalidError);
  assert.throws(() => sleeping.kill(65), InvalidError);
  assert.throws(() => sleeping.kill(2 ** 32 + 9), InvalidError);
  sleeping.kill(15);
  assert.equal((await sleeping.wait()).signal, "SIGTERM");
});

test("a given descriptor", limit, async () => {
  const path = join(stateDir, "output");
  const fd = openSync(path, "w");
  const program = await sandbox.spawn(["echo", "to a file"], { stdout: fd });
  closeSync(fd);
  assert.equal(program.stdout, null);
  assert.equal((await program.wait()).exitCode, 0);
  assert.equal(readFileSync(path, "utf8"), "to a file\n");
});

test("a program that cannot be started", limit, async () => {
  await new Promise(setImmediate); // sockets close at the end of the turn
  const fds = fdCount();
  await assert.rejects(sandbox.spawn(["/nonexistent"]), (error) => {
    assert.ok(error instanceof ExecError);
    assert.equal(error.errnoName, "ENOENT");
    return true;
  });
  await new Promise(setImmediate);
  assert.equal(fdCount(), fds);
  for (const stdout of ["file", -1, 1.5, null]) {
    await assert.rejects(sandbox.spawn(["true"], { stdout }), InvalidError);
  }
});

test("close ends the program", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "trap '' TERM; sleep 300"]);
  await program.close();
  assert.equal((await program.wait()).signal, "SIGKILL");
  await program[Symbol.asyncDispose]();
});

test("AbortSignal kills a spawned program", limit, async () => {
  const controller = new AbortController();
  const program = await sandbox.spawn(["sleep", "300"], { signal: controller.signal });
  controller.abort();
  assert.equal((await program.wait()).signal, "SIGKILL");
  await assert.rejects(sandbox.spawn(["true"], { signal: controller.signal }), { name: "AbortError" });
});

test("a program whose sandbox ends under it", limit, async () => {
  const other = await Sandbox.create();
  const running = other.run(["sh", "-c", "touch /tmp/running; exec sleep 300"]);
  const program = await other.spawn(["sh", "-c", "until [ -e /tmp/running ]; do sleep 0.02; done; echo; exec sleep 300"]);
  await once(program.stdout, "data");
  other.kill();
  assert.equal((await program.wait()).cause, "sandbox-ended");
  assert.equal((await running).cause, "sandbox-ended");
  await other.close();
});
