"""Users, groups, umask and limits of programs, and what an outcome says of their use."""

from __future__ import annotations

import errno
import os
import signal
from typing import Any, NamedTuple

from microsandbox import Cause, Completed, ExecError
from support import PATIENCE
from twins import TwinCase

# Burns processor time until a signal ends it.
SPIN = ["sh", "-c", "while :; do :; done"]


class Case(NamedTuple):
    what: str
    script: str
    options: dict[str, Any]
    stdout: str


CASES = [
    Case("root", "id -u; id -g; id -G", {}, "0\n0\n0\n"),
    Case("user", "id -u; id -g; id -G", {"uid": 1000, "gid": 100}, "1000\n100\n100\n"),
    Case("groups", "id -G", {"gid": 5, "groups": [7, 9]}, "5 7 9\n"),
    Case("umask", "umask", {}, "0022\n"),
    Case("umask of 0", "umask", {"umask": 0}, "0000\n"),
    Case("umask of 077", "umask", {"umask": 0o077}, "0077\n"),
    Case("one limit", "ulimit -Sn; ulimit -Hn", {"rlimits": {"nofile": 64}}, "64\n64\n"),
    Case("two limits", "ulimit -Sn; ulimit -Hn", {"rlimits": {"nofile": (64, 128)}}, "64\n128\n"),
    Case("unlimited", "ulimit -Ss", {"rlimits": {"stack": None}}, "unlimited\n"),
    Case("several", "ulimit -n; ulimit -c", {"rlimits": {"nofile": 9, "core": 0}}, "9\n0\n"),
    Case("a wall limit kept", "echo in time", {"wall_limit": PATIENCE}, "in time\n"),
]


class LimitsTest(TwinCase):
    async def scenario_table(self, api: Any) -> None:
        async with await api.create() as box:
            for case in CASES:
                with self.subTest(case.what):
                    done: Completed = await box.run(["bash", "-c", case.script], **case.options)
                    self.assertEqual((done.text, done.error_text), (case.stdout, ""))
                    self.assertTrue(done.ok)

    async def scenario_passed(self, api: Any) -> None:
        table: list[tuple[str, list[str], dict[str, Any], Cause, int]] = [
            ("wall", ["sleep", "1000"], {"wall_limit": 0.2}, Cause.WALL_LIMIT, signal.SIGKILL),
            ("cpu", SPIN, {"rlimits": {"cpu": 1}}, Cause.CPU_LIMIT, signal.SIGKILL),
            ("cpu, soft", SPIN, {"rlimits": {"cpu": (1, 60)}}, Cause.CPU_LIMIT, signal.SIGXCPU),
            (
                "file",
                ["sh", "-c", "exec head -c 9000 /dev/zero > /tmp/file"],
                {"rlimits": {"fsize": 4096}},
                Cause.FILE_LIMIT,
                signal.SIGXFSZ,
            ),
        ]
        async with await api.create() as box:
            for what, argv, options, cause, signo in table:
                with self.subTest(what):
                    done: Completed = await box.run(argv, timeout=PATIENCE, **options)
                    self.assertEqual((done.cause, done.signal), (cause, signo))
                    self.assertIsNone(done.exit_code)
                    self.assertFalse(done.ok)

    async def scenario_spawn(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(["sleep", "1000"], uid=7, wall_limit=0.2) as process:
                outcome = await process.wait(PATIENCE)
                self.assertEqual(outcome.cause, Cause.WALL_LIMIT)
                self.assertEqual(str(outcome), "wall limit")

    async def scenario_usage(self, api: Any) -> None:
        script = "b = b'x' * (40 << 20)\nimport time\nwhile time.process_time() < 0.3: pass"
        async with await api.create() as box:
            done: Completed = (await box.run(["python3", "-c", script])).check()
            assert done.cpu_time is not None and done.memory_peak is not None
            self.assertGreater(done.cpu_time, 0.2)
            self.assertLess(done.cpu_time, PATIENCE)
            self.assertGreater(done.memory_peak, 40 << 20)
            self.assertLess(done.memory_peak, 512 << 20)
            box.inner.stop()
            outcome = await box.wait(PATIENCE)
            self.assertEqual((outcome.cpu_time, outcome.memory_peak), (None, None))

    async def scenario_above_the_sandbox(self, api: Any) -> None:
        async with await api.create() as box:
            with self.assertRaises(ExecError) as caught:
                await box.run(["true"], rlimits={"memlock": 1 << 40})
            self.assertEqual(caught.exception.errno, errno.EPERM, os.strerror(errno.EPERM))
            self.assertTrue((await box.run(["true"], rlimits={"memlock": 0})).ok)
