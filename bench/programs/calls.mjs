// Nanoseconds for one call of msb_sandbox_pid through the addon, one batch a line:
// node calls.mjs REPOSITORY STATE-DIRECTORY NAME BATCHES CALLS
import { pathToFileURL } from "node:url";

const [repository, stateDir, name, batches, calls] = process.argv.slice(2);
const { native } = await import(pathToFileURL(`${repository}/bindings/node/lib/native.js`));
const handle = await native.sandboxOpen({ name, stateDir });

function batch(count) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) native.sandboxPid(handle);
  return Number(process.hrtime.bigint() - start) / count;
}

for (let i = 0; i < 20; i++) batch(Number(calls)); // compiled by now
for (let i = 0; i < Number(batches); i++) console.log(batch(Number(calls)));
native.close(handle);
