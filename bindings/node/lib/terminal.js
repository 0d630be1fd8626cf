// The master of a program's terminal as a stream: what is written to it is typed, what
// it gives is shown.
import { Duplex } from "node:stream";
import { ReadStream } from "node:tty";

export class Terminal extends Duplex {
  #tty;

  constructor(fd) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#tty = new ReadStream(fd);
    this.#tty.on("data", (chunk) => {
      if (!this.push(chunk)) this.#tty.pause();
    });
    this.#tty.on("end", () => this.push(null));
    // Linux tells the end, when nobody has the terminal any more, as an error.
    this.#tty.on("error", (error) => (error.code === "EIO" ? this.push(null) : this.destroy(error)));
    this.#tty.pause();
  }

  _read() {
    this.#tty.resume();
  }

  _write(chunk, encoding, callback) {
    this.#tty.write(chunk, (error) => callback(error?.code === "EIO" ? null : error));
  }

  /** Closing is the hang-up. */
  _destroy(error, callback) {
    this.#tty.once("close", () => callback(error));
    this.#tty.destroy();
  }

  ref() {
    this.#tty.ref();
    return this;
  }

  unref() {
    this.#tty.unref();
    return this;
  }
}
