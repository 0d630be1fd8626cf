// The addon with arguments that nobody should pass: an exception each time, never a crash.
import assert from "node:assert/strict";
import test from "node:test";

import { native } from "../lib/native.js";

import { assertNothingLeft, limit, rssBytes } from "./support.js";

/** xorshift32: the same sequence in each run. */
function random(seed) {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const throwing = {
  get name() {
    throw new RangeError("from a getter");
  },
  get argv() {
    throw new RangeError("from a getter");
  },
};

const odd = [
  undefined, null, true, 0, -1, 1, 1.5, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32, 2 ** 48 + 1, 2 ** 53, 2 ** 63, 1e300,
  10n, "", "text", "\0", "\ud800", Symbol("s"), [], [[]], [null, null, null], {}, new Uint8Array(4), new Uint16Array(2),
  new DataView(new ArrayBuffer(2)), Buffer.from([255]), () => {}, throwing, new Proxy([], {}), new Date(NaN),
  { argv: [] }, { argv: ["true"], stdio: 5 }, { argv: ["true"], stdio: [[9, 9]] }, { argv: ["true"], env: [7] },
  { argv: { length: 2 ** 40 } }, { name: "\0" }, { name: {} }, { engine: 99 }, { rootKind: -1 }, { memoryBytes: 2 ** 53 },
  { stateDir: new Uint8Array(5000).fill(97) }, { argv: ["x".repeat(2 ** 21)], stdio: [[0, 0], [0, 0], [0, 0]] },
];

// Those that could do what they were asked for: create, and probe, the lists and audit by their defaults.
const { version, setLogFd, sandboxCreate, probe, sandboxList, metricsList, audit, ...refusing } = native;

test("odd arguments throw", limit, async () => {
  const pick = random(20261123);
  const functions = Object.entries(refusing);
  for (let i = 0; i < 20_000; i++) {
    const [name, call] = functions[pick(functions.length)];
    const args = [odd[pick(odd.length)], odd[pick(odd.length)]];
    if (name === "close" && args[0] === 0) continue; // a no-op
    try {
      const result = call(...args);
      await assert.rejects(result instanceof Promise ? result : Promise.resolve(result), undefined, name);
    } catch (error) {
      if (error.code === "ERR_ASSERTION") throw error;
      assert.ok(error instanceof Error, name);
    }
  }
  await assertNothingLeft();
});

test("forged and closed handles are refused", limit, () => {
  const pick = random(7);
  for (let i = 0; i < 100_000; i++) {
    const handle = pick(2 ** 21) * 2 ** 32 + pick(2 ** 32);
    assert.throws(() => native.sandboxPid(handle), { code: "MSB_E_HANDLE" });
  }
});

test("options that cannot be converted start nothing", limit, async () => {
  for (const options of [{ name: 7 }, { memoryBytes: "1" }, { memoryBytes: -1 }, { engine: 1.5 }, throwing, null, undefined]) {
    assert.throws(() => native.sandboxCreate(options));
  }
  await assertNothingLeft();
});

test("errors do not leak", limit, () => {
  const refuse = (times) => {
    for (let i = 0; i < times; i++) {
      assert.throws(() => native.processStart(1, { argv: ["x".repeat(1000), "\0"], env: ["a"] }), { code: "MSB_E_INVALID" });
    }
  };
  refuse(5000);
  const before = rssBytes();
  refuse(50_000); // 50 MB, were the copies of argv kept
  assert.ok(rssBytes() - before < 24 * 2 ** 20, `RSS grew by ${rssBytes() - before} bytes`);
});
