"""One test for two worlds, and measures of what a process holds.

A TwinCase writes its tests as `async def scenario_x(self, api)`; each becomes
test_x_sync, where api wraps Sandbox and nothing ever suspends, and test_x_async,
where api wraps AsyncSandbox under an event loop.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Coroutine, Optional

from microsandbox import AsyncProcess, AsyncSandbox, Completed, Outcome, Process, Sandbox

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[2]
PACKAGE_PATH = TESTS.parent / "src"
PATIENCE = 60.0  # seconds that a loaded machine may take for what takes none


class SyncProcess:
    """A Process with the verbs of an AsyncProcess."""

    def __init__(self, inner: Process) -> None:
        self.inner = inner

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return self.inner.wait(timeout)

    async def write(self, data: bytes, close: bool = False) -> None:
        assert self.inner.stdin
        self.inner.stdin.write(data)
        self.inner.stdin.flush()
        if close:
            self.inner.stdin.close()

    async def line(self) -> bytes:
        assert self.inner.stdout
        return self.inner.stdout.readline()

    async def rest(self) -> bytes:
        assert self.inner.stdout
        return self.inner.stdout.read()

    async def close(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> SyncProcess:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


class LoopProcess:
    def __init__(self, inner: AsyncProcess) -> None:
        self.inner = inner

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return await self.inner.wait(timeout)

    async def write(self, data: bytes, close: bool = False) -> None:
        assert self.inner.stdin
        self.inner.stdin.write(data)
        await self.inner.stdin.drain()
        if close:
            self.inner.stdin.close()

    async def line(self) -> bytes:
        assert self.inner.stdout
        return await self.inner.stdout.readline()

    async def rest(self) -> bytes:
        assert self.inner.stdout
        return await self.inner.stdout.read()

    async def close(self) -> None:
        await self.inner.close()

    async def __aenter__(self) -> LoopProcess:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


class SyncBox:
    """A Sandbox with the verbs of an AsyncSandbox."""

    def __init__(self, inner: Sandbox) -> None:
        self.inner = inner

    async def run(self, argv: Any, **options: Any) -> Completed:
        return self.inner.run(argv, **options)

    async def spawn(self, argv: Any, **options: Any) -> SyncProcess:
        return SyncProcess(self.inner.spawn(argv, **options))

    async def info(self) -> Any:
        return self.inner.info()

    async def disarm(self) -> None:
        self.inner.disarm()

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return self.inner.wait(timeout)

    async def close(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> SyncBox:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


class LoopBox:
    def __init__(self, inner: AsyncSandbox) -> None:
        self.inner = inner

    async def run(self, argv: Any, **options: Any) -> Completed:
        return await self.inner.run(argv, **options)

    async def spawn(self, argv: Any, **options: Any) -> LoopProcess:
        return LoopProcess(await self.inner.spawn(argv, **options))

    async def info(self) -> Any:
        return await self.inner.info()

    async def disarm(self) -> None:
        await self.inner.disarm()

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return await self.inner.wait(timeout)

    async def close(self) -> None:
        await self.inner.close()

    async def __aenter__(self) -> LoopBox:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


class SyncApi:
    async def create(self, **options: Any) -> Any:
        return SyncBox(Sandbox(**options))

    async def open(self, name: str, **options: Any) -> Any:
        return SyncBox(Sandbox.open(name, **options))


class LoopApi:
    async def create(self, **options: Any) -> Any:
        return LoopBox(await AsyncSandbox.create(**options))

    async def open(self, name: str, **options: Any) -> Any:
        return LoopBox(await AsyncSandbox.open(name, **options))


Scenario = Callable[[Any, Any], Coroutine[Any, Any, None]]


def _sync_test(scenario: Scenario) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        coroutine = scenario(self, SyncApi())
        try:
            coroutine.send(None)
        except StopIteration:
            return
        finally:
            coroutine.close()
        self.fail("the synchronous world suspended")

    return test


def _loop_test(scenario: Scenario) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        asyncio.run(scenario(self, LoopApi()))

    return test


class LibraryCase(unittest.TestCase):
    """A test with a state directory of its own, that leaves no descriptor and no thread."""

    state: str

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="msb-py-")
        self.addCleanup(directory.cleanup)
        self.state = directory.name
        before = os.environ.get("MSB_HOME")
        os.environ["MSB_HOME"] = self.state
        self.addCleanup(self._restore, before)

    def _restore(self, before: Optional[str]) -> None:
        if before is None:
            del os.environ["MSB_HOME"]
        else:
            os.environ["MSB_HOME"] = before


class TwinCase(LibraryCase):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, scenario in list(vars(cls).items()):
            if name.startswith("scenario_"):
                test = name.replace("scenario_", "test_", 1)
                setattr(cls, f"{test}_sync", _sync_test(scenario))
                setattr(cls, f"{test}_async", _loop_test(scenario))


def open_fds() -> set[str]:
    """What this process holds open, by number and target."""
    found: set[str] = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            pass  # the one that listed the directory
    return found


def python_threads() -> int:
    return threading.active_count()


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def until(condition: Callable[[], bool], what: str) -> None:
    """For what gives no event: another process's state, the garbage collector."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not come: {what}")
        time.sleep(0.02)


def environment(**extra: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(PACKAGE_PATH), str(TESTS))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **extra}


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A fresh interpreter that runs code; the library is not loaded in it yet."""
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", code, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
