// run: start, feed, collect, and return when the program has ended.
import { readSync } from "node:fs";

import { timedOut } from "./errors.js";
import { native } from "./native.js";
import { checkRunOptions } from "./options.js";
import { Program } from "./program.js";

const DEFAULT_MAX_OUTPUT = 16 * 2 ** 20;
/** No pipe holds more (fs.pipe-max-size of an unprivileged user). */
const PIPE_BYTES = 2 ** 20;

class Collector {
  #pipe;
  #chunks = [];
  #room;
  #received = 0;
  truncated = false;

  constructor(pipe, maxOutput) {
    this.#pipe = pipe;
    this.#room = maxOutput;
    pipe.socket.on("data", (chunk) => this.#add(chunk)).on("error", () => {});
  }

  /** Reads on beyond the cap: a full pipe would stop the program. */
  #add(chunk) {
    this.#received += chunk.length;
    if (chunk.length > this.#room) this.truncated = true;
    if (this.#room === 0) return;
    const kept = chunk.subarray(0, this.#room);
    this.#chunks.push(kept);
    this.#room -= kept.length;
  }

  /**
   * Takes what the ended program has left in the pipe, and does not wait for
   * its end: a child of the program may hold the pipe open for ever.
   */
  async finish() {
    const { fd, socket } = this.#pipe;
    if (process.platform === "win32") {
      await this.#arrived(fd, socket);
      socket.destroy();
      return Buffer.concat(this.#chunks);
    }
    socket.pause();
    while (socket.read() !== null); // emits "data"
    for (let total = 0; !socket.destroyed && !socket.readableEnded && total < PIPE_BYTES;) {
      const chunk = Buffer.allocUnsafe(65536);
      let count;
      try {
        count = readSync(fd, chunk); // libuv has made our end non-blocking
      } catch {
        break;
      }
      if (count === 0) break;
      this.#add(chunk.subarray(0, count));
      total += count;
    }
    socket.destroy();
    return Buffer.concat(this.#chunks);
  }

  /** Where libuv has a read under way, which takes what is there now. */
  #arrived(fd, socket) {
    if (socket.destroyed || socket.readableEnded) return;
    const all = this.#received + native.pipeBytes(fd);
    return new Promise((resolve) => {
      const check = () => this.#received >= all && resolve();
      socket.on("data", check).once("end", resolve).once("close", resolve);
      check();
    });
  }
}

/** Ends the program on abort and on timeout; `reason` is then what run throws. */
class Deadline {
  #signal;
  #timer;
  #abort;
  reason = null;

  constructor(program, signal, timeout) {
    const end = (reason) => {
      this.reason ??= reason;
      program.terminate().catch(() => {}); // its end comes through program.end
    };
    this.#signal = signal;
    this.#abort = () => end(signal.reason);
    signal?.addEventListener("abort", this.#abort, { once: true });
    if (timeout !== undefined) {
      this.#timer = setTimeout(() => end(timedOut(`run: not finished in ${timeout} ms`)), timeout);
    }
  }

  clear() {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#abort);
  }
}

export async function run(sandbox, argv, { input, signal, timeout, maxOutput = DEFAULT_MAX_OUTPUT, ...options }) {
  checkRunOptions({ timeout, maxOutput, input, ...options });
  signal?.throwIfAborted();
  const stdio = { stdin: input === undefined ? "ignore" : "pipe", stdout: "pipe", stderr: "pipe" };
  const program = new Program(sandbox, argv, { ...options, ...stdio });
  const [stdin, stdout, stderr] = program.pipes;
  const output = [new Collector(stdout, maxOutput), new Collector(stderr, maxOutput)];
  // A program need not read its input: EPIPE is not an error of run.
  stdin?.socket.on("error", () => {}).end(input);

  const deadline = new Deadline(program, signal, timeout);
  let result;
  try {
    const outcome = await program.outcome();
    const [out, err] = await Promise.all(output.map((collector) => collector.finish()));
    const truncated = output.some((collector) => collector.truncated);
    result = { ...outcome, stdout: out, stderr: err, truncated };
  } catch (error) {
    throw deadline.reason ?? error;
  } finally {
    deadline.clear();
    program.destroyPipes();
  }
  if (deadline.reason === null) return result;
  if (deadline.reason.code === "MSB_E_TIMED_OUT") deadline.reason.partial = result;
  throw deadline.reason;
}
