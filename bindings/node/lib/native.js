// The only module that knows the addon. It is loaded at the first call, not at import.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import { MicrosandboxError, fromNative } from "./errors.js";

/** $MSB_NODE_ADDON, else native/ in the package, with the library and msb beside it. */
function addonPath() {
  return process.env.MSB_NODE_ADDON || fileURLToPath(new URL("../native/microsandbox.node", import.meta.url));
}

function unusable(message) {
  return new MicrosandboxError({ code: -10, message: `microsandbox: ${message}` });
}

function load() {
  const path = addonPath();
  if (!["linux", "win32"].includes(process.platform)) {
    throw unusable(`runs on Linux and Windows only, not on ${process.platform}`);
  }
  let addon;
  try {
    addon = createRequire(import.meta.url)(path);
  } catch (error) {
    // The report names the glibc in use; with musl there is none. It is slow, hence only here.
    if (process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime) {
      throw unusable("musl cannot load a Go shared library; use a Node built for glibc (not Alpine)");
    }
    const cause = error.message.split("\n")[0];
    throw unusable(`cannot load the addon: ${cause}; reinstall the package, or run "make node" in the source tree`);
  }
  const [loaded, built] = [addon.version(), addon.headerVersion];
  // Minor versions only add, but before 1.0 they may change too; patches are free.
  if (loaded >> 8 !== built >> 8) {
    throw unusable(`libmicrosandbox ${versionText(loaded)} was loaded, the addon needs ${versionText(built)}`);
  }
  return addon;
}

export const versionText = (v) => `${v >> 16}.${(v >> 8) & 255}.${v & 255}`;

let addon;

function find(name) {
  addon ??= load();
  return addon[name];
}

// Every function of the addon, with its error objects turned into exceptions.
const call = (name) => {
  let native;
  return (...args) => {
    native ??= find(name);
    try {
      return native(...args);
    } catch (error) {
      throw fromNative(error);
    }
  };
};

// Awaited here, so that the exception has the stack of the caller.
const callAsync = (name) => async (options) => {
  try {
    return await find(name)(options);
  } catch (error) {
    throw fromNative(error);
  }
};

export const native = {
  version: call("version"),
  setLogFd: call("setLogFd"),
  sandboxCreate: call("sandboxCreate"),
  sandboxStart: call("sandboxStart"),
  sandboxPid: call("sandboxPid"),
  sandboxName: call("sandboxName"),
  sandboxDrain: call("sandboxDrain"),
  sandboxStop: call("sandboxStop"),
  poolCreate: call("poolCreate"),
  poolTake: call("poolTake"),
  poolResize: call("poolResize"),
  poolInfo: call("poolInfo"),
  processStart: call("processStart"),
  processStdio: call("processStdio"),
  processNumber: call("processNumber"),
  processResize: call("processResize"),
  kill: call("kill"),
  tryWait: call("tryWait"),
  fd: call("fd"), // on Linux; the next five on Windows
  watch: call("watch"),
  watchEnd: call("watchEnd"),
  watchRef: call("watchRef"),
  watchUnref: call("watchUnref"),
  pipeBytes: call("pipeBytes"),
  close: call("close"),
  // On libuv's pool of four threads, which fs and dns share: seldom, and never to wait.
  sandboxOpen: callAsync("sandboxOpen"),
  sandboxRemove: callAsync("sandboxRemove"),
  sandboxList: callAsync("sandboxList"),
  sandboxInfo: callAsync("sandboxInfo"),
  sandboxDisarm: callAsync("sandboxDisarm"),
  probe: callAsync("probe"),
  audit: callAsync("audit"),
  sandboxMetrics: callAsync("sandboxMetrics"),
  metricsList: callAsync("metricsList"),
  logsOpen: callAsync("logsOpen"),
};
