import { Sandbox } from "microsandbox";

const sandbox = await Sandbox.create();
try {
  const { stdout, exitCode } = await sandbox.run(["sh", "-c", "echo hello from $(uname -s), pid $$"]);
  console.log(`${stdout}exit code ${exitCode}`);
} finally {
  await sandbox.close();
}
