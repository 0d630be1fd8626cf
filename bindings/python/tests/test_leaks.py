"""Descriptors, threads, children and what was forgotten."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings

from microsandbox import PIPE, AsyncSandbox, MicrosandboxError, Sandbox, list_sandboxes
from support import LibraryCase, alive, children, open_fds, python_threads, until


class LeakTest(LibraryCase):
    CYCLES = 50

    def cycle(self) -> None:
        with Sandbox() as box:
            box.run(["cat"], input=b"x")
            with box.spawn(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
                process.kill()
                process.wait()

    async def async_cycle(self) -> None:
        async with AsyncSandbox() as box:
            await box.run(["cat"], input=b"x")
            async with await box.spawn(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
                process.kill()
                await process.wait()

    def test_fds_and_threads(self) -> None:
        async def many(count: int) -> None:
            for _ in range(count):
                await self.async_cycle()

        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            self.cycle()
            asyncio.run(many(1))
            gc.collect()
            before, family = open_fds(), children(os.getpid())
            threads = os.listdir("/proc/self/task")
            for _ in range(self.CYCLES // 2):
                self.cycle()
            asyncio.run(many(self.CYCLES // 2))
            gc.collect()
        until(lambda: not open_fds() - before, "the end of the descriptors")
        self.assertEqual(python_threads(), 1)
        # The Go runtime starts threads as it needs them; their number has a bound.
        self.assertLess(len(os.listdir("/proc/self/task")), len(threads) + 12)
        self.assertEqual(list_sandboxes(), [])
        self.assertEqual(children(os.getpid()), family)

    def test_failed_starts_leave_nothing(self) -> None:
        with Sandbox() as box:
            with self.assertRaises(MicrosandboxError):
                box.run(["no-such-program"])
            before = open_fds()
            for _ in range(20):
                with self.assertRaises(MicrosandboxError):
                    box.run(["no-such-program"], input=b"x")
                with self.assertRaises(MicrosandboxError):
                    box.spawn(["no-such-program"], stdin=PIPE, stdout=PIPE)
            until(lambda: not open_fds() - before, "the end of the descriptors")

    def test_unclosed_sandbox_warns_and_ends(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            box = Sandbox(name="forgotten")
            pid = box.pid
            del box
            gc.collect()
        messages = [str(item.message) for item in caught if item.category is ResourceWarning]
        self.assertEqual(messages, ["unclosed sandbox forgotten"])
        until(lambda: not alive(pid), "the end of the supervisor")

    def test_closed_sandbox_does_not_warn(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with Sandbox(name="closed"):
                pass
            gc.collect()
        self.assertEqual(caught, [])
