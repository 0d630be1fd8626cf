// The life of a sandbox.
import assert from "node:assert/strict";
import test from "node:test";

import {
  ClosedError, ExistsError, InvalidError, NotFoundError, Sandbox, listSandboxes, probe,
} from "microsandbox";

import { alive, assertNothingLeft, limit, stateDir, withSandbox } from "./support.js";

test("create gives a name, a pid and what is enforced", limit, () =>
  withSandbox(async (sandbox) => {
    assert.match(sandbox.name, /^msb-[0-9a-f]{12}$/);
    assert.ok(alive(sandbox.pid));
    const info = await sandbox.info();
    assert.equal(info.state, "running");
    assert.equal(info.pid, sandbox.pid);
    assert.equal(info.attached, true);
    assert.equal(info.owner, true);
    assert.equal(info.memory, 512 * 2 ** 20);
    assert.notEqual(info.engine, "auto");
    assert.match(info.receipt, /^[^:\n]+: .+/);
  }));

test("listSandboxes and open find a sandbox by name", limit, () =>
  withSandbox(async (sandbox) => {
    const [entry, ...more] = await listSandboxes();
    assert.deepEqual(more, []);
    assert.equal(entry.name, "näme");
    assert.equal(entry.pid, sandbox.pid);
    assert.deepEqual(await listSandboxes({ stateDir: Buffer.from(stateDir) }), [entry]);

    const other = await Sandbox.open("näme");
    assert.equal(other.pid, sandbox.pid);
    const { stdout } = await other.run(["echo", "through a second handle"]);
    assert.equal(stdout.toString(), "through a second handle\n");
    assert.equal((await other.info()).owner, false);
    await other.close();
    assert.ok(alive(sandbox.pid), "closing a handle that does not own leaves the sandbox");
    assert.equal((await sandbox.run(["true"])).exitCode, 0);
  }, { name: "näme" }));

test("a name in use, a bad name and an unknown one are told apart", limit, () =>
  withSandbox(async () => {
    await assert.rejects(Sandbox.create({ name: "taken" }), ExistsError);
    await assert.rejects(Sandbox.create({ name: "a/b" }), InvalidError);
    await assert.rejects(Sandbox.create({ name: "a\0b" }), InvalidError);
    await assert.rejects(Sandbox.open("nobody"), NotFoundError);
    await assert.rejects(Sandbox.open(), InvalidError);
  }, { name: "taken" }));

test("wrong options are refused before anything starts", limit, async () => {
  for (const options of [
    { memroy: 1 }, { memory: -1 }, { memory: 0 }, { memory: 1.5 }, { memory: "1" }, { engine: "none" }, { root: "/" },
    { root: { dir: "/", erofs: "/" } }, { root: null }, { name: 7 }, { stopGrace: -1 }, { startTimeout: NaN },
    { mounts: {} }, { mounts: [null] }, { mounts: [{ target: "/a" }] }, { mounts: [{ bind: "/usr" }] },
    { mounts: [{ bind: "/usr", tmpfs: true, target: "/a" }] }, { mounts: [{ tmpfs: false, target: "/a" }] },
    { mounts: [{ bind: "/usr", target: "/proc" }] }, { mounts: [{ bind: "/usr", target: "/a", readonly: true }] },
    { mounts: [{ bind: "/usr", target: "/a", readOnly: 1 }] }, { mounts: [{ tmpfs: true, target: "/a", size: -1 }] },
    { logMax: 1000 }, { metricsInterval: -1 }, { metricsInterval: 0.5 },
  ]) {
    await assert.rejects(Sandbox.create(options), InvalidError, JSON.stringify(options));
  }
  await assertNothingLeft();
});

test("a root that is missing fails with its errno, and leaves nothing", limit, async () => {
  await assert.rejects(Sandbox.create({ root: { dir: "/nonexistent" } }), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.errnoName, "ENOENT");
    assert.equal(error.stage, "root");
    assert.match(error.stack, /sandbox\.test\.js/);
    return true;
  });
  await assertNothingLeft();
});

test("wait tells how the sandbox ended", limit, async (t) => {
  for (const [verb, cause] of [["stop", "stopped"], ["drain", "drained"], ["kill", "killed"]]) {
    await t.test(verb, () =>
      withSandbox(async (sandbox) => {
        const waits = [sandbox.wait(), sandbox.wait()];
        assert.equal(sandbox[verb](), true);
        for (const outcome of await Promise.all(waits)) assert.equal(outcome.cause, cause);
        assert.equal((await sandbox.wait()).cause, cause, "the outcome stays");
        assert.equal(sandbox[verb](), false, "there is nothing left to act on");
      }));
  }
});

test("close is idempotent, gives waiters the outcome, and closes the object", limit, async () => {
  const sandbox = await Sandbox.create();
  const waiting = sandbox.wait();
  await Promise.all([sandbox.close(), sandbox.close()]);
  assert.equal((await waiting).cause, "stopped");
  assert.equal(alive(sandbox.pid), false);
  await sandbox.close();
  assert.throws(() => sandbox.kill(), ClosedError);
  await assert.rejects(sandbox.run(["true"]), ClosedError);
  await assert.rejects(sandbox.info(), ClosedError);
  await assertNothingLeft();
});

test("Symbol.asyncDispose is close", limit, async () => {
  const sandbox = await Sandbox.create();
  await sandbox[Symbol.asyncDispose]();
  assert.equal(alive(sandbox.pid), false);
});

test("a disarmed sandbox outlives close, and is ended through a second handle", limit, async () => {
  const sandbox = await Sandbox.create({ name: "detached" });
  await sandbox.disarm();
  await sandbox.disarm();
  await sandbox.close();
  assert.ok(alive(sandbox.pid));
  const other = await Sandbox.open("detached");
  assert.equal((await other.info()).attached, false);
  assert.equal(other.kill(), true);
  await other.wait();
  await other.close();
  await assertNothingLeft();
});

test("an aborted creation rejects with the reason and leaves nothing", limit, async (t) => {
  await t.test("before", async () => {
    await assert.rejects(Sandbox.create({ signal: AbortSignal.abort() }), { name: "AbortError" });
  });
  await t.test("during", async () => {
    const controller = new AbortController();
    const creating = Sandbox.create({ signal: controller.signal, name: "aborted" });
    const reason = new Error("no longer wanted");
    setImmediate(() => controller.abort(reason));
    await assert.rejects(creating, reason);
    await withSandbox(() => {}, { name: "aborted" }); // the name is free again
  });
  await t.test("after: nothing happens", async () => {
    const controller = new AbortController();
    await withSandbox(async (sandbox) => {
      controller.abort();
      assert.equal((await sandbox.run(["true"])).exitCode, 0);
    }, { signal: controller.signal });
  });
  await assertNothingLeft();
});

test("probe tells what would be enforced, or why not", limit, async () => {
  assert.match((await probe()).receipt, /: /);
  await assert.rejects(probe({ root: { dir: "/nonexistent" } }), NotFoundError);
  await assertNothingLeft();
});
