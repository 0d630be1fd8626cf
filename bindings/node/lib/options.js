// Options as callers write them, to what the addon takes.
import { invalid } from "./errors.js";
import { CREATE, ENGINES, LIST, LOGS, LOG_SOURCES, MOUNT, MOUNTS, RLIMITS, ROOTS, STDIO } from "./names.js";

/** The longest that setTimeout can wait. */
const LONGEST_MS = 2 ** 31 - 1;

/** A misspelt limit must not be ignored. */
function refuseUnknown(rest) {
  const [name] = Object.keys(rest);
  if (name !== undefined) throw invalid(`unknown option "${name}"`);
}

function positive(name, value) {
  if (value !== undefined && !(value > 0)) throw invalid(`${name} must be positive`);
  return value;
}

/** Thousandths of a processor; 0 would be the default. */
function permille(cpus) {
  if (cpus === undefined) return undefined;
  if (!(cpus >= 0.01 && cpus < 2 ** 22)) throw invalid("cpus must be a number of processors from 0.01 on");
  return Math.round(cpus * 1000);
}

function enginesNumber(engine) {
  const number = ENGINES.indexOf(engine);
  if (number < 0) throw invalid(`engine must be one of ${ENGINES.join(", ")}`);
  return number;
}

function rootOf(root) {
  if (root === "host") return { rootKind: 0 };
  const [kind, ...more] = Object.keys(Object(root));
  const rootKind = ROOTS.indexOf(kind);
  if (typeof root === "string" || rootKind < 1 || more.length > 0) {
    throw invalid('root must be "host", {dir: path} or {erofs: path}');
  }
  return { rootKind, rootPath: root[kind] };
}

/** The bits of the flags that are set. */
function flagsOf(bits, given) {
  let flags = 0;
  for (const [name, bit] of Object.entries(bits)) {
    const value = given[name] ?? false;
    if (typeof value !== "boolean") throw invalid(`${name} must be true or false`);
    if (value) flags |= bit;
  }
  return flags;
}

/** Default when absent. In C 0 is the default, and none is negative. */
function zeroIsNone(name, value) {
  if (value < 0) throw invalid(`${name} must not be negative`);
  return value === 0 ? -1 : value;
}

/** One string or Uint8Array per property: what `write` makes of its name and value. */
function assignments(what, object, write) {
  if (object === null || typeof object !== "object" || Array.isArray(object)) throw invalid(`${what} must be an object`);
  return Object.entries(object).map(([name, value]) => {
    if (name === "" || name.includes("=")) throw invalid(`${what}: "${name}" cannot be a name`);
    return write(name, value);
  });
}

/** Of {bind: path}, {tmpfs: true}, {erofs: path} or {disk: path}, each with target and flags. */
function mountOf({ bind, tmpfs, erofs, disk, target, size, readOnly, noExec, noSuid, noDev, qcow2, ...rest }) {
  refuseUnknown(rest);
  const kinds = MOUNTS.filter((kind) => ({ bind, tmpfs, erofs, disk })[kind] !== undefined);
  if (kinds.length !== 1 || (tmpfs !== undefined && tmpfs !== true)) {
    throw invalid("mounts: each must have one of bind: path, tmpfs: true, erofs: path and disk: path");
  }
  if (target === undefined) throw invalid("mounts: target is required");
  return {
    kind: MOUNTS.indexOf(kinds[0]),
    flags: flagsOf(MOUNT, { readOnly, noExec, noSuid, noDev, qcow2 }),
    source: bind ?? erofs ?? disk,
    target,
    sizeBytes: positive("mounts: size", size),
  };
}

function mountsOf(mounts) {
  if (mounts === undefined) return undefined;
  if (!Array.isArray(mounts)) throw invalid("mounts must be an array");
  return mounts.map((mount) => mountOf(Object(mount)));
}

function labelsOf(labels) {
  if (labels === undefined) return undefined;
  return assignments("labels", labels, (name, value) => {
    if (typeof value !== "string") throw invalid(`labels: ${name} must be a string`);
    return `${name}=${value}`;
  });
}

