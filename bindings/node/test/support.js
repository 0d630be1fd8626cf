// What the tests share: a state directory of their own, and ways to see what is left.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { NotFoundError, Sandbox, audit, listSandboxes, removeSandbox } from "microsandbox";

/** Removed at exit. Every sandbox of the test process lives here. */
export const stateDir = mkdtempSync(join(tmpdir(), "msb-node-"));
process.env.MSB_HOME = stateDir;
process.on("exit", () => rmSync(stateDir, { recursive: true, force: true }));

/** A limit for tests that could hang when they fail. */
export const limit = { timeout: 120_000 };

/** Calls body with a sandbox, closes it, and checks that it is gone. */
export async function withSandbox(body, options) {
  const sandbox = await Sandbox.create(options);
  try {
    return await body(sandbox);
  } finally {
    await sandbox.close();
    assert.equal(alive(sandbox.pid), false, "the supervisor is gone once close has resolved");
  }
}

/** For a sandbox that outlives its test process should all else fail. */
export const detached = { detached: true, maxDuration: 120_000 };

const orNull = (error) => {
  if (error instanceof NotFoundError) return null;
  throw error;
};

/** Calls body, and ends and forgets the sandboxes of these names whatever comes of it. */
export async function withNames(names, body) {
  try {
    return await body(...names);
  } finally {
    for (const name of names) {
      const sandbox = await Sandbox.open(name).catch(orNull);
      sandbox?.kill();
      await sandbox?.wait();
      await sandbox?.close();
      await removeSandbox(name).catch(orNull);
    }
  }
}

export function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if (error.code === "ESRCH") return false;
    throw error;
  }
}

/** For what gives no event of its own; fails after 30 s. */
export async function until(condition, what) {
  for (const deadline = Date.now() + 30_000; !condition();) {
    assert.ok(Date.now() < deadline, `not after 30 s: ${what}`);
    await delay(20);
  }
}

/** Waits until a process that is not ours has ended. */
export const untilDead = (pid) => until(() => !alive(pid), `process ${pid} has ended`);

/** A directory that somebody else is sweeping just now goes away; a leak stays, and fails after 10 s. */
export async function assertNothingLeft() {
  assert.deepEqual(await listSandboxes({ stopped: true }), []);
  const deadline = Date.now() + 10_000;
  let found = await audit();
  while (found.lines.length > 0 && Date.now() < deadline) {
    await delay(20);
    found = await audit();
  }
  assert.deepEqual(found, { orphans: 0, lines: [] });
}

export const fdCount = () => readdirSync("/proc/self/fd").length;
export const threadCount = () => readdirSync("/proc/self/task").length;
export const rssBytes = () => Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]) * 4096;

/** Everything that a stream gives until its end. */
export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
