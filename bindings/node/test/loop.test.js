// Nothing blocks the event loop or its pool, and nothing piles up.
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import test from "node:test";
import v8 from "node:v8";
import vm from "node:vm";

import { Sandbox } from "microsandbox";

import { assertNothingLeft, fdCount, limit, rssBytes, threadCount, withSandbox } from "./support.js";

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

test("many programs at once", limit, () =>
  withSandbox(async (sandbox) => {
    const results = await Promise.all(
      Array.from({ length: 32 }, (_, i) => sandbox.run(["sh", "-c", `cat; exit ${i}`], { input: `${i}` })),
    );
    results.forEach(({ exitCode, stdout }, i) => assert.deepEqual([exitCode, stdout.toString()], [i, `${i}`]));
  }));

test("fs.stat is as fast while 8 waits are pending", limit, () =>
  withSandbox(async (sandbox) => {
    const programs = await Promise.all(
      Array.from({ length: 8 }, () => sandbox.spawn(["sleep", "300"], { stdout: "ignore", stderr: "ignore" })),
    );
    const waits = [...programs.map((program) => program.wait()), sandbox.wait()];
    const times = [];
    for (let i = 0; i < 100; i++) {
      const began = performance.now();
      await stat("/");
      times.push(performance.now() - began);
    }
    // A wait on the pool would block its four threads until the programs end.
    assert.ok(median(times) < 20, `fs.stat took ${median(times)} ms`);
    sandbox.kill();
    await Promise.all(waits);
  }));

test("the loop turns while a sandbox is created", limit, async () => {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  await withSandbox((sandbox) => sandbox.run(["true"]));
  clearInterval(timer);
  assert.ok(longest < 500, `the loop stood still for ${longest} ms`);
});

test("50 cycles leave descriptors, threads and memory as they were", { timeout: 300_000 }, async () => {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc");
  const cycle = async () => {
    const sandbox = await Sandbox.create();
    await sandbox.run(["cat"], { input: "x" });
    const program = await sandbox.spawn(["true"]);
    await program.wait();
    await program.close();
    await sandbox.close();
    await new Promise(setImmediate);
  };
  for (let i = 0; i < 5; i++) await cycle();
  gc();
  const before = { fds: fdCount(), threads: threadCount(), rss: rssBytes() };
  for (let i = 0; i < 50; i++) await cycle();
  gc();
  assert.equal(fdCount(), before.fds);
  // Go's runtime may add a thread now and then, and keeps it; not one per cycle.
  assert.ok(threadCount() <= before.threads + 5, `${threadCount()} threads, before ${before.threads}`);
  assert.ok(rssBytes() - before.rss < 24 * 2 ** 20, `RSS grew by ${rssBytes() - before.rss} bytes`);
  await assertNothingLeft();
});
