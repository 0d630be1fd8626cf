// Metrics: what a sandbox uses, as its supervisor last measured it.
import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { ClosedError, NotFoundError, Sandbox, metrics } from "microsandbox";

import { limit, stateDir, withSandbox } from "./support.js";

const orNone = (error) => {
  if (error instanceof NotFoundError) return null;
  throw error;
};

/** The first sample that passes; fails after 30 s. Samples give no event. */
async function sampleOf(sandbox, passes) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const sample = await sandbox.metrics().catch(orNone);
    if (sample !== null && passes(sample)) return sample;
    assert.ok(Date.now() < deadline, `not after 30 s: ${passes}, but ${JSON.stringify(sample)}`);
    await delay(20);
  }
}

test("a program's use is measured", limit, () =>
  withSandbox(async (sandbox) => {
    const began = Date.now();
    const program = await sandbox.spawn(["sh", "-c", "while :; do :; done"]);
    const sample = await sampleOf(sandbox, ({ programs, cpuTime }) => programs === 1 && cpuTime > 100);
    assert.equal(sample.name, "measured");
    assert.equal(sample.pid, sandbox.pid);
    assert.ok(Math.abs(sample.sampledAt - began) < 60_000);
    assert.ok(sample.uptime > 100);
    assert.ok(sample.memoryUsed > 2 ** 20 && sample.memoryUsed <= sample.memoryLimit);
    assert.equal(sample.memoryLimit, 256 * 2 ** 20);
    assert.equal(sample.overlayLimit, 64 * 2 ** 20);
    for (const [name, value] of Object.entries(sample)) {
      assert.notEqual(value, null, name);
      assert.ok(!Number.isNaN(value), name);
    }

    const after = await sampleOf(sandbox, ({ sampledAt }) => sampledAt > sample.sampledAt);
    assert.ok(after.cpuTime >= sample.cpuTime && after.uptime > sample.uptime);

    const [listed, ...more] = await metrics({ stateDir: Buffer.from(stateDir) });
    assert.deepEqual([listed.name, listed.pid, more], ["measured", sandbox.pid, []]);
    await program.close();
  }, { name: "measured", metricsInterval: 100, memory: 256 * 2 ** 20, overlay: 64 * 2 ** 20 }));

test("metricsInterval 0: there is no sample", limit, () =>
  withSandbox(async (sandbox) => {
    await withSandbox((sampled) => sampleOf(sampled, () => true), { metricsInterval: 50 });
    await assert.rejects(sandbox.metrics(), NotFoundError);
    assert.deepEqual(await metrics(), []);
  }, { metricsInterval: 0 }));

test("a closed object has none", limit, async () => {
  const sandbox = await Sandbox.create();
  await sandbox.close();
  await assert.rejects(sandbox.metrics(), ClosedError);
});
