// Pools of sandboxes that are booted ahead.
import { fromNative } from "./errors.js";
import { POOL } from "./names.js";
import { native } from "./native.js";
import { poolOptions, takeOptions } from "./options.js";
import { Sandbox, ready, started, undo } from "./sandbox.js";
import { closeAndWait } from "./watch.js";

function infoOf({ flags, lastError, ...info }) {
  return {
    ...info,
    shrunken: (flags & POOL.shrunken) !== 0,
    lastError: lastError === undefined ? null : fromNative(lastError),
  };
}

export class Pool {
  #handle;
  #stateDir;
  #closing = null;

  constructor(handle, stateDir) {
    this.#handle = handle;
    this.#stateDir = stateDir;
  }

  static async create(options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = native.poolCreate(poolOptions(options));
    try {
      await ready(handle, signal);
      const { flags, lastError } = native.poolInfo(handle);
      if (flags & POOL.unfilled) throw fromNative(lastError);
      return new Pool(handle, options.stateDir);
    } catch (error) {
      await closeAndWait(handle);
      throw error;
    }
  }

  async take(options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = native.poolTake(this.#handle, takeOptions(options));
    try {
      await started(handle, signal);
      return new Sandbox(handle, !options.detached, this.#stateDir);
    } catch (error) {
      await undo(handle);
      throw error;
    }
  }

  resize(size) {
    native.poolResize(this.#handle, size);
  }

  info() {
    return infoOf(native.poolInfo(this.#handle));
  }

  close() {
    this.#closing ??= closeAndWait(this.#handle);
    return this.#closing;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }
}
