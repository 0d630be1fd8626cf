// Sandboxes. Requests return at once; wait and close tell the end.
import { invalid } from "./errors.js";
import { ENGINES, EVENT, INFO, STATES } from "./names.js";
import { native, versionText } from "./native.js";
import { sandboxOptions } from "./options.js";
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
  };
}

/** Waits until the start has succeeded; throws its error, or the signal's reason. */
async function started(handle, signal) {
  const ready = new Watch(handle, EVENT.ready);
  const cancel = () => ready.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    await ready.fired;
    signal?.throwIfAborted();
    native.tryWait(handle);
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

export class Sandbox {
  #handle;
  #owned;
  #done = null;
  #disarming = null;
  #closing = null;
  #referenced = true;

  constructor(handle, owned) {
    this.#handle = handle;
    this.#owned = owned;
    this.name = native.sandboxName(handle);
    this.pid = native.sandboxPid(handle);
  }

  static async create(options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = native.sandboxCreate(sandboxOptions(options));
    try {
      await started(handle, signal);
      return new Sandbox(handle, true);
    } catch (error) {
      // What failed must also be gone; a second failure here would only hide the first.
      await closeAndWait(handle).catch(() => {});
      throw error;
    }
  }

  static async open(name, { stateDir } = {}) {
    if (name === undefined) throw invalid("name is required");
    return new Sandbox(await native.sandboxOpen({ name, stateDir }), false);
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
    if (this.#owned) {
      this.#referenced = true;
      try {
        const end = this.#untilDone();
        this.#done.watch.ref();
        // Stopped before it is closed, so that those who wait get the outcome.
        this.stop();
        await end;
      } catch {
        // Closing asks for the same, and harder.
        return closeAndWait(this.#handle);
      }
    } else {
      this.#done?.watch.cancel();
    }
    native.close(this.#handle);
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

/** The living sandboxes of a state directory, by name. */
export async function listSandboxes({ stateDir } = {}) {
  const entries = await native.sandboxList({ stateDir });
  return entries.map((entry) => ({
    name: entry.name,
    pid: entry.pid,
    state: STATES[entry.state] ?? "unknown",
    engine: ENGINES[entry.engine] ?? "unknown",
    attached: (entry.flags & INFO.attached) !== 0,
    createdAt: new Date(entry.createdUnixMs),
  }));
}

/** Boots a sandbox with these options and runs a program in it: would it work here? */
export async function probe(options = {}) {
  return infoOf(await native.probe(sandboxOptions(options)));
}

/** One line per action on a sandbox goes to fd; null turns it off. */
export function setLogFd(fd) {
  native.setLogFd(fd ?? -1);
}

/** The version of the loaded library. */
export const version = () => versionText(native.version());
