/// <reference types="node" />
// Run untrusted code in a sandbox from inside any program.
//
//     const sandbox = await Sandbox.create();
//     try {
//       const { exitCode, stdout } = await sandbox.run(["echo", "hello"]);
//     } finally {
//       await sandbox.close();
//     }
//
// Nothing here blocks the event loop. Times are milliseconds, sizes are bytes.
// An exit code other than 0 is a value; what never started is an exception.
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Text as UTF-8, or bytes of any encoding; no NUL bytes. */
export type Bytes = string | Uint8Array;

/**
 * "qemu" is a microVM with KVM, "qemu-tcg" one with a processor in software, ten times slower.
 * "auto" is the strongest that a probe run has shown to work, and never "qemu-tcg" or "job", which is for Windows and no wall.
 */
export type Engine = "auto" | "gvisor" | "qemu" | "qemu-tcg" | "job";

/** "host" is a read-only view of the host's toolchain with a writable /tmp and home. */
export type Root = "host" | { dir: Bytes } | { erofs: Bytes };

interface MountOptions {
  /** Absolute, neither /, /proc, /sys, /dev nor in these; what is missing of it is made in memory. */
  target: Bytes;
  /** Default false, but an EROFS image is always read-only. */
  readOnly?: boolean;
  /** No program is executed from it. */
  noExec?: boolean;
  /** Set-user-id bits and file capabilities have no effect. */
  noSuid?: boolean;
  /** Always in force for devices of the host. */
  noDev?: boolean;
}

/**
 * A directory or regular file of the host, whose changes reach it; an empty file system
 * in memory, of 64 MiB unless told otherwise; an EROFS image file; or, in microVMs, the
 * ext4 file system in a disk image, raw unless `qcow2` is set.
 */
export type Mount =
  | (MountOptions & { bind: Bytes; tmpfs?: never; erofs?: never; disk?: never; size?: never; qcow2?: never })
  | (MountOptions & { tmpfs: true; size?: number; bind?: never; erofs?: never; disk?: never; qcow2?: never })
  | (MountOptions & { erofs: Bytes; bind?: never; tmpfs?: never; disk?: never; size?: never; qcow2?: never })
  | (MountOptions & { disk: Bytes; qcow2?: boolean; bind?: never; tmpfs?: never; erofs?: never; size?: never });

export interface SandboxOptions {
  /** 1 to 128 bytes of UTF-8; generated when absent. */
  name?: string;
  engine?: Engine;
  /** Default "host". Changes to any root stay in memory. */
  root?: Root;
  /** Limit, in-memory files included. Default 512 MiB, at least 64 MiB. */
  memory?: number;
  /** Limit for changes to the root file system. Default half of memory. */
  overlay?: number;
  /** What it shows of the host beside its root: sources are opened once, at creation. At most 64. */
  mounts?: readonly Mount[];
  /** Default 30000. */
  startTimeout?: number;
  /** Between TERM and KILL when it is closed. Default 2000; 0 is none. */
  stopGrace?: number;
  /** Once started, it lives on without this process, and `close` leaves it running. */
  detached?: boolean;
  /** Keeps the configuration (not the files) under the name, for `Sandbox.start`, until `removeSandbox`. */
  stored?: boolean;
  /** Ends and forgets a sandbox that has the name. */
  replace?: boolean;
  /** Between TERM and KILL for the programs of the replaced one. Default 10000; 0 is none. */
  replaceGrace?: number;
  /** It ends when no program has run for that long and nobody asked for anything. Default none. */
  idleTimeout?: number;
  /** It ends after that long. Default none. */
  maxDuration?: number;
  /** How often what it uses is measured. Default 1000; 0 is never. */
  metricsInterval?: number;
  /** The kernel of microVMs. Default: the one that `msb kernel install` prepared, else the newest in /boot. */
  kernel?: Bytes;
  /** Of each of the log's up to four files. Default 10 MiB, at least 64 KiB. */
  logMax?: number;
  /** Processors, such as 0.5. Needs a control group that may be written here. Default no quota. */
  cpus?: number;
  /** 1 to 10000, relative to others, which have 100. Needs the same. */
  cpuWeight?: number;
  /** It ends once its programs have used that much processor time together. Default none. */
  cpuTimeLimit?: number;
  /** Processes and threads at once; fork then gives EAGAIN. Default one for each 2 MiB of memory. */
  maxProcesses?: number;
  /** Of each process. Default 4096. */
  maxOpenFiles?: number;
  /** To find it by in lists; 1000 bytes in all, without control characters. */
  labels?: Record<string, string>;
  /** Default $MSB_HOME, else a directory of the user under /run/user or /tmp. */
  stateDir?: Bytes;
  /** The msb executable; default the one beside the library. */
  msbPath?: Bytes;
}

