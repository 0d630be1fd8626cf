// What can go wrong, as classes. What a guest program did is never here: that is an outcome.
import { getSystemErrorName } from "node:util";

import { RESULTS, STAGES } from "./names.js";

export class MicrosandboxError extends Error {
  /** @param {{code: number, errno?: number, stage?: number, message: string}} native */
  constructor(native) {
    super(native.message || RESULTS.get(native.code) || `microsandbox error ${native.code}`);
    this.name = new.target.name;
    this.code = RESULTS.get(native.code) ?? "MSB_E_?";
    this.result = native.code;
    this.errno = native.errno ?? 0;
    this.errnoName = this.errno > 0 ? getSystemErrorName(-this.errno) : "";
    this.stage = STAGES[native.stage ?? 0] ?? "none";
  }
}

/** A wrong argument; the message names it. */
export class InvalidError extends MicrosandboxError {}
/** The object was closed, before or during the call. */
export class ClosedError extends MicrosandboxError {}
/** The given time passed. From run, `partial` holds what the program had written. */
export class TimedOutError extends MicrosandboxError {}
/** No such sandbox, file or directory. */
export class NotFoundError extends MicrosandboxError {}
/** A living or stored sandbox has this name. */
export class ExistsError extends MicrosandboxError {}
/** The operating system refused. */
export class PermissionError extends MicrosandboxError {}
/** This engine, kernel or build cannot do it. */
export class UnsupportedError extends MicrosandboxError {}
/** The program never started: errno and stage ("exec", "cwd", "stdio") say why. */
export class ExecError extends MicrosandboxError {}
/** The sandbox did not come up. */
export class StartError extends MicrosandboxError {}
/** It has ended already, or before it could answer. */
export class EndedError extends MicrosandboxError {}

const CLASSES = {
  MSB_E_INVALID: InvalidError,
  MSB_E_HANDLE: ClosedError,
  MSB_E_CLOSED: ClosedError,
  MSB_E_TIMED_OUT: TimedOutError,
  MSB_E_NOT_FOUND: NotFoundError,
  MSB_E_EXISTS: ExistsError,
  MSB_E_PERMISSION: PermissionError,
  MSB_E_UNSUPPORTED: UnsupportedError,
  MSB_E_SETUP: StartError,
  MSB_E_LAUNCH: StartError,
  MSB_E_BOOT: StartError,
  MSB_E_EXEC: ExecError,
  MSB_E_DONE: EndedError,
  MSB_E_GONE: EndedError,
};

/** The exception for what the addon threw; anything but its error objects is returned as it is. */
export function fromNative(thrown) {
  if (thrown instanceof Error || typeof thrown?.code !== "number") return thrown;
  const Class = CLASSES[RESULTS.get(thrown.code)] ?? MicrosandboxError;
  return new Class(thrown);
}

export const invalid = (message) => fromNative({ code: -1, stage: 1, message });
export const timedOut = (message) => fromNative({ code: -4, message });
