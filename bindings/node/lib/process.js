// A program with streams. Made by sandbox.spawn.
export class Process {
  #program;

  constructor(program) {
    this.#program = program;
    this.number = program.number;
    [this.stdin, this.stdout, this.stderr] = program.pipes.map((pipe) => pipe?.socket ?? null);
    this.terminal = program.terminal?.socket ?? null;
  }

  /** The outcome, once the program has ended. Output may still be in the streams. */
  wait() {
    return this.#program.outcome();
  }

  resize(rows, cols) {
    return this.#program.resize(rows, cols);
  }

  kill(signal = "SIGTERM") {
    return this.#program.kill(signal);
  }

  /** Ends the program if it still runs, and resolves when it has ended. */
  async close() {
    this.#program.destroyPipes();
    await this.#program.terminate();
  }

  ref() {
    this.#program.ref();
    return this;
  }

  unref() {
    this.#program.unref();
    return this;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }
}