export interface CreateOptions extends SandboxOptions {
  /** Cancels the creation. It rejects with the signal's reason once nothing is left. */
  signal?: AbortSignal;
}

/** What the configuration of a stored sandbox leaves open. */
export type StartOptions = Pick<CreateOptions, "detached" | "startTimeout" | "stateDir" | "msbPath" | "signal">;

/** Of setrlimit(2): seconds (cpu), counts (nproc, nofile) or bytes. */
export type Rlimit = "cpu" | "fsize" | "data" | "stack" | "core" | "rss" | "nproc" | "nofile" | "memlock" | "as";

export interface ProgramOptions {
  /** Added to PATH, HOME and LANG. An array holds NAME=VALUE. */
  env?: Record<string, Bytes> | readonly Bytes[];
  /** Leaves out PATH, HOME and LANG. */
  clearEnv?: boolean;
  /** Default the root's work directory: /work for "host", else /. */
  cwd?: Bytes;
  /** Default 30000. */
  startTimeout?: number;
  /** Default 0, root of the sandbox; another has no capabilities, and HOME stays /root. */
  uid?: number;
  /** Default 0. */
  gid?: number;
  /** Ids of supplementary groups. Default none. */
  groups?: readonly number[];
  /** Default 0o022. */
  umask?: number;
  /** For each process of the program: soft and hard limit, or one number for both. Infinity is none. */
  rlimits?: Partial<Record<Rlimit, number | readonly [soft: number, hard: number]>>;
  /** After this time the sandbox itself kills the program and all that it started: cause "wall-limit". */
  wallLimit?: number;
  /** Bytes of stdout and stderr together, after which it and all that it started are killed: cause "output-limit". */
  outputLimit?: number;
  /** Kills the program. */
  signal?: AbortSignal;
}

export interface RunOptions extends ProgramOptions {
  /** What the program reads; without it stdin is /dev/null. */
  input?: Bytes;
  /** After this time the program is killed, and run throws a TimedOutError. */
  timeout?: number;
  /** Cap for stdout and stderr each. Default 16 MiB. What is beyond it is read and dropped. */
  maxOutput?: number;
}

/** A number is a descriptor of this process; its flags stay as they are. */
export type Stdio = "pipe" | "ignore" | "inherit" | number;

export interface SpawnOptions extends ProgramOptions {
  /** Each is "pipe" by default. "log" is the sandbox's log. */
  stdin?: Stdio;
  stdout?: Stdio | "log";
  stderr?: Stdio | "log";
  /** A terminal instead of them; true is 24 rows and 80 columns. At most 65535 each. */
  pty?: boolean | { rows?: number; cols?: number };
}

export type Cause =
  | "unknown"
  | "exited"
  | "signaled"
  | "sandbox-ended"
  | "stopped"
  | "drained"
  | "killed"
  | "owner-gone"
  | "memory-limit"
  | "crashed"
  | "start-failed"
  | "idle-timeout"
  | "max-duration"
  | "wall-limit"
  | "cpu-limit"
  | "file-limit"
  | "cpu-time"
  | "output-limit";

/** A limit that was met; "processes": a fork or thread was refused, "overlay": no room for changes was left. */
export type LimitHit = "memory" | "cpu-time" | "wall-time" | "processes" | "output" | "file-size" | "overlay"
  | "open-files";

export interface Outcome {
  cause: Cause;
  /** 0 to 255 when the cause is "exited", else null. */
  exitCode: number | null;
  /** "SIGTERM", … when the cause is "signaled" or a limit of the program, else null. */
  signal: string | null;
  /** From start to end; null when unknown. */
  wallTime: number | null;
  /** Of a program and all that it started, in steps of 10; null when unknown, as for sandboxes. */
  cpuTime: number | null;
  /** The largest resident size of one of those processes that had ended; null when unknown. */
  memoryPeak: number | null;
  /** Limits met by a program, or by the programs of a sandbox, whether they ended by them or went on. */
  limitsHit: LimitHit[];
}

