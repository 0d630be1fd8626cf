// The engine with a kernel of its own, here without the processor's help.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Sandbox, UnsupportedError } from "microsandbox";

import { assertNothingLeft, limit, withSandbox } from "./support.js";

const kernel = process.env.MSB_TEST_KERNEL ?? fileURLToPath(new URL("../../../build/kernels/default", import.meta.url));
let dir, image, missing;

before(() => {
  dir = mkdtempSync(join(tmpdir(), "msb-node-vm-"));
  image = join(dir, "root.img");
  mkdirSync(join(dir, "tree/bin"), { recursive: true });
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find(existsSync);
  if (!busybox) missing = "busybox-static is not installed";
  else if (!existsSync("/usr/bin/qemu-system-x86_64")) missing = "qemu-system-x86 is not installed";
  else if (!existsSync(kernel)) missing = "there is no guest kernel: run make test-kernel";
  if (missing) return;
  copyFileSync(busybox, join(dir, "tree/bin/busybox"));
  for (const applet of ["sh", "echo", "cat"]) symlinkSync("busybox", join(dir, "tree/bin", applet));
  const made = spawnSync("mkfs.erofs", ["-T0", "-E", "noinline_data", image, join(dir, "tree")]);
  if (made.error) missing = "erofs-utils is not installed";
});
after(() => rmSync(dir, { recursive: true, force: true }));

test("a program in a microVM", limit, async (t) => {
  if (missing) return t.skip(missing);
  await withSandbox(async (sandbox) => {
    assert.equal((await sandbox.info()).engine, "qemu-tcg");
    const { stdout, exitCode } = await sandbox.run(["sh", "-c", "cat; exit 3"], { input: "in" });
    assert.deepEqual([stdout.toString(), exitCode], ["in", 3]);
  }, { engine: "qemu-tcg", kernel, root: { erofs: image } });
  await assertNothingLeft();
});

test("what it cannot do is refused", limit, async (t) => {
  if (missing) return t.skip(missing);
  const vm = { engine: "qemu-tcg", kernel };
  await assert.rejects(Sandbox.create(vm), UnsupportedError);
  const mounts = [{ bind: dir, target: "/mnt" }];
  await assert.rejects(Sandbox.create({ ...vm, root: { erofs: image }, mounts }), UnsupportedError);
});
