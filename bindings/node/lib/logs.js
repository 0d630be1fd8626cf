// The log of a sandbox, entry by entry.
import { closeSync } from "node:fs";
import { Socket } from "node:net";

import { MicrosandboxError } from "./errors.js";
import { LOG_SOURCES } from "./names.js";
import { native } from "./native.js";
import { logsOptions } from "./options.js";

/** Of msb_log_frame, and with the most content. */
const HEADER_BYTES = 40;
const FRAME_BYTES = 32808;

/** The checksum was verified by who read it from the file: a local socket needs none. */
function entryOf(frame) {
  const source = LOG_SOURCES[frame.readUInt32LE(8)] ?? "unknown";
  const content = frame.subarray(HEADER_BYTES);
  const gap = source === "gap";
  return {
    source,
    program: Number(frame.readBigUInt64LE(16)),
    time: new Date(Number(frame.readBigInt64LE(24) / 1_000_000n)),
    position: Number(frame.readBigUInt64LE(32)),
    data: gap ? Buffer.alloc(0) : content,
    missing: gap ? Number(content.readBigUInt64LE(0)) : 0,
    reason: gap ? content.toString("utf8", 8) : null,
  };
}

const broken = (what) => new MicrosandboxError({ code: -15, message: `logs: ${what}` });

/** The whole frames in chunks as they come. */
async function* framesOf(chunks) {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 4) {
      const length = rest.readUInt32LE(0);
      if (length < HEADER_BYTES || length > FRAME_BYTES) throw broken(`a frame of ${length} bytes`);
      if (rest.length < length) break;
      yield rest.subarray(0, length);
      rest = rest.subarray(length);
    }
  }
  if (rest.length > 0) throw broken(`the last frame was cut off after ${rest.length} bytes`);
}

function socketOf(fd) {
  try {
    return new Socket({ fd, readable: true, writable: false });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function* entries(options, signal) {
  signal?.throwIfAborted();
  const socket = socketOf(await native.logsOpen(options));
  const abort = () => socket.destroy(signal.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    signal?.throwIfAborted();
    for await (const frame of framesOf(socket)) yield entryOf(frame);
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", abort);
    socket.destroy();
  }
}

/** Wrong options throw at once; the log is opened when the first entry is asked for. */
export function logs(name, { stateDir, signal, ...options } = {}) {
  return entries({ name, stateDir, ...logsOptions(name, options) }, signal);
}
