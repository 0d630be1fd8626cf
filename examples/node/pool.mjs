// Tenants that get a sandbox which is booted already.
import { Pool } from "microsandbox";

const pool = await Pool.create({ size: 2, maxSandboxes: 8, idleShrink: 60_000 });
for (const tenant of ["ada", "grace", "edsger"]) {
  const sandbox = await pool.take({ name: tenant }); // at once when one is ready
  const { stdout } = await sandbox.run(["sh", "-c", "echo hello, $0", tenant]);
  process.stdout.write(stdout);
  await sandbox.close();
}
console.log(`taken: ${pool.info().taken}`);
await pool.close();