export interface RunResult extends Outcome {
  stdout: Buffer;
  stderr: Buffer;
  /** stdout or stderr was longer than maxOutput. */
  truncated: boolean;
}

/** "crashed" is a stored sandbox whose supervisor died without a word. */
export type State = "unknown" | "starting" | "running" | "draining" | "stopped" | "crashed";

export interface SandboxInfo {
  state: State;
  engine: Engine | "unknown";
  /** It ends with its owner. */
  attached: boolean;
  /** This object is the owner's. */
  owner: boolean;
  /** The supervisor's. */
  pid: number;
  /** Running now. */
  programs: number;
  memory: number;
  overlay: number;
  createdAt: Date;
  /** What is enforced by what: lines of "protection: mechanism". */
  receipt: string;
  /** Limits in force, here and below; null is none. */
  cpus: number | null;
  cpuWeight: number | null;
  cpuTimeLimit: number | null;
  maxProcesses: number | null;
  maxOpenFiles: number | null;
}

export interface SandboxEntry {
  name: string;
  /** The supervisor's; null when it does not run. */
  pid: number | null;
  state: State;
  /** "unknown" when it does not run. */
  engine: Engine | "unknown";
  /** It ends with its owner. */
  attached: boolean;
  /** Its configuration is kept. */
  stored: boolean;
  /** It waits in a pool: nobody has taken it. */
  pooled: boolean;
  /** How the last run ended; null while it runs. */
  lastCause: Cause | null;
  labels: Record<string, string>;
  createdAt: Date;
}

/** The last sample. Sums are since the sandbox began; what is undefined was not measured. */
export interface Metrics {
  name: string;
  /** The supervisor's. */
  pid: number;
  sampledAt: Date;
  uptime: number | undefined;
  /** Running then. */
  programs: number | undefined;
  /** Of all programs. */
  cpuTime: number | undefined;
  /** Since the sample before; 1 is one CPU. */
  cpuUsage: number | undefined;
  memoryUsed: number | undefined;
  memoryPeak: number | undefined;
  /** Undefined when there is none. */
  memoryLimit: number | undefined;
  overlayUsed: number | undefined;
  overlayLimit: number | undefined;
  diskRead: number | undefined;
  diskWritten: number | undefined;
  /** Loopback is not counted. */
  netReceived: number | undefined;
  netSent: number | undefined;
}

export type LogSource = "stdout" | "stderr" | "supervisor";

export interface LogOptions {
  /** Only the last lines; 0 is none that is there already. Default all. */
  tail?: number;
  /** Only what was said then (ms since 1970) or later. */
  since?: Date | number;
  /** Go on until the sandbox ends. */
  follow?: boolean;
  /** Default all. */
  sources?: readonly LogSource[];
  /** Only of one program, numbered from 1 in the order in which they were started. */
  program?: number;
  /** Ends the iteration, which then throws the signal's reason. */
  signal?: AbortSignal;
}

export interface LogEntry {
  /** "gap" stands where content is missing. */
  source: LogSource | "gap" | "unknown";
  /** 0 is the supervisor. */
  program: number;
  time: Date;
  /** Bytes of content before it since the log began. */
  position: number;
  /** What a stream held at one moment: not always a line. Empty for a gap. */
  data: Buffer;
  /** Bytes that are missing, and why; 0 and null but for a gap. */
  missing: number;
  reason: string | null;
}

export interface ListOptions {
  /** Stored sandboxes that do not run, too. */
  stopped?: boolean;
  /** Those that wait in a pool, too. */
  pooled?: boolean;
  /** Only those that have all of these. */
  labels?: Record<string, string>;
  stateDir?: Bytes;
}

export interface Audit {
  /** How many lines belong to no living or stored sandbox: a leak. */
  orphans: number;
  /** "kind: detail" each. */
  lines: string[];
}

/**
 * One sandbox. That of `create` and `start` is owned: it ends with this process, with
 * its worker thread or with `close`, unless it is detached or disarmed. An open sandbox
 * does not keep the process running; a pending call and a running program do.
 */
export class Sandbox {
  private constructor();

  static create(options?: CreateOptions): Promise<Sandbox>;

  /** Starts a stored sandbox that does not run, with its configuration. */
  static start(name: string, options?: StartOptions): Promise<Sandbox>;

  /** A living sandbox of the same user, by name; closing it leaves it running. */
  static open(name: string, options?: { stateDir?: Bytes }): Promise<Sandbox>;

