// Sandboxes that are booted ahead.
import assert from "node:assert/strict";
import test from "node:test";

import { ClosedError, ExistsError, InvalidError, NotFoundError, Pool, TimedOutError, audit, listSandboxes } from "microsandbox";

import { alive, assertNothingLeft, fdCount, limit, until, withNames, withSandbox } from "./support.js";

/** Takes a sandbox, calls body with it, and closes it. */
async function withTaken(pool, body, options) {
  const sandbox = await pool.take(options);
  try {
    return await body(sandbox);
  } finally {
    await sandbox[Symbol.asyncDispose]();
  }
}

async function withPool(body, options) {
  const pool = await Pool.create(options);
  try {
    return await body(pool);
  } finally {
    await pool.close();
  }
}

const runs = (argv) => async (sandbox) => assert.equal((await sandbox.run(argv)).exitCode, 0);

test("take, run, close", limit, async () => {
  await withPool(async (pool) => {
    assert.deepEqual(await listSandboxes(), []);
    const [waiting] = await listSandboxes({ pooled: true });
    assert.equal(waiting.pooled, true);
    const sandbox = await pool.take({ name: "tenant", labels: { a: "b" } });
    try {
      assert.equal(sandbox.name, "tenant");
      assert.equal((await sandbox.run(["echo", "hi"])).stdout.toString(), "hi\n");
      const [entry] = await listSandboxes();
      assert.deepEqual([entry.name, entry.pooled, entry.pid], ["tenant", false, sandbox.pid]);
      assert.deepEqual(entry.labels, { pool: "1", a: "b" });
    } finally {
      await sandbox.close();
    }
    assert.equal(alive(sandbox.pid), false);
    const { size, taken, takenAtOnce, lastError } = pool.info();
    assert.deepEqual({ size, taken, takenAtOnce, lastError }, { size: 1, taken: 1, takenAtOnce: 1, lastError: null });
    await until(() => pool.info().ready === 1, "the next one is ready");
  }, { labels: { pool: "1" } });
  await assertNothingLeft();
});

test("what was taken outlives its pool", limit, () =>
  withNames(["free"], async (name) => {
    const sandbox = await withPool((pool) => pool.take({ name, detached: true, maxDuration: 120_000 }));
    assert.equal((await sandbox.run(["true"])).exitCode, 0);
    await sandbox.close();
    assert.deepEqual((await listSandboxes()).map((entry) => entry.name), [name]);
  }));

test("times count from the take", limit, () =>
  withPool(async (pool) => {
    const first = await pool.take();
    assert.equal((await first.wait()).cause, "max-duration");
    await first.close();
    const second = await pool.take({ maxDuration: 0, idleTimeout: 200 });
    assert.equal((await second.wait()).cause, "idle-timeout");
    await second.close();
  }, { maxDuration: 300 }));

test("names", limit, () =>
  withSandbox(() =>
    withPool(async (pool) => {
      await assert.rejects(pool.take({ name: "one" }), ExistsError);
      assert.equal(pool.info().ready, 1, "it went back");
      await withTaken(pool, runs(["true"]), { name: "one", replace: true, replaceGrace: 0 });
    }), { name: "one" }));

test("waiting ends", limit, () =>
  withPool(async (pool) => {
    const sandbox = await pool.take();
    await assert.rejects(pool.take({ timeout: 50 }), TimedOutError);
    const abort = new AbortController();
    const taking = pool.take({ signal: abort.signal });
    await until(() => pool.info().waiting === 1, "the take waits");
    abort.abort();
    await assert.rejects(taking, { name: "AbortError" });
    const [turn] = await Promise.all([pool.take(), sandbox.close()]);
    const never = pool.take();
    await until(() => pool.info().waiting === 1, "the take waits");
    const closed = pool.close();
    await assert.rejects(never, ClosedError);
    await closed;
    await turn.close();
    await assert.rejects(pool.take(), ClosedError);
    assert.throws(() => pool.info(), ClosedError);
  }, { maxSandboxes: 1 }));

test("resize and shrink", limit, () =>
  withPool(async (pool) => {
    pool.resize(2);
    assert.throws(() => pool.resize(-1), InvalidError);
    assert.throws(() => pool.resize(2000), InvalidError);
    await until(() => pool.info().shrunken, "nobody came");
    assert.equal(pool.info().ready, 0);
    await withTaken(pool, runs(["true"]));
  }, { idleShrink: 300 }));

test("what a pool cannot do", limit, async () => {
  for (const wrong of [{ name: "a" }, { name: "a", stored: true }, { detached: true }, { size: 1025 }, { size: -1 }, { sise: 1 }]) {
    await assert.rejects(Pool.create(wrong), InvalidError);
  }
  await assert.rejects(Pool.create({ root: { erofs: "/nonexistent" } }), NotFoundError);
  assert.deepEqual(await audit(), { orphans: 0, lines: [] });
  await assert.rejects(withPool((pool) => pool.take({ stored: true })), InvalidError);
});

test("many at once, and no descriptor is left", limit, async () => {
  await withSandbox(() => {}); // what the library keeps for good
  const before = fdCount();
  await withPool(async (pool) => {
    await Promise.all(Array.from({ length: 12 }, () => withTaken(pool, runs(["mkdir", "/tmp/mine"]))));
    assert.equal(pool.info().taken, 12);
  }, { size: 2, maxSandboxes: 6 });
  await until(() => fdCount() <= before, "descriptors are closed");
});
