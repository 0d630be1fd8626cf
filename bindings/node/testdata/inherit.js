import { Sandbox } from "microsandbox";

const sandbox = await Sandbox.create();
const stdio = { stdin: "inherit", stdout: "inherit", stderr: "ignore" };
const program = await sandbox.spawn(["sh", "-c", "cat; echo dropped >&2"], stdio);
process.exitCode = (await program.wait()).exitCode;
await sandbox.close();
