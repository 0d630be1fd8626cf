"""Waiting, written once for both worlds.

Whatever has to wait is a generator of Wait requests that is sent the set of
descriptors that became ready, empty when the deadline came first. run() drives
it with _platform.poll, run_async() with the event loop. An
interruption (Ctrl-C, cancellation) is thrown into the generator at its yield,
so that both worlds clean up in the same places. No threads, no blocking calls.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Generator, Optional, Set, TypeVar

from . import _platform
from ._wait import Wait

T = TypeVar("T")

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
                ready = _platform.poll(wait)
            except BaseException as interruption:
                wait = steps.throw(interruption)
            else:
                wait = steps.send(ready)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


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

    timer: Optional[asyncio.TimerHandle] = None
    end = _platform.watch(loop, wait, mark)
    try:
        remaining = wait.remaining()
        if remaining is not None:
            timer = loop.call_later(remaining, mark, None)
        await wake
    finally:
        if timer is not None:
            timer.cancel()
        end()
    return ready
