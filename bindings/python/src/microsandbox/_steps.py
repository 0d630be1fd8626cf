"""Waiting, written once for both worlds.

Whatever has to wait is a generator of Wait requests that is sent the set of
descriptors that became ready, empty when the deadline came first. run() drives
it with poll(2), run_async() with the event loop's readers and writers. An
interruption (Ctrl-C, cancellation) is thrown into the generator at its yield,
so that both worlds clean up in the same places. No threads, no blocking calls.
"""

from __future__ import annotations

import asyncio
import math
import select
import time
from typing import Callable, Generator, NamedTuple, Optional, Set, TypeVar

T = TypeVar("T")
LONGEST_POLL_MS = 2**31 - 1


class Wait(NamedTuple):
    readers: tuple[int, ...]
    writers: tuple[int, ...] = ()
    deadline: Optional[float] = None  # on the clock of time.monotonic

    def remaining(self) -> Optional[float]:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


Steps = Generator[Wait, Set[int], T]


def deadline_after(timeout: Optional[float]) -> Optional[float]:
    """The end of a timeout in seconds; None is for ever, a negative one is over already."""
    if timeout is None or timeout == math.inf:
        return None
    if math.isnan(timeout):
        raise ValueError("timeout is not a number")
    return time.monotonic() + timeout


def run(steps: Steps[T]) -> T:
    try:
        wait = next(steps)
        while True:
            try:
                ready = _poll(wait)
            except BaseException as interruption:
                wait = steps.throw(interruption)
            else:
                wait = steps.send(ready)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def _poll(wait: Wait) -> set[int]:
    poller = select.poll()
    for fd in wait.readers:
        poller.register(fd, select.POLLIN)
    for fd in wait.writers:
        poller.register(fd, select.POLLOUT)
    while True:
        remaining = wait.remaining()
        timeout = None if remaining is None else min(math.ceil(remaining * 1000), LONGEST_POLL_MS)
        ready = {fd for fd, _ in poller.poll(timeout)}
        if ready or (remaining is not None and wait.remaining() == 0):
            return ready


async def run_async(steps: Steps[T]) -> T:
    try:
        wait = next(steps)
        while True:
            try:
                ready = await _ready(wait)
            except BaseException as interruption:
                wait = steps.throw(interruption)
            else:
                wait = steps.send(ready)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


async def _ready(wait: Wait) -> set[int]:
    loop = asyncio.get_running_loop()
    wake: asyncio.Future[None] = loop.create_future()
    ready: set[int] = set()

    def mark(fd: Optional[int]) -> None:
        if fd is not None:
            ready.add(fd)
        if not wake.done():
            wake.set_result(None)

    # Taken back after each wait: a descriptor that is closed and opened again
    # under the same number must not look as if it were still registered.
    undo: list[tuple[Callable[[int], bool], int]] = []
    timer: Optional[asyncio.TimerHandle] = None
    try:
        for fd in wait.readers:
            loop.add_reader(fd, mark, fd)
            undo.append((loop.remove_reader, fd))
        for fd in wait.writers:
            loop.add_writer(fd, mark, fd)
            undo.append((loop.remove_writer, fd))
        remaining = wait.remaining()
        if remaining is not None:
            timer = loop.call_later(remaining, mark, None)
        await wake
    finally:
        if timer is not None:
            timer.cancel()
        for remove, fd in undo:
            remove(fd)
    return ready
