"""Measures of what this process and others hold, and fresh interpreters."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Callable, Optional, TypedDict

from microsandbox import (
    DoneError,
    GoneError,
    NotFoundError,
    Sandbox,
    list_sandboxes,
    remove_sandbox,
)

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[2]
PACKAGE_PATH = TESTS.parent / "src"
PATIENCE = 60.0  # seconds that a loaded machine may take for what takes none


class Outliving(TypedDict):
    detached: bool
    max_duration: float


#: for a sandbox that outlives its test process should all else fail
DETACHED: Outliving = {"detached": True, "max_duration": 120}


def end_all() -> None:
    """Kills and forgets every sandbox of the present state directory, by name."""
    for entry in list_sandboxes(stopped=True):
        with contextlib.suppress(NotFoundError, DoneError, GoneError):
            with Sandbox.open(entry.name) as box:
                box.kill()
                box.wait(PATIENCE)
        with contextlib.suppress(NotFoundError):
            remove_sandbox(entry.name)


class LibraryCase(unittest.TestCase):
    """A test with a state directory of its own."""

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


def children(pid: int) -> set[str]:
    found: set[str] = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            found.update(file.read().split())
    return found


def sleeps(thread: int) -> bool:
    """Whether a thread, or the main thread of a process, is inside poll or epoll_wait."""
    with open(f"/proc/{thread}/wchan") as file:
        where = file.read()
    with open(f"/proc/{thread}/syscall") as file:
        number = file.read().split()[0]
    # x86-64: poll 7, epoll_wait 232, ppoll 271, epoll_pwait 281.
    return "poll" in where or number in ("7", "232", "271", "281")
