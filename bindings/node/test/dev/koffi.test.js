// The same header through koffi, as a host without an addon of its own would use it.
import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";

const library = fileURLToPath(new URL("../../native/libmicrosandbox.so.0", import.meta.url));
const koffi = await import("koffi").then((module) => module.default, () => null);
const skip = koffi === null && "koffi is not installed: run make node-devtools";

function bind() {
  const error = koffi.struct("msb_error", {
    size: "uint32_t", code: "int32_t", sys_errno: "int32_t", stage: "uint32_t", message: koffi.array("char", 496, "String"),
  });
  const stdio = koffi.struct("msb_stdio", { kind: "uint32_t", reserved: "uint32_t", fd: "int64_t" });
  const sandboxOptions = koffi.struct("msb_sandbox_options", {
    size: "uint32_t", flags: "uint32_t", name: "const char *", msb_path: "const char *", state_dir: "const char *",
    engine: "uint32_t", root_kind: "uint32_t", root_path: "const char *", memory_bytes: "uint64_t",
    overlay_bytes: "uint64_t", start_timeout_ms: "int64_t", stop_grace_ms: "int64_t", replace_grace_ms: "int64_t",
    idle_timeout_ms: "int64_t", max_duration_ms: "int64_t", labels: "const char **",
  });
  const processOptions = koffi.struct("msb_process_options", {
    size: "uint32_t", flags: "uint32_t", argv: "const char **", env: "const char **", cwd: "const char *",
    stdio: koffi.array(stdio, 3), start_timeout_ms: "int64_t",
  });
  const outcome = koffi.struct("msb_outcome", {
    size: "uint32_t", cause: "uint32_t", exit_code: "int32_t", signal: "int32_t", wall_time_ns: "int64_t",
  });
  const lib = koffi.load(library);
  return {
    sizes: { error, sandboxOptions, processOptions, outcome },
    version: lib.func("uint32_t msb_version()"),
    create: lib.func("int32_t msb_sandbox_create(msb_sandbox_options *, _Out_ uint64_t *, _Inout_ msb_error *)"),
    pid: lib.func("int32_t msb_sandbox_pid(uint64_t, _Out_ int32_t *, void *)"),
    start: lib.func("int32_t msb_process_start(uint64_t, msb_process_options *, _Out_ uint64_t *, _Inout_ msb_error *)"),
    wait: lib.func("int32_t msb_wait(uint64_t, int64_t, _Inout_ msb_outcome *, _Inout_ msb_error *)"),
    close: lib.func("int32_t msb_close(uint64_t)"),
  };
}

test("version, create, pid, run, wait, close", { skip, timeout: 120_000 }, (t) => {
  const msb = bind();
  assert.equal(msb.version() >> 8, 1);

  const sized = (type, rest = {}) => ({ size: koffi.sizeof(type), ...rest });
  const blank = (type) => koffi.decode(Buffer.alloc(koffi.sizeof(type)), type);
  const error = { ...blank(msb.sizes.error), ...sized(msb.sizes.error) };
  const check = (result) => assert.equal(result, 0, error.message);

  const sandbox = [0];
  check(msb.create({ ...blank(msb.sizes.sandboxOptions), ...sized(msb.sizes.sandboxOptions) }, sandbox, error));
  try {
    const pid = [0];
    check(msb.pid(sandbox[0], pid, null));
    process.kill(pid[0], 0);

    const program = [0];
    const options = { ...blank(msb.sizes.processOptions), ...sized(msb.sizes.processOptions, { argv: ["true", null] }) };
    check(msb.start(sandbox[0], options, program, error));
    const outcome = { ...blank(msb.sizes.outcome), ...sized(msb.sizes.outcome) };
    check(msb.wait(program[0], 60_000, outcome, error));
    assert.deepEqual([outcome.cause, outcome.exit_code], [1, 0]);
    check(msb.close(program[0]));

    const calls = 20_000;
    const began = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) msb.pid(sandbox[0], pid, null);
    const perCall = Number(process.hrtime.bigint() - began) / calls;
    // Without --wrap=pthread_getattr_np it is about 80,000 ns.
    t.diagnostic(`msb_sandbox_pid through koffi: ${perCall.toFixed(0)} ns per call`);
  } finally {
    assert.equal(msb.close(sandbox[0]), 0);
    assert.equal(msb.close(sandbox[0]), -2, "a closed handle is refused");
  }
});
