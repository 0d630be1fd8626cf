// Waiting for a handle's events: libuv's poll does it on Linux, so that no thread waits.
import { Socket } from "node:net";

import { native } from "./native.js";
import { EVENT } from "./names.js";

class Descriptor {
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

/** On Windows the system's thread pool waits, for an event object. */
class EventObject {
  #watch;
  #resolve;

  constructor(handle, events) {
    this.fired = new Promise((resolve) => (this.#resolve = resolve));
    // The callback holds this object: nobody else may, and it must not be garbage.
    this.#watch = native.watch(handle, events, () => this.cancel());
  }

  cancel() {
    native.watchEnd(this.#watch);
    this.#resolve();
  }

  ref() {
    native.watchRef(this.#watch);
  }

  unref() {
    native.watchUnref(this.#watch);
  }
}

export const Watch = process.platform === "win32" ? EventObject : Descriptor;

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
