// Sandboxes that live on without their owner, and what ends them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { ClosedError, ExistsError, InvalidError, Sandbox, audit, listSandboxes, probe } from "microsandbox";

import { EVENT } from "../lib/names.js";
import { native } from "../lib/native.js";
import { sandboxOptions } from "../lib/options.js";
import { Watch } from "../lib/watch.js";
import { alive, assertNothingLeft, detached, limit, untilDead, withNames, withSandbox } from "./support.js";

const fixture = fileURLToPath(new URL("../testdata/detach.js", import.meta.url));
const msb = fileURLToPath(new URL("../native/msb", import.meta.url));

test("a detached sandbox outlives its owner's process and is ended by another", limit, () =>
  withNames(["orphan"], async (name) => {
    const pid = Number(execFileSync(process.execPath, [fixture, name], { encoding: "utf8" }));
    const sandbox = await Sandbox.open(name);
    assert.equal(sandbox.pid, pid);
    const { attached, owner, programs } = await sandbox.info();
    assert.deepEqual({ attached, owner, programs }, { attached: false, owner: false, programs: 1 });
    assert.equal((await sandbox.run(["echo", "still here"])).stdout.toString(), "still here\n");
    const waiting = sandbox.wait();
    assert.equal(sandbox.kill(), true);
    assert.equal((await waiting).cause, "killed");
    await sandbox.close();
    await untilDead(pid);
    await assertNothingLeft();
  }));

test("closing a detached sandbox leaves it running", limit, () =>
  withNames(["left"], async (name) => {
    const sandbox = await Sandbox.create({ name, ...detached });
    const { attached, owner } = await sandbox.info();
    assert.deepEqual({ attached, owner }, { attached: false, owner: true });
    const waiting = assert.rejects(sandbox.wait(), ClosedError);
    await sandbox.close();
    await waiting;
    assert.ok(alive(sandbox.pid));
    assert.throws(() => sandbox.kill(), ClosedError);
    const [{ attached: listed, pid }] = await listSandboxes();
    assert.deepEqual({ listed, pid }, { listed: false, pid: sandbox.pid });
    const { orphans, lines } = await audit();
    assert.equal(orphans, 0);
    assert.ok(lines.some((line) => line.startsWith("supervisor: ") && line.includes(name)), lines.join("\n"));
  }));

test("the descriptor for the end of a detached sandbox becomes readable at close, not before", limit, () =>
  withNames(["descriptor"], async (name) => {
    const handle = native.sandboxCreate(sandboxOptions({ name, ...detached }));
    let released = false;
    const done = new Watch(handle, EVENT.done);
    done.fired.then(() => (released = true));
    await new Watch(handle, EVENT.ready).fired;
    const other = await Sandbox.open(name);
    await other.run(["true"]);
    assert.equal(released, false);
    native.close(handle);
    await done.fired;
    assert.ok(alive(other.pid));
    await other.close();
  }));

test("a sandbox that the user detached outlives close, waited for or not", limit, async (t) => {
  for (const waited of [false, true]) {
    await t.test(`waited for: ${waited}`, () =>
      withNames(["taken-over"], async (name) => {
        const sandbox = await Sandbox.create({ name, maxDuration: 120_000 });
        const waiting = waited && assert.rejects(sandbox.wait(), ClosedError);
        execFileSync(msb, ["detach", name]);
        await sandbox.close();
        await waiting;
        assert.ok(alive(sandbox.pid));
      }));
  }
});

test("idleTimeout ends a sandbox that does nothing, and none that runs a program", limit, () =>
  withSandbox(async (sandbox) => {
    const { exitCode, wallTime } = await sandbox.run(["sleep", "1"]);
    assert.equal(exitCode, 0);
    assert.ok(wallTime > 400, `it ran for ${wallTime} ms`);
    assert.equal((await sandbox.wait()).cause, "idle-timeout");
  }, { idleTimeout: 400 }));

test("maxDuration ends a sandbox with its programs", limit, () =>
  withSandbox(async (sandbox) => {
    const program = await sandbox.spawn(["sleep", "300"]);
    assert.equal((await sandbox.wait()).cause, "max-duration");
    assert.equal((await program.wait()).cause, "sandbox-ended");
  }, { maxDuration: 2000, stopGrace: 0 }));

test("replace ends the sandbox that has the name, without it there is an error", limit, () =>
  withNames(["single"], async (name) => {
    const first = await Sandbox.create({ name, ...detached });
    await assert.rejects(Sandbox.create({ name }), ExistsError);
    assert.ok(alive(first.pid));
    await withSandbox(async (second) => {
      assert.equal((await first.wait()).cause, "stopped");
      assert.equal(alive(first.pid), false);
      assert.deepEqual((await listSandboxes()).map(({ pid }) => pid), [second.pid]);
    }, { name, replace: true, replaceGrace: 0 });
    await first.close();
  }));

test("labels come back in lists and select from them", limit, () =>
  withSandbox(
    (one) =>
      withSandbox(async (two) => {
        const names = async (labels) => (await listSandboxes({ labels })).map(({ name }) => name);
        assert.deepEqual(await names(), [one.name, two.name]);
        assert.deepEqual(await names({ app: "web" }), [one.name, two.name]);
        assert.deepEqual(await names({ app: "web", tier: "2" }), [two.name]);
        assert.deepEqual(await names({ app: "other" }), []);
        const [first, second] = await listSandboxes();
        assert.deepEqual(first.labels, { app: "web", "ключ": "a=b=" });
        assert.deepEqual(second.labels, { app: "web", tier: "2" });
      }, { name: "label-two", labels: { app: "web", tier: "2" } }),
    { name: "label-one", labels: { app: "web", "ключ": "a=b=" } },
  ));

test("probe neither replaces, nor stores, nor detaches", limit, () =>
  withNames(["trial", "present"], async (trial, present) => {
    await probe({ name: trial, stored: true, detached: true });
    await assertNothingLeft();
    await withSandbox(async (sandbox) => {
      await probe({ name: present, replace: true }); // its name is its own
      assert.ok(alive(sandbox.pid));
    }, { name: present });
  }));

test("wrong options are refused before anything starts", limit, async () => {
  for (const options of [
    { detached: 1 }, { stored: true }, { replace: true }, { name: "a", replace: "no" }, { replaceGrace: -1 },
    { idleTimeout: 0 }, { idleTimeout: Infinity }, { maxDuration: -1 }, { labels: [] }, { labels: null }, { labels: "a=b" },
    { labels: { "": "x" } }, { labels: { "a=b": "x" } }, { labels: { a: 1 } }, { labels: { a: "\n" } },
    { labels: { a: "x".repeat(1000) } },
  ]) {
    await assert.rejects(Sandbox.create(options), InvalidError, JSON.stringify(options));
  }
  for (const options of [{ stoped: true }, { stopped: 1 }, { labels: { a: 1 } }]) {
    await assert.rejects(listSandboxes(options), InvalidError, JSON.stringify(options));
  }
  await assertNothingLeft();
});
