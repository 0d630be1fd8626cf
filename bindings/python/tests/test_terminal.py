"""spawn(pty=True): a terminal as two streams."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from microsandbox import PIPE, DoneError, ExecError, StateError
from support import PATIENCE
from twins import TwinCase

TRAP = "trap 'echo int; exit 4' INT; echo up; while :; do sleep 0.05; done"


class TerminalTest(TwinCase):
    async def scenario_program_on_a_terminal(self, api: Any) -> None:
        script = "test -t 0 && stty size; echo $TERM; read line; echo got-$line; exit 3"
        async with await api.create() as box:
            async with await box.spawn(["sh", "-c", script], pty=True) as process:
                self.assertIsNone(process.inner.stderr)
                self.assertEqual(await process.line(), b"24 80\r\n")
                self.assertEqual(await process.line(), b"xterm\r\n")
                await process.write(b"typed\r")
                self.assertEqual(await process.rest(), b"typed\r\ngot-typed\r\n")
                self.assertEqual((await process.wait(PATIENCE)).exit_code, 3)

    async def scenario_size_and_its_change(self, api: Any) -> None:
        script = "stty size; trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done"
        async with await api.create() as box:
            arguments = ["sh", "-c", script]
            async with await box.spawn(arguments, pty=True, rows=30, cols=120) as process:
                self.assertEqual(await process.line(), b"30 120\r\n")
                self.assertEqual(await process.line(), b"up\r\n")
                process.inner.resize(40, 132)
                self.assertEqual(await process.line(), b"40 132\r\n")
                for rows, cols in ((0, 80), (24, 65536), (-1, 80)):
                    with self.assertRaises(ValueError):
                        process.inner.resize(rows, cols)
                process.inner.kill()
                await process.wait(PATIENCE)
                with self.assertRaises(DoneError):
                    process.inner.resize(24, 80)

    async def scenario_interrupt(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(["sh", "-c", TRAP], pty=True) as process:
                self.assertEqual(await process.line(), b"up\r\n")
                await process.write(b"\x03")
                self.assertEqual(await process.rest(), b"^Cint\r\n")
                self.assertEqual((await process.wait(PATIENCE)).exit_code, 4)

    async def scenario_close_hangs_up(self, api: Any) -> None:
        async with await api.create() as box:
            script = "trap 'echo hung >/tmp/hung; exit' HUP; echo up; while :; do sleep 0.05; done"
            process = await box.spawn(["sh", "-c", script], pty=True)
            self.assertEqual(await process.line(), b"up\r\n")
            await process.close()
            check = "until test -e /tmp/hung; do sleep 0.02; done; cat /tmp/hung"
            self.assertEqual((await box.run(["timeout", "20", "sh", "-c", check])).stdout, b"hung\n")
            async with await box.spawn(["sleep", "1000"], pty=True) as other:
                self.assertIsNone(other.inner.poll())

    async def scenario_what_is_no_terminal(self, api: Any) -> None:
        async with await api.create() as box:
            for options in (
                {"pty": True, "stdin": PIPE},
                {"pty": True, "stdout": 1},
                {"pty": True, "rows": 0},
                {"pty": True, "cols": 65536},
                {"rows": 24},
                {"cols": 80},
            ):
                with self.assertRaises(ValueError, msg=str(options)):
                    await box.spawn(["true"], **options)
            with self.assertRaises(ExecError):
                await box.spawn(["/no/such/program"], pty=True)
            async with await box.spawn(["sleep", "1000"]) as process:
                with self.assertRaises(StateError):
                    process.inner.resize(24, 80)

    async def scenario_no_descriptor_is_left(self, api: Any) -> None:
        async with await api.create() as box:
            for _ in range(3):
                async with await box.spawn(["sleep", "1000"], pty=True) as process:
                    self.assertGreaterEqual(terminals(), 1)
                    process.inner.send_signal(signal.SIGTERM)
                    await process.wait(PATIENCE)
                self.assertEqual(terminals(), 0)


def terminals() -> int:
    """How many descriptors of terminals, either end, this process has open."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{fd}").startswith(("/dev/ptmx", "/dev/pts/"))
    return count
