"""The package on Windows: `python windows` with MSB_LIBRARY set, as tests/windows does
under wine. MSB_TEST_GUEST is the program that the sandboxes run."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Awaitable, Callable, Coroutine

import microsandbox
from microsandbox import (
    LOG,
    PIPE,
    AsyncSandbox,
    Cause,
    ClosedError,
    Engine,
    ExecError,
    LogSource,
    RunTimeoutError,
    Sandbox,
    TimedOutError,
    UnsupportedError,
    _structs,
)

assert sys.platform == "win32"

import msvcrt  # noqa: E402

GUEST = os.environ["MSB_TEST_GUEST"]
PATIENCE = 60.0


def handles() -> int:
    """How many this process has."""
    count = ctypes.c_uint32()
    kernel32 = ctypes.WinDLL("kernel32")
    assert kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(count))
    return count.value


class Case(unittest.TestCase):
    """A state directory whose path is more than ASCII."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="grüße-", ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def box(self, **options: Any) -> Sandbox:
        return Sandbox(engine=Engine.JOB, state_dir=self.directory, **options)


class HeaderTest(unittest.TestCase):
    def test_structs(self) -> None:
        """The recorded layout, which a compiler for Windows has checked."""
        root = Path(__file__).resolve().parents[4]
        text = (root / "tests" / "header" / "layout.json").read_text("utf-8")
        recorded: dict[str, Any] = json.loads(text)["structs"]
        for name, struct in _structs.STRUCTS.items():
            with self.subTest(name):
                self.assertEqual(ctypes.sizeof(struct), recorded[name]["size"])
                for field, place in recorded[name]["fields"].items():
                    member = getattr(struct, field)
                    self.assertEqual((member.offset, member.size), (place["offset"], place["size"]))


class SyncTest(Case):
    def test_auto_is_refused(self) -> None:
        with self.assertRaisesRegex(UnsupportedError, "MSB_ENGINE_JOB"):
            Sandbox(state_dir=self.directory)
        self.assertEqual(microsandbox.list_sandboxes(self.directory), [])

    def test_run(self) -> None:
        with self.box(name="läuft") as box:
            self.assertEqual(box.name, "läuft")
            self.assertEqual(box.info().engine, Engine.JOB)
            said = box.run([GUEST, "guest", "say"])
            self.assertEqual((said.stdout, said.stderr), (b"to stdout", b"to stderr"))
            self.assertEqual((said.cause, said.exit_code), (Cause.EXITED, 0))
            self.assertEqual(box.run(["cmd.exe", "/c", "exit 300"]).exit_code, 300)
            with self.assertRaises(ExecError):
                box.run(["no-such-program"])

    def test_megabytes(self) -> None:
        data = os.urandom(3 << 20)
        with self.box() as box:
            copied = box.run([GUEST, "guest", "copy"], input=data)
            self.assertEqual(copied.exit_code, 3)
            self.assertEqual(copied.stdout, data)
            capped = box.run([GUEST, "guest", "copy"], input=data, max_output=1000)
            self.assertEqual((capped.stdout, capped.stdout_truncated), (data[:1000], True))
            # Input that nobody takes is no error.
            self.assertEqual(box.run(["cmd.exe", "/c", "exit 0"], input=data).exit_code, 0)

    def test_time_limit(self) -> None:
        with self.box() as box:
            with self.assertRaises(RunTimeoutError) as caught:
                box.run([GUEST, "guest", "wait"], timeout=1.5)
            self.assertTrue(caught.exception.completed.stdout.strip().isdigit())
            with box.spawn([GUEST, "guest", "wait"]) as program:
                with self.assertRaises(TimedOutError):
                    program.wait(0.1)
                program.kill()
                self.assertEqual(program.wait(PATIENCE).cause, Cause.SIGNALED)

    def test_spawn(self) -> None:
        with self.box() as box:
            with box.spawn([GUEST, "guest", "copy"], stdin=PIPE, stdout=PIPE) as program:
                assert program.stdin is not None and program.stdout is not None
                program.stdin.write(b"one")
                program.stdin.flush()
                self.assertEqual(program.stdout.read(3), b"one")
                program.stdin.close()
                self.assertEqual(program.stdout.read(), b"")
                self.assertEqual(program.wait(PATIENCE).exit_code, 3)

    def test_close_drops_input(self) -> None:
        with self.box() as box:
            with box.spawn([GUEST, "guest", "wait"], stdin=PIPE) as program:
                assert program.stdin is not None
                filler = threading.Thread(target=self.fill, args=(program.stdin.fileno(),))
                filler.start()
                filler.join(PATIENCE)
                program.stdin.write(b"x")  # buffered, and the pipe is full
            self.assertTrue(program.stdin.closed)

    @staticmethod
    def fill(fd: int) -> None:
        from microsandbox import _platform

        class File:
            @staticmethod
            def fileno() -> int:
                return fd

        _platform.never_wait(File())  # type: ignore[arg-type]
        try:
            while os.write(fd, b"x" * 1024):
                pass
        except OSError:
            pass

    def test_given_files(self) -> None:
        path = self.directory / "out"
        with self.box() as box:
            with open(path, "wb") as file:
                with box.spawn([GUEST, "guest", "say"], stdout=file, stderr=file.fileno()) as p:
                    self.assertEqual(p.wait(PATIENCE).exit_code, 0)
        self.assertEqual(sorted(path.read_bytes()), sorted(b"to stdoutto stderr"))

    def test_log(self) -> None:
        with self.box() as box:
            with box.spawn([GUEST, "guest", "say"], stdout=LOG, stderr=LOG) as program:
                self.assertEqual(program.wait(PATIENCE).exit_code, 0)
                entries = list(box.logs(program=program.number))
            said = {entry.source: entry.content for entry in entries}
            self.assertEqual(said[LogSource.STDOUT], b"to stdout")
            self.assertEqual(said[LogSource.STDERR], b"to stderr")
            with box.logs(follow=True) as log:
                next(log)  # closed in the middle, with a read under way

    def test_log_of_actions(self) -> None:
        path = self.directory / "actions"
        with open(path, "wb") as file:
            microsandbox.set_log_fd(file.fileno())
        try:
            with self.box(name="told"):
                pass
        finally:
            microsandbox.set_log_fd(None)
        self.assertIn(b"told", path.read_bytes())

    def test_stored_and_detached(self) -> None:
        box = self.box(name="kept", detached=True, stored=True, max_duration=120)
        box.close()
        self.assertEqual([e.name for e in microsandbox.list_sandboxes(self.directory)], ["kept"])
        with Sandbox.open("kept", state_dir=self.directory) as again:
            self.assertEqual(again.run(["cmd.exe", "/c", "exit 4"]).exit_code, 4)
            again.stop(0)
            self.assertEqual(again.wait(PATIENCE).cause, Cause.STOPPED)
        microsandbox.remove_sandbox("kept", state_dir=self.directory)
        self.assertEqual(microsandbox.audit(self.directory).orphans, 0)

    def test_ctrl_c_ends_a_wait(self) -> None:
        with self.box() as box:
            with box.spawn([GUEST, "guest", "wait"]) as program:
                timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
                timer.start()
                before = time.monotonic()
                with self.assertRaises(KeyboardInterrupt):
                    program.wait(PATIENCE)
                timer.join()
                self.assertLess(time.monotonic() - before, PATIENCE / 2)
                self.assertIsNone(program.poll())

    def test_pools_are_refused(self) -> None:
        with self.assertRaisesRegex(UnsupportedError, "create each sandbox"):
            microsandbox.Pool(size=1, engine=Engine.JOB, state_dir=self.directory)

    def test_terminals_are_refused(self) -> None:
        with self.box() as box:
            with self.assertRaises(UnsupportedError):
                box.spawn(["cmd.exe"], pty=True)

    def test_handles_come_back(self) -> None:
        with self.box() as box:

            def once() -> None:
                box.run([GUEST, "guest", "say"])
                with box.spawn([GUEST, "guest", "copy"], stdin=PIPE, stdout=PIPE):
                    pass
                list(box.logs())

            once()
            before = handles()
            for _ in range(10):
                once()
            self.assertLess(handles() - before, 10)


