"""Starting, running and ending programs: the steps that both worlds drive."""

from __future__ import annotations

import contextlib
import time
from typing import Optional

from . import _ffi, _platform
from ._handle import Handle
from ._steps import Steps, deadline_after
from ._wait import Wait
from .errors import MicrosandboxError, StateError, TimedOutError
from .types import Bytes, Cause, Completed, Outcome, RunTimeoutError

CHUNK = 1 << 16  # the capacity of a pipe
REAP_SECONDS = 5.0  # SIGKILL takes effect at once; this bounds an engine that does not answer


def start(sandbox: Handle, arguments: _ffi.ProcessArguments) -> Steps[Handle]:
    """Starts a program and waits until it runs; one that cannot is an error."""
    process = Handle(_ffi.process_start(sandbox.raw(), arguments), "program")
    try:
        yield from process.started()
    except GeneratorExit:
        process.release()
        raise
    except BaseException:
        yield from reap(process)
        process.release()
        raise
    return process


def reap(process: Handle) -> Steps[None]:
    """Kills a program, one that is still starting too, and waits for its end."""
    deadline = deadline_after(REAP_SECONDS)
    # A call that is refused means that there is nothing left to kill.
    with contextlib.suppress(MicrosandboxError):
        try:
            _ffi.kill(process.raw(), _ffi.SIGKILL)
        except StateError:
            yield from process.until(_ffi.EVENT_READY, deadline)
            _ffi.kill(process.raw(), _ffi.SIGKILL)
        yield from process.until(_ffi.EVENT_DONE, deadline)


class _Sink:
    """Reads one output of a program and keeps the first `cap` bytes of it."""

    def __init__(self, fd: int, cap: int) -> None:
        self._pipe = _platform.Reader(fd)
        self.cap = cap
        self.data = bytearray()
        self.truncated = False

    @property
    def fd(self) -> int:
        return self._pipe.fd

    def read(self, size: int = CHUNK) -> int:
        """How many bytes came; closes at the end of the output."""
        chunk = self._pipe.read(size)
        if chunk is None:
            return 0
        if not chunk:
            self.close()
        room = self.cap - len(self.data)
        if len(chunk) > room:
            self.truncated = True
        self.data += chunk[:room]
        return len(chunk)

    def drain(self) -> None:
        """Reads what lies in the pipe now; a child that goes on writing is not waited for."""
        left = self._pipe.available() if self.fd >= 0 else 0
        while left > 0 and self.fd >= 0:
            count = self.read(min(left, CHUNK))
            if count == 0:
                break
            left -= count

    def close(self) -> None:
        self._pipe.close()


class _Source:
    """Writes the input of a program. That it does not read all of it is no error."""

    def __init__(self, fd: int, data: Bytes) -> None:
        self._pipe = _platform.Writer(fd)
        self.left = memoryview(data).cast("B")
        if not self.left:
            self.close()

    @property
    def fd(self) -> int:
        return self._pipe.fd

    def write(self) -> None:
        if self.fd < 0:
            return
        try:
            self.left = self.left[self._pipe.write(self.left[:CHUNK]) :]
        except BrokenPipeError:
            self.close()
        if not self.left:
            self.close()

    def close(self) -> None:
        self._pipe.close()


class _Run:
    """The pipes of a program that is being run."""

    def __init__(self, process: Handle, data: Optional[Bytes], cap: int) -> None:
        self.sinks: list[_Sink] = []
        self.source: Optional[_Source] = None
        self.done = _ffi.event_fd(process.raw(), _ffi.EVENT_DONE)
        try:
            for which in (1, 2):
                self.sinks.append(_Sink(_ffi.process_stdio(process.raw(), which), cap))
            if data is not None:
                self.source = _Source(_ffi.process_stdio(process.raw(), 0), data)
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        """Only what was tried can be waited for."""
        for sink in self.sinks:
            sink.read()
        if self.source is not None:
            self.source.write()

    def until_done(self, deadline: Optional[float]) -> Steps[bool]:
        """Feeds and drains the program until it has ended, or the deadline has passed."""
        while True:
            readers = {sink.fd: sink for sink in self.sinks if sink.fd >= 0}
            writers = {self.source.fd: self.source} if self.source and self.source.fd >= 0 else {}
            ready = yield Wait((self.done, *readers), tuple(writers), deadline)
            for fd in ready:
                if fd in readers:
                    readers[fd].read()
                elif fd in writers:
                    writers[fd].write()
            if self.done in ready:
                return True
            # Asked of the clock: a program that never stops writing is ready for ever.
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def completed(self, outcome: Outcome) -> Completed:
        for sink in self.sinks:
            sink.drain()
        out, err = self.sinks
        return Completed(
            **vars(outcome),
            stdout=bytes(out.data),
            stderr=bytes(err.data),
            stdout_truncated=out.truncated,
            stderr_truncated=err.truncated,
        )

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()
        if self.source:
            self.source.close()
        _platform.close(self.done)


def run(
    sandbox: Handle,
    arguments: _ffi.ProcessArguments,
    data: Optional[Bytes],
    timeout: Optional[float],
    cap: int,
) -> Steps[Completed]:
    """Runs a program to its end. The end of the program counts, not that of its
    output: a child of it that still holds a pipe keeps nobody waiting."""
    deadline = deadline_after(timeout)
    arguments = arguments._replace(overlapped=True)
    process = Handle(_ffi.process_start(sandbox.raw(), arguments), "program")
    pipes: Optional[_Run] = None
    try:
        pipes = _Run(process, data, cap)
        try:
            in_time = yield from pipes.until_done(deadline)
        except GeneratorExit:
            raise
        except BaseException:
            yield from reap(process)
            raise
        if in_time:
            try:
                return pipes.completed(process.poll() or Outcome(Cause.UNKNOWN))
            except TimedOutError as error:
                if timeout is None:
                    raise
                raise _late(timeout, pipes, Outcome(Cause.START_FAILED)) from error
        yield from reap(process)
        raise _late(timeout, pipes, _end_of(process))
    finally:
        if pipes is not None:
            pipes.close()
        process.release()


def _end_of(process: Handle) -> Outcome:
    try:
        return process.poll() or Outcome(Cause.UNKNOWN)
    except MicrosandboxError:
        return Outcome(Cause.START_FAILED)


def _late(timeout: Optional[float], pipes: _Run, outcome: Outcome) -> RunTimeoutError:
    return RunTimeoutError(f"program was killed after {timeout} s", pipes.completed(outcome))
