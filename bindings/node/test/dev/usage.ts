// Accepted by `tsc --noEmit --strict` as it stands: each @ts-expect-error must be an error.
import {
  ExecError, MicrosandboxError, Pool, Process, Sandbox, TimedOutError, audit, listSandboxes, logs, metrics, probe,
  removeSandbox, setLogFd, version, type Audit, type Metrics, type Outcome, type PoolInfo, type RunResult, type SandboxEntry,
  type SandboxInfo,
} from "microsandbox";

export async function everything(signal: AbortSignal): Promise<void> {
  const receipt: SandboxInfo = await probe({ engine: "gvisor" });
  setLogFd(null);
  console.log(version().toUpperCase(), receipt.createdAt.getTime());

  await using sandbox: Sandbox = await Sandbox.create({
    name: "types", root: { dir: Buffer.from("/") }, memory: 2 ** 28, stopGrace: 0, signal,
    mounts: [
      { bind: "/usr/share", target: "/share", readOnly: true }, { tmpfs: true, target: "/scratch", size: 2 ** 20 },
      { erofs: Buffer.from("/images/data"), target: "/data", noExec: true },
    ],
  });
  const result: RunResult = await sandbox.run(["cat", new Uint8Array(1)], {
    input: "text", env: { A: "1", B: Buffer.from("2") }, cwd: "/", timeout: 1000, maxOutput: Infinity, signal,
  });
  const code: number = result.exitCode ?? -1;
  const limited = await sandbox.run(["true"], {
    uid: 1000, gid: 1000, groups: [20], umask: 0o077, wallLimit: 1000, rlimits: { nofile: 64, cpu: [1, Infinity] },
  });
  if (limited.cause === "wall-limit") console.log((limited.cpuTime ?? 0) + (limited.memoryPeak ?? 0));
  console.log(code, result.stdout.toString("utf8"), result.truncated);

  await using program: Process = await sandbox.spawn(["sh"], { stdin: "pipe", stdout: 5, stderr: "inherit" });
  program.stdin?.end("exit 3");
  const delivered: boolean = program.kill("SIGTERM") || program.kill(9);
  const outcome: Outcome = await program.unref().wait();
  if (outcome.cause === "signaled" && delivered) console.log(outcome.signal?.length);

  const sample: Metrics = await sandbox.metrics();
  const samples: Metrics[] = await metrics({ stateDir: Buffer.from("/tmp/state") });
  console.log(sample.cpuUsage?.toFixed(2), samples.length);

  await sandbox.spawn(["true"], { stdout: "log", stderr: "log" });
  for await (const entry of sandbox.logs({ tail: 10, since: new Date(), follow: true, sources: ["stdout"], signal })) {
    console.log(entry.time.getTime(), entry.source === "gap" ? entry.reason?.length : entry.data.toString());
  }
  await logs("types", { stateDir: "/tmp/state", since: 0 }).return();

  const entries: SandboxEntry[] = await listSandboxes({ stateDir: "/tmp/state" });
  const other = await Sandbox.open(entries[0]?.name ?? "");
  other.stop(100) && other.drain() && other.kill();
  await other.disarm();
  await other.close();
}

export async function pools(signal: AbortSignal): Promise<string> {
  await using pool: Pool = await Pool.create({ size: 2, maxSandboxes: 8, idleShrink: 1000, memory: 2 ** 28, signal });
  await using sandbox: Sandbox = await pool.take({ name: "tenant", labels: { a: "b" }, maxDuration: 0, signal });
  pool.resize(1);
  const { ready, lastError }: PoolInfo = pool.info();
  // @ts-expect-error a pool's sandboxes cannot be stored
  await pool.take({ stored: true });
  // @ts-expect-error names are given at the take
  await Pool.create({ name: "a" });
  return `${sandbox.name} ${ready} ${lastError?.code}`;
}

export async function stored(): Promise<string[]> {
  const labels = { project: "types" };
  const made = await Sandbox.create({
    name: "kept", detached: true, stored: true, replace: true, replaceGrace: 0, idleTimeout: 1000, maxDuration: 2000, labels,
  });
  await made.close();
  await using again: Sandbox = await Sandbox.start("kept", { detached: false, startTimeout: 5000 });
  again.stop();
  for (const { name, pid, state, lastCause, labels: found } of await listSandboxes({ stopped: true, labels })) {
    if (pid !== null) process.kill(pid, 0);
    if (state === "crashed" || lastCause === "idle-timeout") console.log(name, found["project"]?.length);
  }
  await removeSandbox("kept", { stateDir: Buffer.from("/tmp/state") });
  const { orphans, lines }: Audit = await audit();
  return orphans === 0 ? [] : lines;
}

export function explain(error: unknown): string {
  if (error instanceof ExecError) return `${error.errnoName} at ${error.stage}`;
  if (error instanceof TimedOutError) return error.partial?.stdout.toString() ?? "";
  if (error instanceof MicrosandboxError) return `${error.code} ${error.result} ${error.errno}`;
  return String(error);
}

// @ts-expect-error: made by Sandbox.create
new Sandbox();
// @ts-expect-error: argv is a list
export const notAList = (sandbox: Sandbox) => sandbox.run("ls");
// @ts-expect-error: a misspelt limit
export const misspelt = () => Sandbox.create({ memroy: 1 });
// @ts-expect-error: the configuration decides
export const notOfStart = () => Sandbox.start("kept", { memory: 2 ** 28 });
// @ts-expect-error: null when it does not run
export const noPid = ({ pid }: SandboxEntry) => process.kill(pid);
// @ts-expect-error: nothing is read from the log
export const stdinOfLog = (sandbox: Sandbox) => sandbox.spawn(["cat"], { stdin: "log" });
// @ts-expect-error: of one kind each
export const twoKinds = () => Sandbox.create({ mounts: [{ bind: "/a", tmpfs: true, target: "/b" }] });
// @ts-expect-error: no such resource
export const noResource = (sandbox: Sandbox) => sandbox.run(["true"], { rlimits: { nofiles: 64 } });
// @ts-expect-error: undefined when it is not known
export const notMeasured = ({ netSent }: Metrics): number => netSent;
// @ts-expect-error: labels are text
export const notText = () => listSandboxes({ labels: { a: 1 } });
// @ts-expect-error: spawn's option
export const notOfRun = (sandbox: Sandbox) => sandbox.run(["ls"], { stdout: "ignore" });
// @ts-expect-error: no such signal
export const noSignal = (process: Process) => process.kill("SIGNOPE");
// @ts-expect-error: null unless it is a pipe
export const maybeNull = (process: Process) => process.stdout.destroy();