export function sandboxOptions({
  name, engine = "auto", root = "host", memory, overlay, startTimeout, stopGrace, detached, stored, replace, replaceGrace,
  idleTimeout, maxDuration, metricsInterval, logMax, kernel, mounts, labels, stateDir, msbPath, signal,
  cpus, cpuWeight, cpuTimeLimit, maxProcesses, maxOpenFiles, ...rest
}) {
  refuseUnknown(rest);
  return {
    flags: flagsOf(CREATE, { detached, stored, replace }),
    name,
    kernelPath: kernel,
    stateDir,
    msbPath,
    labels: labelsOf(labels),
    mounts: mountsOf(mounts),
    engine: enginesNumber(engine),
    ...rootOf(root),
    memoryBytes: positive("memory", memory),
    overlayBytes: positive("overlay", overlay),
    logMaxBytes: positive("logMax", logMax),
    startTimeoutMs: positive("startTimeout", startTimeout),
    stopGraceMs: zeroIsNone("stopGrace", stopGrace),
    replaceGraceMs: zeroIsNone("replaceGrace", replaceGrace),
    idleTimeoutMs: positive("idleTimeout", idleTimeout),
    maxDurationMs: positive("maxDuration", maxDuration),
    metricsIntervalMs: zeroIsNone("metricsInterval", metricsInterval),
    cpuPermille: permille(cpus),
    cpuWeight: positive("cpuWeight", cpuWeight),
    cpuTimeLimitMs: positive("cpuTimeLimit", cpuTimeLimit),
    maxProcesses: positive("maxProcesses", maxProcesses),
    maxOpenFiles: positive("maxOpenFiles", maxOpenFiles),
  };
}

/** What a stored configuration leaves open. */
export function startOptions(name, { detached, startTimeout, stateDir, msbPath, signal, ...rest }) {
  refuseUnknown(rest);
  if (name === undefined) throw invalid("name is required");
  return {
    flags: flagsOf(CREATE, { detached }),
    name,
    stateDir,
    msbPath,
    startTimeoutMs: positive("startTimeout", startTimeout),
  };
}

/** Those of the sandboxes, and the pool's own. */
export function poolOptions({ size, idleSize, maxSandboxes, maxBoots, idleShrink, ...sandbox }) {
  return {
    sandbox: sandboxOptions(sandbox),
    poolSize: size,
    idleSize,
    maxSandboxes,
    maxBoots,
    idleShrinkMs: positive("idleShrink", idleShrink),
  };
}

export function takeOptions({
  name, labels, timeout, detached, replace, replaceGrace, idleTimeout, maxDuration, signal, ...rest
}) {
  refuseUnknown(rest);
  return {
    flags: flagsOf(CREATE, { detached, replace }),
    name,
    labels: labelsOf(labels),
    takeTimeoutMs: positive("timeout", timeout),
    idleTimeoutMs: zeroIsNone("idleTimeout", idleTimeout),
    maxDurationMs: zeroIsNone("maxDuration", maxDuration),
    replaceGraceMs: zeroIsNone("replaceGrace", replaceGrace),
  };
}

export function listOptions({ stopped, pooled, labels, stateDir, ...rest }) {
  refuseUnknown(rest);
  return { flags: flagsOf(LIST, { stopped, pooled }), labels: labelsOf(labels), stateDir };
}

/** All when absent, as 0 in C. */
function sourcesOf(sources) {
  if (sources === undefined) return 0;
  const names = LOG_SOURCES.slice(1, 4);
  const known = (source) => names.includes(source);
  if (!Array.isArray(sources) || sources.length === 0 || !sources.every(known)) {
    throw invalid(`sources must be an array of ${names.join(", ")}`);
  }
  return sources.reduce((bits, source) => bits | (1 << LOG_SOURCES.indexOf(source)), 0);
}

export function logsOptions(name, { tail, since, follow, sources, program, ...rest }) {
  refuseUnknown(rest);
  if (name === undefined) throw invalid("name is required");
  if (tail !== undefined && !Number.isSafeInteger(tail)) throw invalid("tail must be a number of lines");
  const sinceUnixMs = since === undefined ? undefined : Math.ceil(Number(since));
  if (Number.isNaN(sinceUnixMs)) throw invalid("since must be a Date, or ms since 1970");
  return {
    flags: flagsOf(LOGS, { follow }),
    sources: sourcesOf(sources),
    tailLines: zeroIsNone("tail", tail),
    sinceUnixMs,
    program: positive("program", program),
  };
}

