// Run untrusted code in a sandbox from inside any program. index.d.ts is the reference.
export {
  ClosedError, EndedError, ExecError, ExistsError, InvalidError, MicrosandboxError, NotFoundError,
  PermissionError, StartError, TimedOutError, UnsupportedError,
} from "./lib/errors.js";
export { audit, listSandboxes, removeSandbox } from "./lib/listing.js";
export { logs } from "./lib/logs.js";
export { metrics } from "./lib/metrics.js";
export { Pool } from "./lib/pool.js";
export { Process } from "./lib/process.js";
export { Sandbox, probe, setLogFd, version } from "./lib/sandbox.js";
