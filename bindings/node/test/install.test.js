// The package as users get it: npm install of the folder and of a tarball, offline, and the examples.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { assertNothingLeft, withNames } from "./support.js";

const packageDir = fileURLToPath(new URL("..", import.meta.url));
const examples = fileURLToPath(new URL("../../../examples/node/", import.meta.url));
const options = {
  timeout: 180_000,
  skip: !existsSync(join(packageDir, "native/microsandbox.node")) && "native/ is missing: run make node",
};

// What is installed must not depend on the environment of the source tree.
const { MSB_NODE_ADDON, ...env } = process.env;

const npm = (cwd, ...args) =>
  execFileSync("npm", [...args, "--offline", "--no-audit", "--no-fund", "--loglevel=error"], { cwd, env, encoding: "utf8" });

const program = `
  import { Sandbox } from "microsandbox";
  const sandbox = await Sandbox.create();
  try {
    process.stdout.write((await sandbox.run(["echo", "installed"])).stdout);
  } finally {
    await sandbox.close();
  }`;

function withConsumer(body) {
  const consumer = mkdtempSync(join(tmpdir(), "msb-node-"));
  try {
    writeFileSync(join(consumer, "package.json"), '{"private": true}');
    writeFileSync(join(consumer, "program.mjs"), program);
    body(consumer);
  } finally {
    rmSync(consumer, { recursive: true });
  }
}

const runProgram = (cwd) => execFileSync(process.execPath, ["program.mjs"], { cwd, env, encoding: "utf8" });

test("npm install of the folder", options, () =>
  withConsumer((consumer) => {
    npm(consumer, "install", packageDir);
    assert.ok(lstatSync(join(consumer, "node_modules/microsandbox")).isSymbolicLink());
    assert.equal(runProgram(consumer), "installed\n");
  }));

test("npm install of a packed tarball holds the library and msb", options, () =>
  withConsumer((consumer) => {
    const [{ filename, files }] = JSON.parse(npm(packageDir, "pack", "--json", "--pack-destination", consumer));
    const names = files.map((file) => file.path);
    for (const name of ["native/microsandbox.node", "native/libmicrosandbox.so.0", "native/msb", "index.d.ts"]) {
      assert.ok(names.includes(name), name);
    }
    assert.ok(!names.some((name) => name.startsWith("test/") || name.startsWith("src/")), "only what is used");
    npm(consumer, "install", `./${filename}`);
    assert.ok(lstatSync(join(consumer, "node_modules/microsandbox")).isDirectory());
    assert.equal(runProgram(consumer), "installed\n");
  }));

test("the examples run", options, () =>
  withNames(["builder"], () => withConsumer((consumer) => {
    npm(consumer, "install", packageDir);
    const run = (name) => {
      copyFileSync(join(examples, name), join(consumer, name));
      return execFileSync(process.execPath, [name], { cwd: consumer, env, encoding: "utf8" });
    };
    assert.match(run("hello.mjs"), /^hello from Linux, pid \d+\nexit code 0\n$/);
    const demo = run("demo.mjs");
    assert.match(demo, /a pipeline found 2 pear, exit code 0\n/);
    assert.match(demo, /exit code 3\n/);
    assert.match(demo, /no-such-program: MSB_E_EXEC, ENOENT\n/);
    assert.match(demo, /streamed tick 3\n/);
    assert.match(demo, /it ended by SIGTERM\n/);
    assert.match(demo, /left behind: 0\n$/);
    assert.equal(run("pool.mjs"), "hello, ada\nhello, grace\nhello, edsger\ntaken: 3\n");
    assert.equal(run("stored.mjs"), "builder: stopped, stopped\norphans: 0\n");
  })));

test("the page of the package shows the example as it is", () => {
  const page = readFileSync(join(packageDir, "README.md"), "utf8");
  const [comment, ...code] = readFileSync(join(examples, "stored.mjs"), "utf8").split("\n");
  assert.match(comment, /^\/\/ /);
  assert.ok(page.includes(`\`\`\`js\n${code.join("\n")}\`\`\`\n`));
});

test("nothing is left of all that", options, assertNothingLeft);
