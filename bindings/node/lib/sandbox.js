// Sandboxes. Requests return at once; wait and close tell the end.
import { invalid } from "./errors.js";
import { logs } from "./logs.js";
import { metricsOf } from "./metrics.js";
import { ENGINES, EVENT, INFO, STATES } from "./names.js";
import { native, versionText } from "./native.js";
import { sandboxOptions, startOptions } from "./options.js";
import { Process } from "./process.js";
import { Program, endOf, request } from "./program.js";
import { run } from "./run.js";
import { Watch, closeAndWait } from "./watch.js";

function infoOf(info) {
  return {
    state: STATES[info.state] ?? "unknown",
    engine: ENGINES[info.engine] ?? "unknown",
    attached: (info.flags & INFO.attached) !== 0,
    owner: (info.flags & INFO.owner) !== 0,
    pid: info.pid,
    programs: info.programs,
    memory: info.memoryBytes,
    overlay: info.overlayBytes,
    createdAt: new Date(info.createdUnixMs),
    receipt: info.receipt,
    cpus: info.cpuPermille / 1000 || null,
    cpuWeight: info.cpuWeight || null,
    cpuTimeLimit: info.cpuTimeLimitMs || null,
    maxProcesses: info.maxProcesses || null,
    maxOpenFiles: info.maxOpenFiles || null,
  };
}

/** Waits for the event ready; throws the signal's reason. */
export async function ready(handle, signal) {
  const watch = new Watch(handle, EVENT.ready);
  const cancel = () => watch.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    await watch.fired;
    signal?.throwIfAborted();
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** Waits until the start has succeeded; throws its error, or the signal's reason. */
export async function started(handle, signal) {
  await ready(handle, signal);
  native.tryWait(handle);
}

/** Ends what was begun; true when it had come up already. A detached one would outlive its handle. */
export async function undo(handle) {
  try {
    request(() => native.sandboxStop(handle, 0));
    await new Watch(handle, EVENT.done).fired;
    native.tryWait(handle);
    return true;
  } catch {
    return false; // it never ran; what went wrong first is what the caller gets
  } finally {
    native.close(handle);
  }
}

export class Sandbox {
  #handle;
  /** Closing ends it. */
  #owned;
  #stateDir;
  #done = null;
  #disarming = null;
  #closing = null;
  #referenced = true;

  constructor(handle, owned, stateDir) {
    this.#handle = handle;
    this.#owned = owned;
    this.#stateDir = stateDir;
    this.name = native.sandboxName(handle);
    this.pid = native.sandboxPid(handle);
  }

  static async create(options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = native.sandboxCreate(sandboxOptions(options));
    try {
      await started(handle, signal);
      return new Sandbox(handle, !options.detached, options.stateDir);
    } catch (error) {
      const { name, stateDir, stored } = options;
      if ((await undo(handle)) && stored) await native.sandboxRemove({ name, stateDir }).catch(() => {});
      throw error;
    }
  }

  static async start(name, options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = native.sandboxStart(startOptions(name, options));
    try {
      await started(handle, signal);
      return new Sandbox(handle, !options.detached, options.stateDir);
    } catch (error) {
      await undo(handle);
      throw error;
    }
  }

  static async open(name, { stateDir } = {}) {
    if (name === undefined) throw invalid("name is required");
    return new Sandbox(await native.sandboxOpen({ name, stateDir }), false, stateDir);
  }

  run(argv, options = {}) {
    return run(this.#handle, argv, options);
  }

  async spawn(argv, { signal, ...options } = {}) {
    signal?.throwIfAborted();
    const program = new Program(this.#handle, argv, options);
    const abort = () => program.terminate().catch(() => {});
    signal?.addEventListener("abort", abort, { once: true });
    const forget = () => signal?.removeEventListener("abort", abort);
    program.end.then(forget, forget);
    try {
      await program.started();
      signal?.throwIfAborted();
    } catch (error) {
      program.destroyPipes();
      await program.terminate();
      throw error;
    }
    return new Process(program);
  }

  stop(grace = -1) {
    return request(() => native.sandboxStop(this.#handle, grace));
  }

  drain(deadline = -1) {
    return request(() => native.sandboxDrain(this.#handle, deadline));
  }

  kill() {
    return request(() => native.kill(this.#handle, 9));
  }

  async info() {
    return infoOf(await native.sandboxInfo(this.#handle));
  }

  async metrics() {
    return metricsOf(await native.sandboxMetrics(this.#handle));
  }

  logs(options = {}) {
    return logs(this.name, { ...options, stateDir: this.#stateDir });
  }

  async disarm() {
    this.#disarming = native.sandboxDisarm(this.#handle);
    await this.#disarming;
    this.#owned = false;
  }

  /** One watch for all who wait. It keeps the process running unless unref was called. */
  #untilDone() {
    if (this.#done === null) {
      const watch = new Watch(this.#handle, EVENT.done);
      const end = watch.fired.then(() => endOf(this.#handle));
      end.catch(() => {}); // each caller of wait has its own promise
      this.#done = { watch, end };
      if (!this.#referenced) watch.unref();
    }
    return this.#done.end;
  }

  async wait() {
    return this.#untilDone();
  }

  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    await this.#disarming?.catch(() => {});
    if (!this.#owned) {
      this.#done?.watch.cancel();
      native.close(this.#handle);
      return;
    }
    if (this.#done !== null) await this.#endForWaiters().catch(() => {});
    await closeAndWait(this.#handle);
  }

  /** Stops it before it is closed, so that those who wait get the outcome. */
  async #endForWaiters() {
    this.#referenced = true;
    this.#done.watch.ref();
    const info = await native.sandboxInfo(this.#handle).catch(() => null);
    if (info !== null && (info.flags & INFO.attached) === 0) return; // "msb detach" was called: it lives on
    this.stop();
    await this.#untilDone();
  }

  ref() {
    this.#referenced = true;
    this.#done?.watch.ref();
    return this;
  }

  unref() {
    this.#referenced = false;
    this.#done?.watch.unref();
    return this;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }
}

/** Boots a sandbox with these options and runs a program in it: would it work here? */
export async function probe(options = {}) {
  // A trial must neither live on, nor be kept, nor end another sandbox.
  return infoOf(await native.probe({ ...sandboxOptions(options), flags: 0 }));
}

/** One line per action on a sandbox goes to fd; null turns it off. */
export function setLogFd(fd) {
  native.setLogFd(fd ?? -1);
}

/** The version of the loaded library. */
export const version = () => versionText(native.version());
