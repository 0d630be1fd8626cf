// index.d.ts is accepted by tsc, and says no where it should.
import { spawnSync } from "node:child_process";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const tsc = join(here, "node_modules/.bin/tsc");
const skip = !existsSync(tsc) && "typescript is not installed: run make node-devtools";

test("tsc --strict accepts index.d.ts", { skip, timeout: 120_000 }, () => {
  const { status, stdout } = spawnSync(tsc, ["--project", here], { encoding: "utf8" });
  assert.equal(stdout, "");
  assert.equal(status, 0);
});
