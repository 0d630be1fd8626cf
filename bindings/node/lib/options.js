// Options as callers write them, to what the addon takes.
import { invalid } from "./errors.js";
import { ENGINES, ROOTS, STDIO } from "./names.js";

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

export function sandboxOptions({
  name, engine = "auto", root = "host", memory, overlay, startTimeout, stopGrace, stateDir, msbPath, signal, ...rest
}) {
  refuseUnknown(rest);
  if (stopGrace < 0) throw invalid("stopGrace must not be negative");
  return {
    name,
    stateDir,
    msbPath,
    engine: enginesNumber(engine),
    ...rootOf(root),
    memoryBytes: positive("memory", memory),
    overlayBytes: positive("overlay", overlay),
    startTimeoutMs: positive("startTimeout", startTimeout),
    stopGraceMs: stopGrace === 0 ? -1 : stopGrace, // the C default is 0, none is negative
  };
}

function environment(env) {
  if (env === undefined || Array.isArray(env)) return env;
  if (env === null || typeof env !== "object") throw invalid("env must be an object or an array");
  return Object.entries(env).map(([name, value]) => {
    if (name === "" || name.includes("=")) throw invalid(`env: "${name}" cannot be a name`);
    if (typeof value === "string") return `${name}=${value}`;
    if (value instanceof Uint8Array) return Buffer.concat([Buffer.from(`${name}=`), value]);
    throw invalid(`env: ${name} must be a string or a Uint8Array`);
  });
}

function stdioOf(name, value) {
  if (Number.isInteger(value) && value >= 0) return [STDIO.fd, value];
  if (value === "pipe" || value === "ignore" || value === "inherit") return [STDIO[value], 0];
  throw invalid(`${name} must be "pipe", "ignore", "inherit" or a file descriptor`);
}

export function processOptions(argv, {
  env, clearEnv = false, cwd, startTimeout, stdin = "pipe", stdout = "pipe", stderr = "pipe", ...rest
}) {
  refuseUnknown(rest);
  return {
    argv,
    env: environment(env),
    clearEnv: clearEnv ? 1 : 0,
    cwd,
    startTimeoutMs: positive("startTimeout", startTimeout),
    stdio: [stdioOf("stdin", stdin), stdioOf("stdout", stdout), stdioOf("stderr", stderr)],
  };
}

/** What run adds to the options of a program. */
export function checkRunOptions({ timeout, maxOutput, input, ...options }) {
  for (const name of ["stdin", "stdout", "stderr"]) {
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
