// Makes a detached sandbox with a program in it, and exits without closing anything.
import { writeSync } from "node:fs";

import { Sandbox } from "microsandbox";

const sandbox = await Sandbox.create({ name: process.argv[2], detached: true, maxDuration: 120_000 });
await sandbox.spawn(["sleep", "300"], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
writeSync(1, `${sandbox.pid}\n`);
process.exit(0);
