// spawn with pty: a terminal as a stream.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { ExecError, InvalidError, Sandbox } from "microsandbox";

import { collect, fdCount, limit, until } from "./support.js";

let sandbox;
before(async () => {
  sandbox = await Sandbox.create();
}, limit);
after(() => sandbox.close(), limit);

/** Collects what is shown and waits for parts of it. */
function screenOf(program) {
  const screen = { text: "", ended: false };
  program.terminal.on("data", (chunk) => (screen.text += chunk));
  program.terminal.on("end", () => (screen.ended = true));
  screen.shows = (text) => until(() => screen.text.includes(text), `${text} on ${JSON.stringify(screen.text)}`);
  return screen;
}

test("a program on a terminal", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "test -t 0 && stty size; echo $TERM; read line; echo got-$line; exit 3"], { pty: true });
  assert.equal(program.stdin, null);
  assert.equal(program.stdout, null);
  const screen = screenOf(program);
  await screen.shows("24 80\r\nxterm\r\n");
  program.terminal.write("typed\r");
  await screen.shows("got-typed\r\n");
  assert.equal((await program.wait()).exitCode, 3);
  await until(() => screen.ended, "the end of the terminal");
});

test("the size, and its change", limit, async () => {
  const script = "stty size; trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done";
  const program = await sandbox.spawn(["sh", "-c", script], { pty: { rows: 30, cols: 120 } });
  const screen = screenOf(program);
  await screen.shows("30 120\r\nup\r\n");
  assert.equal(program.resize(40, 132), true);
  await screen.shows("40 132\r\n");
  for (const size of [[0, 80], [24, 65536], [1.5, 80], [24]]) assert.throws(() => program.resize(...size), InvalidError);
  await program.close();
  assert.equal(program.resize(24, 80), false);
});

test("Ctrl-C", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "trap 'echo int; exit 4' INT; echo up; while :; do sleep 0.05; done"], { pty: true });
  const screen = screenOf(program);
  await screen.shows("up");
  program.terminal.write("\x03");
  assert.equal((await program.wait()).exitCode, 4);
  await screen.shows("int");
});

test("destroying the terminal hangs up", limit, async () => {
  const program = await sandbox.spawn(["sleep", "1000"], { pty: true });
  program.terminal.destroy();
  const outcome = await program.wait();
  assert.equal(outcome.signal, "SIGHUP");
});

test("what is read after the end is all there, and the end is no error", limit, async () => {
  const program = await sandbox.spawn(["sh", "-c", "seq 500"], { pty: true });
  await program.wait();
  const text = (await collect(program.terminal)).toString();
  assert.equal(text, Array.from({ length: 500 }, (_, i) => `${i + 1}\r\n`).join(""));
});

test("what is no terminal is refused", limit, async () => {
  for (const options of [
    { pty: true, stdin: "ignore" }, { pty: { rows: 0 } }, { pty: { cols: 65536 } }, { pty: { columns: 80 } }, { pty: "yes" },
  ]) {
    await assert.rejects(sandbox.spawn(["true"], options), InvalidError);
  }
  await assert.rejects(sandbox.run(["true"], { pty: true }), InvalidError);
  await assert.rejects(sandbox.spawn(["/no/such/program"], { pty: true }), ExecError);
  const plain = await sandbox.spawn(["sleep", "1000"]);
  assert.equal(plain.terminal, null);
  assert.throws(() => plain.resize(24, 80), InvalidError);
  await plain.close();
});

test("terminals leave no descriptor", limit, async () => {
  const before = fdCount();
  for (let i = 0; i < 10; i++) {
    const program = await sandbox.spawn(["true"], { pty: true });
    await program.close();
  }
  await until(() => fdCount() <= before, "all are closed");
});
