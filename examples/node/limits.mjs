// What a program sees, may use, says and uses.
import { Sandbox, metrics } from "microsandbox";

const sandbox = await Sandbox.create({
  metricsInterval: 100,
  mounts: [
    { bind: process.cwd(), target: "/project", readOnly: true },
    { tmpfs: true, target: "/scratch", size: 2 ** 20 },
  ],
});
try {
  const { cause, cpuTime } = await sandbox.run(["sh", "-c", "while :; do :; done"], {
    uid: 1000, gid: 1000, umask: 0o077, rlimits: { nofile: 64 }, wallLimit: 500,
  });
  console.log(`${cause} after ${cpuTime} ms of CPU time`); // wall-limit

  const program = await sandbox.spawn(["ls", "/project"], { stdin: "ignore", stdout: "log", stderr: "log" });
  await program.wait();
  for await (const { source, time, data } of sandbox.logs({ tail: 5 })) {
    console.log(`${time.toISOString()} ${source}: ${data.toString().trimEnd()}`);
  }
  for (const { name, cpuUsage, memoryUsed } of await metrics()) console.log(name, cpuUsage, memoryUsed);
} finally {
  await sandbox.close();
}
