// Sandboxes whose configuration is kept under their name.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

import {
  ExistsError, InvalidError, NotFoundError, Sandbox, audit, listSandboxes, removeSandbox,
} from "microsandbox";

import { alive, assertNothingLeft, detached, limit, untilDead, withNames, withSandbox } from "./support.js";

const msb = fileURLToPath(new URL("../native/msb", import.meta.url));
const stopped = () => listSandboxes({ stopped: true });

test("stop, list, start again, remove", limit, () =>
  withNames(["kept"], async (name) => {
    const options = { name, stored: true, memory: 2 ** 27, labels: { a: "1" } };
    await withSandbox(async (sandbox) => {
      assert.equal((await sandbox.run(["touch", "/tmp/file"])).exitCode, 0);
      await assert.rejects(removeSandbox(name), { code: "MSB_E_STATE" });
      const waiting = sandbox.wait();
      sandbox.stop();
      await waiting;
    }, options);

    assert.deepEqual(await listSandboxes(), []);
    const [{ createdAt, ...entry }, ...more] = await stopped();
    assert.deepEqual(more, []);
    assert.deepEqual(entry, {
      name, pid: null, state: "stopped", engine: "unknown", attached: false, stored: true, pooled: false, lastCause: "stopped",
      labels: { a: "1" },
    });
    assert.deepEqual(await listSandboxes({ stopped: true, labels: { a: "2" } }), []);
    const { orphans, lines } = await audit();
    assert.equal(orphans, 0);
    assert.match(lines.join("\n"), /^stored: "kept"[^\n]*$/);

    const again = await Sandbox.start(name);
    try {
      const { memory, attached, owner } = await again.info();
      assert.deepEqual({ memory, attached, owner }, { memory: 2 ** 27, attached: true, owner: true });
      assert.equal((await again.run(["test", "-e", "/tmp/file"])).exitCode, 1, "its files are not kept");
      await assert.rejects(Sandbox.start(name), ExistsError);
    } finally {
      await again.close();
    }
    assert.equal(alive(again.pid), false);

    await removeSandbox(name);
    await assert.rejects(removeSandbox(name), NotFoundError);
    await assert.rejects(Sandbox.start(name), NotFoundError);
    await assertNothingLeft();
  }));

test("a started sandbox may be detached", limit, () =>
  withNames(["restarted"], async (name) => {
    await (await Sandbox.create({ name, stored: true, maxDuration: detached.maxDuration })).close();
    const sandbox = await Sandbox.start(name, { detached: true });
    await sandbox.close();
    assert.ok(alive(sandbox.pid));
    const [{ pid, attached, stored }] = await listSandboxes();
    assert.deepEqual({ pid, attached, stored }, { pid: sandbox.pid, attached: false, stored: true });
  }));

test("how the last run ended is kept: killed on request, or crashed", limit, async (t) => {
  for (const [how, end, state, lastCause] of [
    ["kill", (sandbox) => sandbox.kill(), "stopped", "killed"],
    ["SIGKILL from elsewhere", (sandbox) => process.kill(sandbox.pid, "SIGKILL"), "crashed", "crashed"],
  ]) {
    await t.test(how, () =>
      withNames(["ended"], async (name) => {
        const sandbox = await Sandbox.create({ name, stored: true, ...detached });
        end(sandbox);
        assert.equal((await sandbox.wait()).cause, "killed");
        await untilDead(sandbox.pid);
        const [entry] = await stopped();
        assert.deepEqual([entry.state, entry.lastCause, entry.pid], [state, lastCause, null]);
        await sandbox.close();
        await removeSandbox(name);
        await assertNothingLeft();
      }));
  }
});

test("replace forgets the configuration that was stored", limit, () =>
  withNames(["renewed"], async (name) => {
    const first = await Sandbox.create({ name, stored: true, labels: { of: "the first" } });
    await withSandbox(async () => assert.equal((await first.wait()).cause, "stopped"), { name, stored: true, replace: true });
    await first.close();
    assert.deepEqual((await stopped()).map(({ labels }) => labels), [{}]);
  }));

test("a creation that fails leaves what is stored under its name", limit, () =>
  withNames(["occupied"], async (name) => {
    await (await Sandbox.create({ name, stored: true, labels: { of: "the first" } })).close();
    await assert.rejects(Sandbox.create({ name, stored: true }), ExistsError);
    const [{ labels }] = await stopped();
    assert.deepEqual(labels, { of: "the first" });
  }));

test("an aborted creation leaves nothing stored or detached, even when it had come up", limit, () =>
  withNames(["aborted"], async (name) => {
    const controller = new AbortController();
    const creating = Sandbox.create({ name, stored: true, ...detached, signal: controller.signal });
    // The event loop stands still meanwhile: the abort comes first.
    for (const deadline = Date.now() + 30_000; !execFileSync(msb, ["ls"], { encoding: "utf8" }).includes("running");) {
      assert.ok(Date.now() < deadline, "not running after 30 s");
    }
    controller.abort();
    await assert.rejects(creating, { name: "AbortError" });
    await assertNothingLeft();
  }));

test("an aborted start leaves the configuration", limit, () =>
  withNames(["unstarted"], async (name) => {
    await (await Sandbox.create({ name, stored: true })).close();
    const controller = new AbortController();
    const starting = Sandbox.start(name, { detached: true, signal: controller.signal });
    setImmediate(() => controller.abort());
    await assert.rejects(starting, { name: "AbortError" });
    assert.deepEqual(await listSandboxes(), []);
    assert.deepEqual((await stopped()).map((entry) => entry.name), [name]);
  }));

test("start takes what the configuration leaves open, and nothing else", limit, async () => {
  for (const options of [{ memory: 2 ** 27 }, { stored: true }, { labels: {} }, { detached: "yes" }, { startTimeout: 0 }]) {
    await assert.rejects(Sandbox.start("any", options), InvalidError, JSON.stringify(options));
  }
  await assert.rejects(Sandbox.start(), InvalidError);
  await assert.rejects(removeSandbox(), InvalidError);
  await assert.rejects(removeSandbox("a/b"), InvalidError);
  await assertNothingLeft();
});
