"""The owner of one msb_handle, and the waits that sandboxes and programs share."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Optional

from . import _ffi, _platform
from ._info import CAUSES
from ._steps import Steps, deadline_after
from ._wait import Wait
from .errors import ClosedError, ForkedError, InternalError, TimedOutError
from .types import Cause, LimitHit, Outcome


def outcome_of(raw: _ffi.Outcome) -> Outcome:
    cause = CAUSES.get(raw.cause, Cause.UNKNOWN)
    return Outcome(
        cause=cause,
        exit_code=raw.exit_code if cause == Cause.EXITED else None,
        signal=raw.signal or None,
        wall_time=None if raw.wall_time_ns < 0 else raw.wall_time_ns / 1e9,
        cpu_time=None if raw.cpu_time_ns < 0 else raw.cpu_time_ns / 1e9,
        memory_peak=raw.memory_peak_bytes or None,
        limits_hit=LimitHit(raw.limits_hit),
    )


class Handle:
    """Closed exactly once, from whichever thread comes first.

    It is apart from the public objects so that their finalizers can hold it.
    """

    __slots__ = ("_raw", "_lock", "_pid", "what", "ends")

    def __init__(self, raw: int, what: str, ends: bool = False) -> None:
        self._raw = raw
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.what = what
        self.ends = ends  # a sandbox that ends with this handle: to forget it is worth a warning

    @property
    def closed(self) -> bool:
        return self._raw == 0

    def raw(self) -> int:
        raw = self._raw
        if raw == 0:
            raise ClosedError(f"{self.what} is closed")
        return raw

    def _take(self) -> int:
        with self._lock:
            raw, self._raw = self._raw, 0
            return raw

    def poll(self) -> Optional[Outcome]:
        """The outcome, or None while it goes on; a start that failed is raised."""
        outcome = _ffi.try_wait(self.raw())
        return None if outcome is None else outcome_of(outcome)

    def until(self, events: int, deadline: Optional[float] = None) -> Steps[bool]:
        """Whether one of the events came before the deadline."""
        fd = _ffi.event_fd(self.raw(), events)
        try:
            return bool((yield Wait((fd,), deadline=deadline)))
        finally:
            _platform.close(fd)

    def started(self) -> Steps[None]:
        """Waits for the start; the library puts a limit to it."""
        yield from self.until(_ffi.EVENT_READY)
        self.poll()

    def wait(self, timeout: Optional[float]) -> Steps[Outcome]:
        outcome = self.poll()
        if outcome is None:
            if not (yield from self.until(_ffi.EVENT_DONE, deadline_after(timeout))):
                raise TimedOutError(f"{self.what} is still running after {timeout} s")
            outcome = self.poll()
        if outcome is None:
            raise InternalError(f"{self.what}: done, but without an outcome")
        return outcome

    def release(self) -> None:
        """Gives the handle back and waits for nothing."""
        raw = self._take()
        if raw:
            _ffi.close(raw)

    def close(self) -> Steps[None]:
        """Gives the handle of a sandbox back and waits until nothing of it is left.

        One that lives on without this handle counts as done at once.
        """
        raw = self._take()
        if not raw:
            return
        fd = -1
        try:
            fd = _ffi.event_fd(raw, _ffi.EVENT_DONE)
        except ForkedError:
            pass  # a forked child owns nothing
        finally:
            _ffi.close(raw)
        if fd >= 0:
            try:
                yield Wait((fd,))
            finally:
                _platform.close(fd)

    def abandon(self) -> None:
        """For finalizers: closes what its user forgot, but not in a forked child."""
        if self._pid != os.getpid():
            return
        raw = self._take()
        if raw:
            _ffi.close(raw)
            if self.ends:
                warnings.warn(f"unclosed {self.what}", ResourceWarning, stacklevel=2)
