// What exists under a state directory: sandboxes, stored configurations, everything else.
import { invalid } from "./errors.js";
import { CAUSES, ENGINES, INFO, STATES } from "./names.js";
import { native } from "./native.js";
import { listOptions } from "./options.js";

const lines = (text) => (text === "" ? [] : text.split("\n"));

/** A value may hold "=", a name cannot. */
function labelsOf(text) {
  return Object.fromEntries(lines(text).map((line) => {
    const end = line.indexOf("=");
    return [line.slice(0, end), line.slice(end + 1)];
  }));
}

function entryOf(entry) {
  const runs = entry.pid !== 0;
  return {
    name: entry.name,
    // Never 0, which process.kill takes for the caller's own group.
    pid: runs ? entry.pid : null,
    state: STATES[entry.state] ?? "unknown",
    engine: runs ? ENGINES[entry.engine] ?? "unknown" : "unknown",
    attached: (entry.flags & INFO.attached) !== 0,
    stored: (entry.flags & INFO.stored) !== 0,
    pooled: (entry.flags & INFO.pooled) !== 0,
    lastCause: runs ? null : CAUSES[entry.lastCause] ?? "unknown",
    labels: labelsOf(entry.labels),
    createdAt: new Date(entry.createdUnixMs),
  };
}

/** The sandboxes of a state directory, by name. */
export async function listSandboxes(options = {}) {
  return (await native.sandboxList(listOptions(options))).map(entryOf);
}

/** Forgets a stored sandbox that does not run. */
export async function removeSandbox(name, { stateDir } = {}) {
  if (name === undefined) throw invalid("name is required");
  await native.sandboxRemove({ name, stateDir });
}

/** Everything that the library made and that still exists. */
export async function audit({ stateDir } = {}) {
  const { text, orphans } = await native.audit({ stateDir });
  return { orphans, lines: lines(text) };
}
