// The tables of lib/names.js against the headers.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";

import {
  CAUSES, CREATE, ENGINES, EVENT, INFO, LIMITS, LIST, LOGS, LOG_SOURCES, METRICS, MOUNT, MOUNTS, POOL, RESULTS, ROOTS,
  STAGES, STATES, STDIO, signalName,
} from "../lib/names.js";

const headers = new URL("../../../include/microsandbox/", import.meta.url);
const header = readdirSync(headers)
  .map((name) => readFileSync(new URL(name, headers), "utf8"))
  .join("\n");

function defined(prefix) {
  const found = [...header.matchAll(new RegExp(`^#define (${prefix}\\w+) +\\(?(-?(?:0x)?[0-9a-f]+)u?\\)?`, "gm"))];
  assert.ok(found.length > 0, `${prefix} is in the header`);
  return new Map(found.map(([, name, value]) => [name, Number(value)]));
}

const inHeaderStyle = (prefix, name) => prefix + name.toUpperCase().replaceAll("-", "_");

test("results", () => {
  assert.deepEqual(new Map([...RESULTS].map(([value, name]) => [name, value])), defined("MSB_E_"));
});

for (const [prefix, names, first] of [
  ["MSB_STAGE_", STAGES, 0],
  ["MSB_CAUSE_", CAUSES, 0],
  ["MSB_STATE_", STATES, 1],
  ["MSB_ENGINE_", ENGINES, 0],
  ["MSB_ROOT_", ROOTS, 0],
  ["MSB_LOG_SOURCE_", LOG_SOURCES, 1],
]) {
  test(prefix, () => {
    const ours = names.map((name, value) => [inHeaderStyle(prefix, name), value]).slice(first);
    assert.deepEqual(new Map(ours), defined(prefix));
  });
}

for (const [prefix, table] of [
  ["MSB_EVENT_", EVENT],
  ["MSB_INFO_", INFO],
  ["MSB_CREATE_", { async: 1, ...CREATE }], // the addon itself sets async
  ["MSB_LIST_", LIST],
  ["MSB_POOL_", POOL],
  ["MSB_LOGS_", LOGS],
]) {
  test(prefix, () => {
    const ours = Object.entries(table).map(([name, value]) => [inHeaderStyle(prefix, name), value]);
    assert.deepEqual(new Map(ours), defined(prefix));
  });
}

test("MSB_METRIC_", () => {
  const ours = METRICS.map((name, bit) => [inHeaderStyle("MSB_METRIC_", name), 1 << bit]);
  assert.deepEqual(new Map(ours), defined("MSB_METRIC_"));
});

test("MSB_LIMIT_", () => {
  const ours = LIMITS.map((name, bit) => [inHeaderStyle("MSB_LIMIT_", name), 1 << bit]);
  assert.deepEqual(new Map(ours), defined("MSB_LIMIT_"));
});

test("MSB_MOUNT_", () => {
  const kinds = MOUNTS.map((name, value) => [inHeaderStyle("MSB_MOUNT_", name), value]);
  const flags = Object.entries(MOUNT).map(([name, bit]) => [inHeaderStyle("MSB_MOUNT_", name), bit]);
  assert.deepEqual(new Map([...kinds, ...flags]), defined("MSB_MOUNT_"));
});

test("MSB_STDIO_", () => {
  const { ignore, ...rest } = STDIO;
  const ours = Object.entries({ null: ignore, ...rest });
  assert.deepEqual(
    new Map(ours.map(([name, value]) => [inHeaderStyle("MSB_STDIO_", name), value])),
    defined("MSB_STDIO_"),
  );
});

test("signal names prefer the common alias", () => {
  assert.equal(signalName(6), "SIGABRT");
  assert.equal(signalName(9), "SIGKILL");
  assert.equal(signalName(40), "SIG40");
});
