// Finding and loading the addon: lazily, and with one clear sentence when it cannot be.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { version } from "microsandbox";

const here = dirname(fileURLToPath(import.meta.url));
const addon = process.env.MSB_NODE_ADDON || join(here, "../native/microsandbox.node");

function evaluate(code, env) {
  return execFileSync(process.execPath, ["--input-type=module", "-e", code], {
    cwd: here, // makes "microsandbox" the package itself
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
}

const loadedFiles = `(await import("node:fs")).readFileSync("/proc/self/maps", "utf8").includes("libmicrosandbox.so")`;

test("the library is loaded at the first call, not at import", () => {
  const out = evaluate(`
    const { version } = await import("microsandbox");
    console.log(${loadedFiles});
    version();
    console.log(${loadedFiles});`);
  assert.equal(out, "false\ntrue\n");
});

test("version", () => {
  assert.match(version(), /^\d+\.\d+\.\d+$/);
});

test("a missing addon is one sentence that says what to do", () => {
  const out = evaluate(
    `const { version } = await import("microsandbox");
     try { version(); } catch (error) { console.log(error.code, error.message); }`,
    { MSB_NODE_ADDON: "/nonexistent/microsandbox.node" },
  );
  assert.match(out, /^MSB_E_UNSUPPORTED microsandbox: cannot load the addon: .*nonexistent.*make node.*\n$/);
});

test("a missing library is named", () => {
  const lonely = mkdtempSync(join(tmpdir(), "msb-node-"));
  try {
    copyFileSync(addon, join(lonely, "microsandbox.node"));
    const out = evaluate(
      `const { version } = await import("microsandbox");
       try { version(); } catch (error) { console.log(error.message); }`,
      { MSB_NODE_ADDON: join(lonely, "microsandbox.node") },
    );
    assert.match(out, /^microsandbox: .*libmicrosandbox\.so\.0: cannot open shared object file.*\n$/);
  } finally {
    rmSync(lonely, { recursive: true });
  }
});

test("musl is told apart from a missing file", () => {
  const out = evaluate(
    `const report = process.report.getReport();
     delete report.header.glibcVersionRuntime;
     Object.defineProperty(process, "report", { value: { getReport: () => report } });
     const { version } = await import("microsandbox");
     try { version(); } catch (error) { console.log(error.message); }`,
    { MSB_NODE_ADDON: "/nonexistent/microsandbox.node" },
  );
  assert.match(out, /^microsandbox: musl cannot load a Go shared library; .*\n$/);
});