  readonly name: string;
  /** The supervisor's process id, as given at start. */
  readonly pid: number;

  /** Runs a program to its end. A child that holds on to the output is not waited for. */
  run(argv: readonly Bytes[], options?: RunOptions): Promise<RunResult>;

  /** Starts a program; resolves when it runs. */
  spawn(argv: readonly Bytes[], options?: SpawnOptions): Promise<Process>;

  // Requests: they return at once, and false means that it had ended already.

  /** TERM to all programs, `grace` (default stopGrace), KILL. */
  stop(grace?: number): boolean;
  /** Refuses new programs, lets running ones finish until `deadline` (default none), then stops. */
  drain(deadline?: number): boolean;
  /** Kills the supervisor, its engine and all programs. */
  kill(): boolean;

  /** Resolves when the sandbox has ended and nothing of it is left. */
  wait(): Promise<Outcome>;

  /** What it is and does now. Uses a thread of libuv's pool for up to 10 s: call it seldom. */
  info(): Promise<SandboxInfo>;

  /** Its last sample; a NotFoundError when there is none yet, or none is wanted. Asks nobody, but uses a pool thread. */
  metrics(): Promise<Metrics>;

  /** Its log. Leaving the loop closes it; one that reads slowly slows nobody down. */
  logs(options?: LogOptions): AsyncGenerator<LogEntry, void, void>;

  /** From then on neither close nor the end of this process ends it. Uses a pool thread, as info. */
  disarm(): Promise<void>;

  /**
   * Ends an owned sandbox (TERM, stopGrace, KILL); resolves when nothing of it is left.
   * One that is detached, disarmed or from `open` lives on, and a pending wait rejects.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  /** A pending wait keeps the process running (the default), or does not. */
  ref(): this;
  unref(): this;
}

/**
 * Those of its sandboxes, and its own. What depends on who takes a sandbox is given
 * at the take.
 */
export interface PoolOptions extends Omit<CreateOptions, "name" | "detached" | "stored" | "replace" | "replaceGrace"> {
  /** Sandboxes to have ready. Default 1, at most 1024. */
  size?: number;
  /** Of these, to keep while nobody takes one. Default 0. */
  idleSize?: number;
  /** That live at a time, taken ones too; a take waits for its turn. Default any number. */
  maxSandboxes?: number;
  /** At a time. Default one for each CPU, at least 2. */
  maxBoots?: number;
  /** Without a take for that long it shrinks to idleSize, until the next one. Default never. */
  idleShrink?: number;
}

export interface TakeOptions {
  /** Generated when absent. */
  name?: string;
  /** Beside the pool's. */
  labels?: Record<string, string>;
  /** To wait for a sandbox. Default 30000. */
  timeout?: number;
  detached?: boolean;
  replace?: boolean;
  replaceGrace?: number;
  /** Default the pool's; 0 is none. Counts from the take. */
  idleTimeout?: number;
  /** Default the pool's; 0 is none. Counts from the take. */
  maxDuration?: number;
  /** Gives the take up. It rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface PoolInfo {
  /** As asked for. */
  size: number;
  ready: number;
  booting: number;
  /** Takes that wait. */
  waiting: number;
  /** Taken ones that this process still has. */
  living: number;
  /** Since the pool was made, as all below. */
  taken: number;
  /** Of these, without waiting. */
  takenAtOnce: number;
  booted: number;
  /** Boots. */
  failed: number;
  /** Boots since the last good one. */
  failedInRow: number;
  /** Ended while they waited. */
  lost: number;
  /** Nobody has taken one for idleShrink. */
  shrunken: boolean;
  /** Of the last boot that failed. */
  lastError: MicrosandboxError | null;
}

/** Keeps sandboxes booted for whoever takes one. */
export class Pool {
  private constructor();

  /** Resolves when it is full for the first time. */
  static create(options?: PoolOptions): Promise<Pool>;

  /**
   * A sandbox of one's own: at once when one is ready, else when one has booted. It is
   * like any other from then on, outlives the pool, and is not given back.
   */
  take(options?: TakeOptions): Promise<Sandbox>;

  /** Sets how many to have ready; what that means is done in the background. */
  resize(size: number): void;

  info(): PoolInfo;