def driven(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> Callable[[Callable[[Any], Coroutine[Any, Any, None]]], Callable[[Any], None]]:
    def wrap(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
        def run(self: Any) -> None:
            running = loop()
            try:
                running.run_until_complete(asyncio.wait_for(test(self), PATIENCE))
            finally:
                running.close()

        return run

    return wrap


class AsyncTest(Case):
    def create(self, **options: Any) -> Awaitable[AsyncSandbox]:
        return AsyncSandbox.create(engine=Engine.JOB, state_dir=self.directory, **options)

    @driven(asyncio.ProactorEventLoop)
    async def test_streams(self) -> None:
        async with await self.create() as box:
            program = await box.spawn([GUEST, "guest", "copy"], stdin=PIPE, stdout=PIPE)
            async with program:
                assert program.stdin is not None and program.stdout is not None
                program.stdin.write(b"one\n")
                await program.stdin.drain()
                self.assertEqual(await program.stdout.readline(), b"one\n")
                program.stdin.close()
                self.assertEqual(await program.stdout.read(), b"")
                self.assertEqual((await program.wait(PATIENCE)).exit_code, 3)
            async with await box.spawn([GUEST, "guest", "wait"], stdin=PIPE, stdout=PIPE) as left:
                pass  # killed, with its streams open
            self.assertTrue(left.closed)

    @driven(asyncio.ProactorEventLoop)
    async def test_many_at_once(self) -> None:
        data = os.urandom(1 << 20)
        async with await self.create() as box:
            runs = [box.run([GUEST, "guest", "copy"], input=data) for _ in range(6)]
            self.assertTrue(all(r.stdout == data for r in await asyncio.gather(*runs)))

    @driven(asyncio.SelectorEventLoop)
    async def test_the_other_loop(self) -> None:
        async with await self.create() as box:
            self.assertEqual((await box.run([GUEST, "guest", "say"])).stdout, b"to stdout")
            with self.assertRaisesRegex(NotImplementedError, "Proactor"):
                await box.spawn([GUEST, "guest", "copy"], stdin=PIPE)

    @driven(asyncio.ProactorEventLoop)
    async def test_cancelling(self) -> None:
        async with await self.create() as box:
            run = asyncio.ensure_future(box.run([GUEST, "guest", "wait"]))
            while (await box.info()).programs == 0:
                await asyncio.sleep(0.05)
            run.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await run
            self.assertEqual((await box.info()).programs, 0)
            with self.assertRaises(TimedOutError):
                await box.wait(0.1)

    @driven(asyncio.ProactorEventLoop)
    async def test_log(self) -> None:
        async with await self.create() as box:
            async with await box.spawn([GUEST, "guest", "say"], stdout=LOG) as program:
                await program.wait(PATIENCE)
                said = [e.content async for e in box.logs(program=program.number)]
            self.assertEqual(said, [b"to stdout"])
        with self.assertRaises(ClosedError):
            await box.info()


if __name__ == "__main__":
    print(msvcrt.__name__, sys.version, flush=True)
    unittest.main(verbosity=2)
