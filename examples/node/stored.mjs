// A sandbox that outlives the object, the process and the run.
import { Sandbox, audit, listSandboxes, removeSandbox } from "microsandbox";

const made = await Sandbox.create({
  name: "builder", detached: true, stored: true, labels: { team: "web" },
  idleTimeout: 600_000, maxDuration: 3_600_000,
});
await made.close(); // gives the object back; the sandbox goes on, also after this process

const builder = await Sandbox.open("builder"); // from any process of the same user
builder.stop();
await builder.wait();
await builder.close();

const [entry] = await listSandboxes({ stopped: true, labels: { team: "web" } });
console.log(`${entry.name}: ${entry.state}, ${entry.lastCause}`); // builder: stopped, stopped

await (await Sandbox.start("builder")).close(); // attached this time: close ends it
await removeSandbox("builder");
const { orphans } = await audit();
console.log(`orphans: ${orphans}`);