  /** Ends what nobody has taken; resolves when nothing of it is left. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The master of a program's terminal. */
export interface Terminal extends Duplex {
  ref(): this;
  unref(): this;
}

/** A program made by `spawn`. It keeps the process running until it ends, unless `unref` was called. */
export class Process {
  private constructor();

  /** What the log calls it: `program` of LogOptions and LogEntry. */
  readonly number: number;
  /** Write end; null unless stdin is "pipe". Call end() when there is no more. */
  readonly stdin: Socket | null;
  /** Read ends; null unless "pipe". A program whose output is not read stops when the pipe is full. */
  readonly stdout: Socket | null;
  readonly stderr: Socket | null;
  /**
   * With `pty`: what is written is typed ("\x03" is Ctrl-C), what is read is shown. It ends when
   * nobody in the sandbox has the terminal any more. destroy() hangs up: the program gets SIGHUP.
   */
  readonly terminal: Terminal | null;

  /** The outcome, once the program has ended; output may still be in the streams. */
  wait(): Promise<Outcome>;

  /** Gives the terminal a size: what is in its foreground gets SIGWINCH. False when the program has ended. */
  resize(rows: number, cols: number): boolean;

  /** Sends a signal (default "SIGTERM"); false when the program has ended. */
  kill(signal?: NodeJS.Signals | number): boolean;

  /** Kills the program if it still runs, drops its streams, and resolves when it has ended. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  ref(): this;
  unref(): this;
}

// These use a thread of libuv's pool.

/** The sandboxes of a state directory, by name: the living ones unless told otherwise. */
export function listSandboxes(options?: ListOptions): Promise<SandboxEntry[]>;

/** The last samples of all living sandboxes of a state directory. */
export function metrics(options?: { stateDir?: Bytes }): Promise<Metrics[]>;

/** The log of a sandbox that lives or is stored. */
export function logs(
  name: string, options?: LogOptions & { stateDir?: Bytes },
): AsyncGenerator<LogEntry, void, void>;

/** Forgets a stored sandbox and its log; code "MSB_E_STATE" while it runs. */
export function removeSandbox(name: string, options?: { stateDir?: Bytes }): Promise<void>;

/** Sweeps what dead sandboxes left, and lists all that the library made there and that still exists. */
export function audit(options?: { stateDir?: Bytes }): Promise<Audit>;

/**
 * Boots a sandbox with these options and runs a program in it. Resolves to what
 * would be enforced by what; else the error names the cause and the remedy. The
 * sandbox of the trial is never detached or stored, and replaces nothing.
 */
export function probe(options?: SandboxOptions): Promise<SandboxInfo>;

/** Sends one line per action on a sandbox to a descriptor; null turns it off (the default). */
export function setLogFd(fd: number | null): void;

/** The version of the loaded library: "0.1.0". */
export function version(): string;

export type Stage =
  | "none"
  | "argument"
  | "launch"
  | "config"
  | "state"
  | "root"
  | "engine"
  | "control"
  | "exec"
  | "cwd"
  | "stdio";

export class MicrosandboxError extends Error {
  /** The name of the result: "MSB_E_NOT_FOUND". */
  readonly code: string;
  /** Its number in microsandbox.h: -7. */
  readonly result: number;
  /** errno of the failing system call as in errno.h: 2; or 0. */
  readonly errno: number;
  /** Its name: "ENOENT"; or "". */
  readonly errnoName: string;
  /** Where the error arose. */
  readonly stage: Stage;
}

/** A wrong argument; the message names it. */
export class InvalidError extends MicrosandboxError {}
/** The object was closed, before or during the call. */
export class ClosedError extends MicrosandboxError {}
/** The operating system refused. */
export class PermissionError extends MicrosandboxError {}
/** No such sandbox, file or directory. */
export class NotFoundError extends MicrosandboxError {}
/** A living or stored sandbox has this name. */
export class ExistsError extends MicrosandboxError {}
/** This engine, kernel or build cannot do it. */
export class UnsupportedError extends MicrosandboxError {}
/** The program never started: errno and stage ("exec", "cwd", "stdio") say why. */
export class ExecError extends MicrosandboxError {}
/** The sandbox did not come up. */
export class StartError extends MicrosandboxError {}
/** It has ended already, or before it could answer. */
export class EndedError extends MicrosandboxError {}
/** The given time passed. */
export class TimedOutError extends MicrosandboxError {
  /** From run: what the program had written, and how it ended. */
  readonly partial?: RunResult;
}
