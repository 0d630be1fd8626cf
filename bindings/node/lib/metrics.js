// What sandboxes use: their last samples, as their supervisors wrote them.
import { METRICS } from "./names.js";
import { native } from "./native.js";

/** A limit of 0 is none. */
const limitOf = (bytes) => (bytes === 0 ? undefined : bytes);

export function metricsOf(sample) {
  const known = (name, value) => (sample.known & (1 << METRICS.indexOf(name)) ? value : undefined);
  return {
    name: sample.name,
    pid: sample.pid,
    sampledAt: new Date(sample.sampledUnixMs),
    uptime: known("uptime", sample.uptimeNs / 1e6),
    programs: known("programs", sample.programs),
    cpuTime: known("cpu-time", sample.cpuTimeNs / 1e6),
    cpuUsage: known("cpu-permille", sample.cpuPermille / 1000),
    memoryUsed: known("memory-used", sample.memoryUsedBytes),
    memoryPeak: known("memory-peak", sample.memoryPeakBytes),
    memoryLimit: limitOf(sample.memoryLimitBytes),
    overlayUsed: known("overlay-used", sample.overlayUsedBytes),
    overlayLimit: limitOf(sample.overlayLimitBytes),
    diskRead: known("disk-read", sample.diskReadBytes),
    diskWritten: known("disk-written", sample.diskWrittenBytes),
    netReceived: known("net-received", sample.netReceivedBytes),
    netSent: known("net-sent", sample.netSentBytes),
  };
}

/** The last samples of all living sandboxes of a state directory. */
export async function metrics({ stateDir } = {}) {
  return (await native.metricsList({ stateDir })).map(metricsOf);
}
