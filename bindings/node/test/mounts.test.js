// Mounts: directories and files of the host, memory, EROFS images.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { NotFoundError, Sandbox } from "microsandbox";

import { assertNothingLeft, limit, withSandbox } from "./support.js";

let host, dir;
before(() => {
  host = mkdtempSync(join(tmpdir(), "msb-node-mounts-"));
  dir = join(host, "dir");
  mkdirSync(dir);
  writeFileSync(join(dir, "file"), "from the host\n");
  writeFileSync(join(dir, "tool"), "#!/bin/sh\necho runs\n", { mode: 0o755 });
});
after(() => rmSync(host, { recursive: true, force: true }));

const sh = (sandbox, script) => sandbox.run(["sh", "-c", script]);

test("a directory: what the guest writes is the host's", limit, () =>
  withSandbox(async (sandbox) => {
    const { stdout, exitCode } = await sh(sandbox, "cat /data/file; echo from the guest > /data/new; /data/tool");
    assert.deepEqual([stdout.toString(), exitCode], ["from the host\nruns\n", 0]);
    assert.equal(readFileSync(join(dir, "new"), "utf8"), "from the guest\n");
  }, { mounts: [{ bind: dir, target: "/data" }] }));

test("read-only and noExec", limit, () =>
  withSandbox(async (sandbox) => {
    const { stdout, stderr, exitCode } = await sh(sandbox, "cat /data/file; echo x > /data/refused");
    assert.equal(stdout.toString(), "from the host\n");
    assert.match(stderr.toString(), /Read-only file system/);
    assert.notEqual(exitCode, 0);
    assert.equal(existsSync(join(dir, "refused")), false);
    await assert.rejects(sandbox.run(["/data/tool"]), { errnoName: "EACCES" });
  }, { mounts: [{ bind: dir, target: "/data", readOnly: true, noExec: true }] }));

test("a file, and one mount in another, by bytes", limit, () =>
  withSandbox(async (sandbox) => {
    const { stdout } = await sh(sandbox, "cat /a/config; df -k /a | tail -1 | awk '{print $2}'; head -c 2000000 /dev/zero > /a/full");
    assert.equal(stdout.toString(), "from the host\n1024\n");
    const { stderr } = await sh(sandbox, "head -c 2000000 /dev/zero > /a/full");
    assert.match(stderr.toString(), /No space left/);
  }, {
    mounts: [
      { bind: Buffer.from(join(dir, "file")), target: Buffer.from("/a/config"), readOnly: true },
      { tmpfs: true, target: "/a", size: 2 ** 20 },
    ],
  }));

test("an EROFS image", limit, async (t) => {
  const image = join(host, "image");
  const made = spawnSync("mkfs.erofs", ["-E", "noinline_data", image, dir]);
  if (made.error?.code === "ENOENT") return t.skip("mkfs.erofs is not installed (package erofs-utils)");
  assert.equal(made.status, 0, String(made.stderr));
  await withSandbox(async (sandbox) => {
    const { stdout, exitCode } = await sh(sandbox, "cat /image/file; echo x > /image/refused");
    assert.equal(stdout.toString(), "from the host\n");
    assert.notEqual(exitCode, 0);
  }, { mounts: [{ erofs: image, target: "/image" }] });
});

test("a source that is missing is named, and nothing is left", limit, async () => {
  await assert.rejects(Sandbox.create({ mounts: [{ bind: join(host, "missing"), target: "/data" }] }), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.message, /"\/data"/);
    return true;
  });
  await assertNothingLeft();
});
