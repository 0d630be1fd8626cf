// The numbers of microsandbox.h as names. A test compares them with the header.
import os from "node:os";

export const RESULTS = new Map([
  [-1, "MSB_E_INVALID"],
  [-2, "MSB_E_HANDLE"],
  [-3, "MSB_E_STATE"],
  [-4, "MSB_E_TIMED_OUT"],
  [-5, "MSB_E_CANCELED"],
  [-6, "MSB_E_CLOSED"],
  [-7, "MSB_E_NOT_FOUND"],
  [-8, "MSB_E_EXISTS"],
  [-9, "MSB_E_PERMISSION"],
  [-10, "MSB_E_UNSUPPORTED"],
  [-11, "MSB_E_LIMIT"],
  [-12, "MSB_E_TOO_NEW"],
  [-13, "MSB_E_SETUP"],
  [-14, "MSB_E_EXEC"],
  [-15, "MSB_E_IO"],
  [-16, "MSB_E_FORKED"],
  [-17, "MSB_E_LAUNCH"],
  [-18, "MSB_E_BOOT"],
  [-19, "MSB_E_DONE"],
  [-20, "MSB_E_GONE"],
  [-21, "MSB_E_BUFFER"],
  [-99, "MSB_E_INTERNAL"],
]);

/** MSB_STAGE_*, by number. */
export const STAGES = [
  "none", "argument", "launch", "config", "state", "root", "engine", "control", "exec", "cwd", "stdio",
];

/** MSB_CAUSE_*, by number. */
export const CAUSES = [
  "unknown", "exited", "signaled", "sandbox-ended", "stopped", "drained", "killed", "owner-gone",
  "memory-limit", "crashed", "start-failed", "idle-timeout", "max-duration", "wall-limit",
  "cpu-limit", "file-limit", "cpu-time", "output-limit",
];

/** MSB_LIMIT_*, by number of the bit. */
export const LIMITS = ["memory", "cpu-time", "wall-time", "processes", "output", "file-size", "overlay", "open-files"];

/** MSB_STATE_*, by number. */
export const STATES = ["unknown", "starting", "running", "draining", "stopped", "crashed"];

/** MSB_ENGINE_*, by number. */
export const ENGINES = ["auto", "gvisor", "qemu", "qemu-tcg", "job"];

/** MSB_METRIC_*, by number of the bit. */
export const METRICS = [
  "cpu-time", "cpu-permille", "memory-used", "memory-peak", "overlay-used", "disk-read", "disk-written",
  "net-received", "net-sent", "programs", "uptime",
];

/** MSB_ROOT_*, by number. */
export const ROOTS = ["host", "dir", "erofs"];

/** The resource limits of setrlimit(2), by Linux's number, as msb_rlimit has them. */
export const RLIMITS = ["cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as"];

export const STDIO = { ignore: 0, pipe: 1, fd: 2, inherit: 3, pty: 4, log: 5 };
/** MSB_MOUNT_* that are kinds, by number. */
export const MOUNTS = ["bind", "tmpfs", "erofs", "disk"];
/** MSB_MOUNT_* that are flags. */
export const MOUNT = { readOnly: 1, noExec: 2, noSuid: 4, noDev: 8, qcow2: 16 };
/** MSB_LOG_SOURCE_*, by number. */
export const LOG_SOURCES = ["unknown", "stdout", "stderr", "supervisor", "gap"];
/** MSB_LOGS_*; the addon sets what Windows needs. */
export const LOGS = { follow: 1, overlapped: 2 };
export const EVENT = { ready: 1, done: 2 };
export const INFO = { attached: 1, owner: 2, stored: 4, pooled: 8 };
/** Without async, which is always set. */
export const CREATE = { detached: 2, stored: 4, replace: 8 };
export const LIST = { stopped: 1, pooled: 2 };
export const POOL = { shrunken: 1, unfilled: 2 };

const SIGNALS = new Map(Object.entries(os.constants.signals).reverse().map(([name, n]) => [n, name]));

/** The name of a signal: "SIGTERM", or "SIG35" for one that has none. */
export const signalName = (signo) => SIGNALS.get(signo) ?? `SIG${signo}`;

/** The number of a signal given by name or number; undefined when there is no such name. */
export const signalNumber = (signal) => (typeof signal === "number" ? signal : os.constants.signals[signal]);
