"""run(): what goes in, what comes out, and when it returns."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from typing import Any, NamedTuple, Optional

from microsandbox import (
    Cause,
    ClosedError,
    Completed,
    ExecError,
    ProgramError,
    RunTimeoutError,
    Stage,
)
from support import PATIENCE
from twins import TwinCase

MIB = os.urandom(1 << 20)
NOT_UTF8 = b"caf\xe9 \xff\x80"


class Case(NamedTuple):
    what: str
    argv: list[Any]
    options: dict[str, Any] = {}
    stdout: Optional[bytes] = b""
    stderr: bytes = b""
    exit_code: Optional[int] = 0
    signal: Optional[int] = None


def sh(script: str, *arguments: Any) -> list[Any]:
    return ["sh", "-c", script, "sh", *arguments]


CASES = [
    Case("nothing", ["true"]),
    Case("exit code", sh("exit 7"), exit_code=7),
    Case("highest exit code", sh("exit 255"), exit_code=255),
    Case("signal", sh("kill -KILL $$"), exit_code=None, signal=9),
    Case("both outputs", sh("echo out; echo err >&2"), {}, b"out\n", b"err\n"),
    Case("no input is end of file", ["cat"]),
    Case("empty input", ["cat"], {"input": b""}),
    Case("input", ["cat"], {"input": b"a\0b"}, b"a\0b"),
    Case("bytearray", ["cat"], {"input": bytearray(b"ab")}, b"ab"),
    Case("memoryview", ["cat"], {"input": memoryview(b"abc")[1:]}, b"bc"),
    Case("1 MiB each way", ["cat"], {"input": MIB}, MIB),
    Case("input that nobody reads", ["true"], {"input": MIB}),
    Case("input that is closed", sh("exec <&-; echo on"), {"input": MIB}, b"on\n"),
    Case("bytes in argv", ["printf", "%s", NOT_UTF8], {}, NOT_UTF8),
    Case("surrogates in argv", ["printf", "%s", os.fsdecode(NOT_UTF8)], {}, NOT_UTF8),
    Case("bytes in env", sh('printf %s "$V"'), {"env": {b"V": NOT_UTF8}}, NOT_UTF8),
    Case("empty argument", ["printf", "%s|", "", "a"], {}, b"|a|"),
    Case("default env", sh("echo $HOME $LANG"), {}, b"/root C.UTF-8\n"),
    Case("env adds", sh("echo $HOME $V"), {"env": {"V": "1"}}, b"/root 1\n"),
    Case("env overrides", sh("echo $HOME"), {"env": {"HOME": "/h"}}, b"/h\n"),
    Case(
        "clear env",
        ["/usr/bin/env"],
        {"env": {"V": "1"}, "clear_env": True},
        b"V=1\n",
    ),
    Case("cwd", ["pwd"], {"cwd": "/tmp"}, b"/tmp\n"),
    Case("output cap", sh("printf 123456"), {"max_output": 4}, b"1234"),
]


class RunTest(TwinCase):
    async def scenario_table(self, api: Any) -> None:
        async with await api.create() as box:
            for case in CASES:
                with self.subTest(case.what):
                    done = await box.run(case.argv, **case.options)
                    self.assertEqual(done.stderr, case.stderr)
                    self.assertEqual(done.exit_code, case.exit_code)
                    self.assertEqual(done.signal, case.signal)
                    cause = Cause.EXITED if case.signal is None else Cause.SIGNALED
                    self.assertEqual(done.cause, cause)
                    digest = hashlib.sha256(case.stdout or b"").hexdigest()
                    self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), digest, done.text[:80])

    async def scenario_cap(self, api: Any) -> None:
        async with await api.create() as box:
            script = "head -c 3000000 /dev/zero; echo over >&2"
            done = await box.run(sh(script), max_output=1000)
            self.assertEqual((len(done.stdout), done.stderr), (1000, b"over\n"))
            self.assertEqual(
                (done.stdout_truncated, done.stderr_truncated, done.truncated), (True, False, True)
            )
            self.assertTrue(done.ok, "the program was blocked by its output")
            done = await box.run(["printf", "1234"], max_output=4)
            self.assertFalse(done.truncated)
            done = await box.run(["printf", "1"], max_output=0)
            self.assertEqual((done.stdout, done.stdout_truncated), (b"", True))

    async def scenario_cannot_start(self, api: Any) -> None:
        table: list[tuple[str, list[str], dict[str, Any], int, Stage]] = [
            ("no such program", ["no-such-program"], {}, errno.ENOENT, Stage.EXEC),
            ("no such path", ["/no/such"], {}, errno.ENOENT, Stage.EXEC),
            ("not executable", ["/etc/passwd"], {}, errno.EACCES, Stage.EXEC),
            ("a directory", ["/tmp"], {}, errno.EACCES, Stage.EXEC),
            ("no such cwd", ["true"], {"cwd": "/no/such"}, errno.ENOENT, Stage.CWD),
            ("cwd is a file", ["true"], {"cwd": "/etc/passwd"}, errno.ENOTDIR, Stage.CWD),
        ]
        async with await api.create() as box:
            for what, argv, options, number, stage in table:
                for verb in (box.run, box.spawn):
                    with self.subTest(what, verb=verb.__name__):
                        with self.assertRaises(ExecError) as caught:
                            await verb(argv, **options)
                        error = caught.exception
                        self.assertEqual((error.errno, error.stage), (number, stage), str(error))
                        self.assertEqual(error.code, -14)
                        self.assertNotIn("\n", error.message)
            self.assertTrue((await box.run(["true"])).ok)

    async def scenario_timeout(self, api: Any) -> None:
        async with await api.create() as box:
            for what, script in [
                ("silent", "echo so far; echo err >&2; exec sleep 1000"),
                ("flooding", "echo so far; echo err >&2; exec yes"),
            ]:
                with self.subTest(what), self.assertRaises(RunTimeoutError) as caught:
                    await box.run(sh(script), timeout=1, max_output=8)
                done = caught.exception.completed
                self.assertIsInstance(caught.exception, TimeoutError)
                self.assertEqual((done.stdout[:7], done.stderr), (b"so far\n", b"err\n"))
                self.assertEqual((done.cause, done.signal), (Cause.SIGNALED, 9))
            done = await box.run(["true"], timeout=PATIENCE)
            self.assertTrue(done.ok)

    async def scenario_child_holds_output(self, api: Any) -> None:
        async with await api.create() as box:
            begin = time.monotonic()
            done = await box.run(sh("sleep 300 & echo parent"), timeout=PATIENCE)
            self.assertEqual((done.stdout, done.exit_code), (b"parent\n", 0))
            done = await box.run(sh("yes & echo parent"), timeout=PATIENCE, max_output=100)
            self.assertEqual(done.exit_code, 0)
            self.assertLess(time.monotonic() - begin, PATIENCE)

    async def scenario_check(self, api: Any) -> None:
        async with await api.create() as box:
            done = await box.run(["echo", "ok"])
            self.assertIs(done.check(), done)
            self.assertEqual(done.text, "ok\n")
            done = await box.run(sh("echo why >&2; exit 3"))
            with self.assertRaises(ProgramError) as caught:
                done.check()
            self.assertEqual(str(caught.exception), "exit code 3: why")
            self.assertIs(caught.exception.completed, done)
            self.assertEqual(done.error_text, "why\n")

    async def scenario_closed(self, api: Any) -> None:
        box = await api.create()
        await box.close()
        await box.close()
        for verb in (box.run, box.spawn):
            with self.assertRaises(ClosedError) as caught:
                await verb(["true"])
            self.assertIsInstance(caught.exception, ValueError)

    async def scenario_wall_time(self, api: Any) -> None:
        async with await api.create() as box:
            done: Completed = await box.run(["sleep", "0.2"])
            assert done.wall_time is not None
            self.assertGreater(done.wall_time, 0.15)
            self.assertLess(done.wall_time, PATIENCE)