function environment(env) {
  if (env === undefined || Array.isArray(env)) return env;
  return assignments("env", env, (name, value) => {
    if (typeof value === "string") return `${name}=${value}`;
    if (value instanceof Uint8Array) return Buffer.concat([Buffer.from(`${name}=`), value]);
    throw invalid(`env: ${name} must be a string or a Uint8Array`);
  });
}

function stdioOf(name, value) {
  if (Number.isInteger(value) && value >= 0) return [STDIO.fd, value];
  const names = name === "stdin" ? ["pipe", "ignore", "inherit"] : ["pipe", "ignore", "inherit", "log"];
  if (names.includes(value)) return [STDIO[value], 0];
  throw invalid(`${name} must be one of ${names.join(", ")}, or a file descriptor`);
}

/** In C the largest number is no limit; the addon takes a negative one for that. */
function rlimitOf(name, value) {
  if (value === Infinity) return -1;
  if (!(Number.isSafeInteger(value) && value >= 0)) throw invalid(`rlimits: ${name} must be a number from 0 on, or Infinity`);
  return value;
}

/** Resource, soft and hard limit of each, one after another. */
function rlimitsOf(rlimits) {
  if (rlimits === undefined) return undefined;
  if (rlimits === null || typeof rlimits !== "object" || Array.isArray(rlimits)) throw invalid("rlimits must be an object");
  return Object.entries(rlimits).flatMap(([name, limit]) => {
    const resource = RLIMITS.indexOf(name);
    if (resource < 0) throw invalid(`rlimits: ${name} must be one of ${RLIMITS.join(", ")}`);
    const both = typeof limit === "number" ? [limit, limit] : limit;
    if (!Array.isArray(both) || both.length !== 2) throw invalid(`rlimits: ${name} must be a number, or [soft, hard]`);
    return [resource, ...both.map((value) => rlimitOf(name, value))];
  });
}

/** Rows or columns of a terminal. */
export function sideOf(name, value) {
  if (!(Number.isInteger(value) && value >= 1 && value <= 65535)) throw invalid(`${name} must be a number from 1 to 65535`);
  return value;
}

/** A terminal takes the place of all three streams. */
function terminalOf(pty, streams) {
  if (streams.some((value) => value !== undefined)) throw invalid("pty: stdin, stdout and stderr are the terminal");
  if (pty !== true && (pty === null || typeof pty !== "object")) throw invalid("pty must be true, or {rows, cols}");
  const { rows = 24, cols = 80, ...rest } = pty === true ? {} : pty;
  refuseUnknown(rest);
  return { rows: sideOf("rows", rows), cols: sideOf("cols", cols), stdio: Array(3).fill([STDIO.pty, 0]) };
}

function streamsOf([stdin = "pipe", stdout = "pipe", stderr = "pipe"]) {
  return { stdio: [stdioOf("stdin", stdin), stdioOf("stdout", stdout), stdioOf("stderr", stderr)] };
}

export function processOptions(argv, {
  env, clearEnv = false, cwd, startTimeout, stdin, stdout, stderr, pty = false,
  uid, gid, groups, umask, rlimits, wallLimit, outputLimit, ...rest
}) {
  refuseUnknown(rest);
  const streams = [stdin, stdout, stderr];
  return {
    argv,
    env: environment(env),
    clearEnv: clearEnv ? 1 : 0,
    cwd,
    startTimeoutMs: positive("startTimeout", startTimeout),
    uid,
    gid,
    groups,
    umask,
    rlimits: rlimitsOf(rlimits),
    wallLimitMs: positive("wallLimit", wallLimit),
    outputLimitBytes: positive("outputLimit", outputLimit),
    ...(pty === false ? streamsOf(streams) : terminalOf(pty, streams)),
  };
}

/** What run adds to the options of a program. */
export function checkRunOptions({ timeout, maxOutput, input, ...options }) {
  for (const name of ["stdin", "stdout", "stderr", "pty"]) {
    if (name in options) throw invalid(`run collects the output itself: use spawn for ${name}`);
  }
  if (timeout !== undefined && !(timeout > 0 && timeout <= LONGEST_MS)) {
    throw invalid(`timeout must be 1 to ${LONGEST_MS} ms`);
  }
  if (!(maxOutput >= 0)) throw invalid("maxOutput must be a number of bytes");
  if (input !== undefined && typeof input !== "string" && !(input instanceof Uint8Array)) {
    throw invalid("input must be a string or a Uint8Array");
  }
}
