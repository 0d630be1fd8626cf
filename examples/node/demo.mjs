// Real programs in a sandbox: collected, streamed, signalled; and nothing is left.
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";

import { Sandbox, listSandboxes } from "microsandbox";

const sandbox = await Sandbox.create();
try {
  const { engine } = await sandbox.info();
  console.log(`node: sandbox ${sandbox.name}, supervisor ${sandbox.pid}, engine ${engine}`);

  const pipeline = await sandbox.run(["sh", "-c", "sort | uniq -c | sort -rn | head -n 1"], {
    input: "pear\napple\npear\n",
  });
  console.log(`node: a pipeline found ${pipeline.stdout.toString().trim()}, exit code ${pipeline.exitCode}`);

  // The host's own Python where there is one, seen read-only by the guest.
  const python = "import platform, sys; print('kernel', platform.release()); sys.exit(3)";
  const [program, ...args] = existsSync("/usr/bin/python3")
    ? ["/usr/bin/python3", "-c", python]
    : ["sh", "-c", "echo kernel $(uname -r); exit 3"];
  const untrusted = await sandbox.run([program, ...args], { timeout: 60_000 });
  console.log(`node: ${program} says: ${untrusted.stdout.toString().trim()}, exit code ${untrusted.exitCode}`);

  const missing = await sandbox.run(["no-such-program"]).catch((error) => error);
  console.log(`node: no-such-program: ${missing.code}, ${missing.errnoName}`);

  const ticker = await sandbox.spawn(["sh", "-c", "i=0; while :; do echo tick $((i += 1)); sleep 0.1; done"], {
    stdin: "ignore",
    stderr: "inherit",
  });
  for await (const line of createInterface({ input: ticker.stdout })) {
    console.log(`node: streamed ${line}`);
    if (line === "tick 3") ticker.kill("SIGTERM");
  }
  console.log(`node: it ended by ${(await ticker.wait()).signal}`);
} finally {
  await sandbox.close();
}
const left = (await listSandboxes()).filter(({ name }) => name === sandbox.name);
console.log(`node: left behind: ${left.length}`);
process.exitCode = left.length;
