// One started program: its handle, its pipe ends and its end. Process and run are made of it.
import { closeSync } from "node:fs";
import { Socket } from "node:net";

import { fromNative, invalid } from "./errors.js";
import { CAUSES, EVENT, LIMITS, STDIO, signalName, signalNumber } from "./names.js";
import { native } from "./native.js";
import { processOptions, sideOf } from "./options.js";
import { Terminal } from "./terminal.js";
import { Watch } from "./watch.js";

/** An outcome as callers see it. */
export function outcomeOf({ cause, exitCode, signal, wallTimeNs, cpuTimeNs, memoryPeakBytes, limitsHit }) {
  return {
    cause: CAUSES[cause] ?? "unknown",
    exitCode: exitCode < 0 ? null : exitCode,
    signal: signal === 0 ? null : signalName(signal),
    wallTime: wallTimeNs < 0 ? null : wallTimeNs / 1e6,
    cpuTime: cpuTimeNs < 0 ? null : cpuTimeNs / 1e6,
    memoryPeak: memoryPeakBytes === 0 ? null : memoryPeakBytes,
    limitsHit: LIMITS.filter((_, bit) => limitsHit & (1 << bit)),
  };
}

/** The outcome of a handle whose DONE event came. Throws the error of a failed start. */
export function endOf(handle) {
  const outcome = native.tryWait(handle);
  if (outcome === null) throw fromNative({ code: -99, message: "wait: the end was announced but has not come" });
  return outcomeOf(outcome);
}

/** Runs a request; false when there was nothing left to act on. */
export function request(send) {
  try {
    send();
    return true;
  } catch (error) {
    if (error.code === "MSB_E_DONE" || error.code === "MSB_E_GONE") return false;
    throw error;
  }
}

function openStream(handle, which) {
  const fd = native.processStdio(handle, which);
  try {
    return { fd, socket: new Socket({ fd, readable: which !== 0, writable: which === 0 }) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openTerminal(handle) {
  const fd = native.processStdio(handle, 0);
  try {
    return { fd, socket: new Terminal(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export class Program {
  #handle;
  #done;
  #ended = false;

  constructor(sandbox, argv, options) {
    const given = processOptions(argv, options);
    this.#handle = native.processStart(sandbox, given);
    /** {fd, socket} of stdin, stdout and stderr, or null where there is no pipe. */
    this.pipes = [null, null, null];
    /** A terminal takes their place; {socket} or null. */
    this.terminal = null;
    /** What the log calls the program; 0 while it is starting, or when it never ran. */
    this.number = 0;
    try {
      this.#done = new Watch(this.#handle, EVENT.done);
      given.stdio.forEach(([kind], which) => {
        if (kind === STDIO.pty && which === 0) this.terminal = openTerminal(this.#handle);
        if (kind === STDIO.pipe) this.pipes[which] = openStream(this.#handle, which);
      });
    } catch (error) {
      this.#abandon();
      throw error;
    }
    /** The outcome; rejects when the program never started. The handle is given back by then. */
    this.end = this.#untilEnd();
    this.end.catch(() => {}); // who does not wait has asked not to know
  }

  async #untilEnd() {
    await this.#done.fired;
    this.#ended = true;
    try {
      this.number = native.processNumber(this.#handle);
      return endOf(this.#handle);
    } finally {
      native.close(this.#handle);
    }
  }

  /** The end, with the stack of who waits in the exception. */
  async outcome() {
    try {
      return await this.end;
    } catch (error) {
      Error.captureStackTrace(error);
      throw error;
    }
  }

  /** No descriptor was free: the program is ended as far as it can be reached. */
  #abandon() {
    this.#done?.cancel();
    this.destroyPipes();
    try {
      native.kill(this.#handle, 9);
    } catch {
      // still starting, or ended: closing is all that is left
    }
    native.close(this.#handle);
  }

  destroyPipes() {
    for (const pipe of this.#streams()) pipe?.socket.destroy();
  }

  #streams() {
    return [...this.pipes, this.terminal];
  }

  /** Gives the terminal a size; false when the program has ended. */
  resize(rows, cols) {
    const size = [sideOf("rows", rows), sideOf("cols", cols)];
    if (this.terminal === null) throw invalid("resize: the program has no terminal");
    return !this.#ended && request(() => native.processResize(this.#handle, ...size));
  }

  /** Resolves when the program runs (or has run); rejects when it could not be started. */
  async started() {
    if (this.#ended) return;
    const ready = new Watch(this.#handle, EVENT.ready);
    try {
      await Promise.race([ready.fired, this.outcome()]);
      if (this.#ended) return;
      native.tryWait(this.#handle);
      this.number = native.processNumber(this.#handle);
    } finally {
      ready.cancel();
    }
  }

  /** Sends a signal by name or number; false when the program has ended. */
  kill(signal) {
    const signo = signalNumber(signal);
    if (signo === undefined) throw invalid(`unknown signal "${signal}"`);
    return !this.#ended && request(() => native.kill(this.#handle, signo));
  }

  /** SIGKILL as soon as the program can take one; resolves when it has ended. */
  async terminate() {
    try {
      this.kill(9);
    } catch (error) {
      if (error.code !== "MSB_E_STATE") throw error;
      await this.started().then(() => this.kill(9), () => {});
    }
    await this.end.catch(() => {});
  }

  ref() {
    this.#done.ref();
    for (const pipe of this.#streams()) pipe?.socket.ref();
  }

  unref() {
    this.#done.unref();
    for (const pipe of this.#streams()) pipe?.socket.unref();
  }
}
