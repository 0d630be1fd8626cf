// Logs: what programs with stdio "log" and the supervisor said.
import assert from "node:assert/strict";
import test from "node:test";

import { InvalidError, NotFoundError, Sandbox, logs, removeSandbox } from "microsandbox";

import { fdCount, limit, until, withNames, withSandbox } from "./support.js";

const log = { stdin: "ignore", stdout: "log", stderr: "log" };

async function logged(sandbox, script) {
  const program = await sandbox.spawn(["sh", "-c", script], log);
  assert.deepEqual([program.stdout, program.stderr], [null, null]);
  await program.wait();
  return program.number;
}

async function all(entries) {
  const found = [];
  for await (const entry of entries) found.push(entry);
  return found;
}

const text = async (entries) => Buffer.concat((await all(entries)).map(({ data }) => data)).toString();

test("sources, programs and bytes", limit, () =>
  withSandbox(async (sandbox) => {
    const began = Date.now();
    assert.equal(await logged(sandbox, "printf 'one\\377\\0'; echo two >&2"), 1);
    const program = await logged(sandbox, "echo three");
    assert.equal(program, 2);
    const [out] = await all(sandbox.logs({ sources: ["stdout"] }));
    assert.deepEqual(out.data, Buffer.from("6f6e65ff00", "hex"));
    assert.deepEqual([out.source, out.program, out.missing, out.reason], ["stdout", 1, 0, null]);
    assert.ok(out.time - began > -1000 && out.time - began < 60_000);
    assert.equal(await text(sandbox.logs({ sources: ["stderr"] })), "two\n");
    assert.equal(await text(sandbox.logs({ sources: ["stdout", "stderr"], program })), "three\n");
    const everything = await all(sandbox.logs());
    assert.deepEqual(new Set(everything.map(({ source }) => source)), new Set(["stdout", "stderr", "supervisor"]));
    const positions = everything.map(({ position }) => position);
    assert.deepEqual(positions, positions.toSorted?.((a, b) => a - b) ?? positions);
  }));

test("tail and since", limit, () =>
  withSandbox(async (sandbox) => {
    await logged(sandbox, "seq 1000");
    const sources = ["stdout"];
    assert.equal(await text(sandbox.logs({ sources, tail: 2 })), "999\n1000\n");
    assert.equal(await text(sandbox.logs({ sources, tail: 0 })), "");
    assert.equal((await text(sandbox.logs({ sources }))).length, 3893);
    assert.equal(await text(sandbox.logs({ sources, since: Date.now() + 3_600_000 })), "");
    assert.equal((await text(sandbox.logs({ sources, since: new Date(Date.now() - 3_600_000) }))).length, 3893);
  }));

test("follow: to the end of the sandbox, and of a loop that is left", limit, async () => {
  const sandbox = await Sandbox.create();
  const before = fdCount();
  const program = await sandbox.spawn(["sh", "-c", "while read line; do echo got $line; done"], { ...log, stdin: "pipe" });
  const following = sandbox.logs({ follow: true, sources: ["stdout"] });
  for (const word of ["one", "two"]) {
    program.stdin.write(`${word}\n`);
    assert.equal((await following.next()).value.data.toString(), `got ${word}\n`);
  }
  for await (const { data } of sandbox.logs({ follow: true, sources: ["stdout"] })) {
    assert.match(data.toString(), /^got one\n/);
    break;
  }
  await sandbox.close();
  assert.equal((await following.next()).done, true);
  await until(() => fdCount() <= before, "the descriptors are given back");
});

test("a signal ends an idle follower with its reason", limit, () =>
  withSandbox(async (sandbox) => {
    const controller = new AbortController();
    const following = sandbox.logs({ follow: true, tail: 0, signal: controller.signal });
    const next = following.next();
    controller.abort(new Error("enough"));
    await assert.rejects(next, { message: "enough" });
    await assert.rejects(sandbox.logs({ signal: AbortSignal.abort() }).next(), { name: "AbortError" });
  }));

test("4 MB through many frames; what was rotated away is a gap", limit, () =>
  withSandbox(async (sandbox) => {
    await logged(sandbox, "head -c 4000000 /dev/zero; echo end");
    const entries = await all(sandbox.logs());
    const [gap] = entries.filter(({ source }) => source === "gap");
    assert.ok(gap.missing > 3_000_000, `${gap.missing} bytes are missing`);
    assert.match(gap.reason, /\w/);
    const kept = entries.filter(({ source }) => source === "stdout").map(({ data }) => data);
    assert.ok(Buffer.concat(kept).length > 65536);
    assert.equal(Buffer.concat(kept).subarray(-4).toString(), "end\n");
  }, { logMax: 65536 }));

test("a stored sandbox keeps its log until it is removed; a temporary one does not", limit, () =>
  withNames(["logged"], async (name) => {
    await withSandbox((sandbox) => logged(sandbox, "echo kept"), { name, stored: true });
    assert.equal(await text(logs(name, { sources: ["stdout"] })), "kept\n");
    await removeSandbox(name);
    await assert.rejects(logs(name).next(), NotFoundError);
    const closed = await withSandbox((sandbox) => sandbox);
    await assert.rejects(closed.logs().next(), NotFoundError);
  }));

test("wrong options", limit, () =>
  withSandbox(async (sandbox) => {
    for (const options of [
      { tail: -1 }, { tail: "1" }, { tail: 0.5 }, { since: "x" }, { since: new Date(NaN) }, { sources: [] },
      { sources: ["gap"] }, { sources: "stdout" }, { follow: 1 }, { program: 0 }, { lines: 1 },
    ]) {
      assert.throws(() => sandbox.logs(options), InvalidError, JSON.stringify(options));
    }
    assert.throws(() => logs(), InvalidError);
    await assert.rejects(sandbox.spawn(["cat"], { stdin: "log" }), InvalidError);
  }));
