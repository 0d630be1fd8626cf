// Waiting for a handle's events through libuv's poll: no thread waits anywhere.
import { Socket } from "node:net";

import { native } from "./native.js";
import { EVENT } from "./names.js";

export class Watch {
  #socket;

  /** @param {number} events of EVENT; any of them ends the watch */
  constructor(handle, events) {
    this.#socket = new Socket({ fd: native.fd(handle, events), readable: true, writable: false });
    /** Resolves once, when an event has happened or the watch was cancelled. */
    this.fired = new Promise((resolve) => {
      const fire = () => {
        this.#socket.destroy();
        resolve();
      };
      // The byte counts, not the end of file: another process may hold a copy of the other end.
      this.#socket.once("data", fire).once("end", fire).once("error", fire).once("close", resolve);
    });
  }

  cancel() {
    this.#socket.destroy();
  }

  ref() {
    this.#socket.ref();
  }

  unref() {
    this.#socket.unref();
  }
}

/** Closes a handle and waits until nothing of it is left. */
export async function closeAndWait(handle) {
  let done;
  try {
    done = new Watch(handle, EVENT.done);
  } finally {
    // Without a free descriptor there is nothing to wait on, but it is closed all the same.
    native.close(handle);
  }
  await done.fired;
}
