"""What Sandbox and AsyncSandbox, Process and AsyncProcess have in common."""

from __future__ import annotations

import contextlib
import weakref
from typing import Optional

from . import _arguments, _ffi, _program
from ._handle import Handle
from ._info import info_of, metrics_of
from ._steps import Steps
from .errors import MicrosandboxError, TimedOutError
from .types import (
    DEVNULL,
    PIPE,
    Argv,
    Bytes,
    Completed,
    LogsOptions,
    Metrics,
    Outcome,
    ProgramOptions,
    SandboxInfo,
    Stdio,
)

MAX_OUTPUT = 64 << 20
START_SECONDS = 30.0  # the header's default of start_timeout_ms


def window(
    pty: bool, rows: Optional[int], cols: Optional[int]
) -> Optional[tuple[Optional[int], Optional[int]]]:
    """The size of a terminal; None is no terminal."""
    if not pty and (rows is not None or cols is not None):
        raise ValueError("rows and cols are a terminal's: pty is needed")
    return (rows, cols) if pty else None


def create(arguments: _ffi.SandboxArguments) -> Steps[Handle]:
    """Creates a sandbox; when that fails or is interrupted, nothing is left."""
    stored = bool(arguments.flags & _ffi.CREATE_STORED)
    return _come_up(_ffi.sandbox_create(arguments), arguments, forget=stored)


def start(arguments: _ffi.SandboxArguments) -> Steps[Handle]:
    """Starts a stored sandbox; when that fails or is interrupted, it is as it was."""
    return _come_up(_ffi.sandbox_start(arguments), arguments, forget=False)


def take(pool: Handle, arguments: _ffi.TakeArguments) -> Steps[Handle]:
    """Takes a sandbox from a pool; when that fails or is interrupted, nothing is left."""
    named = _ffi.SandboxArguments(flags=arguments.flags, name=arguments.name)
    return _come_up(_ffi.pool_take(pool.raw(), arguments), named, forget=False)


def _come_up(raw: int, arguments: _ffi.SandboxArguments, forget: bool) -> Steps[Handle]:
    ends = not arguments.flags & _ffi.CREATE_DETACHED
    handle = Handle(raw, "sandbox", ends)
    try:
        yield from handle.started()
    except GeneratorExit:
        with contextlib.suppress(MicrosandboxError):
            _ffi.kill(handle.raw(), _ffi.SIGKILL)
        handle.release()
        raise
    except BaseException:
        came_up = yield from _undo(handle)
        if came_up and forget and arguments.name is not None:
            with contextlib.suppress(MicrosandboxError):
                _ffi.sandbox_remove(arguments.name, arguments.state_dir)
        raise
    return handle


def _undo(handle: Handle) -> Steps[bool]:
    """Ends what was begun, which may be detached, and says whether it had come up."""
    try:
        with contextlib.suppress(MicrosandboxError):
            _ffi.sandbox_stop(handle.raw(), 0)
        yield from handle.until(_ffi.EVENT_DONE)
        return handle.poll() is not None
    except MicrosandboxError:
        return False  # it never ran; what went wrong first is what the caller gets
    finally:
        handle.release()


class SandboxBase:
    """Everything about a sandbox that does not wait."""

    _handle: Handle
    _state_dir: Optional[bytes] = None

    def _adopt(self, handle: Handle, state_dir: Optional[bytes]) -> None:
        self._state_dir = state_dir
        weakref.finalize(self, handle.abandon)
        self._handle = handle
        self._name = _ffi.sandbox_name(handle.raw())
        handle.what = f"sandbox {self._name}"

    @property
    def name(self) -> str:
        """Known after close too."""
        return self._name

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return _ffi.sandbox_pid(self._handle.raw())

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def poll(self) -> Optional[Outcome]:
        """How the sandbox ended, or None while it lives."""
        return self._handle.poll()

    def metrics(self) -> Metrics:
        """The last sample of what the sandbox uses, from shared memory: nobody is asked.

        NotFoundError when there is none yet, or none was wanted.
        """
        return metrics_of(_ffi.sandbox_metrics(self._handle.raw()))

    def _logs(self, options: LogsOptions) -> int:
        name = self._name.encode("utf-8")
        return _ffi.logs_open(name, self._state_dir, *_arguments.logs(**options))

    def stop(self, grace: Optional[float] = None) -> None:
        """Requests the end: TERM to all programs, `grace` seconds, KILL. See wait().

        The sandbox's own stop_grace holds when `grace` is None.
        """
        ms = -1 if grace is None else _arguments.milliseconds(max(grace, 0))
        _ffi.sandbox_stop(self._handle.raw(), ms)

    def drain(self, deadline: Optional[float] = None) -> None:
        """Requests that running programs end and no new ones start. See wait().

        After `deadline` seconds (None: for ever) the rest is stopped.
        """
        ms = -1 if deadline is None else _arguments.milliseconds(max(deadline, 0))
        _ffi.sandbox_drain(self._handle.raw(), ms)

    def kill(self) -> None:
        """Kills the supervisor, the engine and all programs, at once."""
        _ffi.kill(self._handle.raw(), _ffi.SIGKILL)

    def _info(self) -> SandboxInfo:
        return info_of(_ffi.sandbox_info(self._handle.raw()))

    def _disarm(self) -> None:
        _ffi.sandbox_disarm(self._handle.raw())
        self._handle.ends = False

    def _close(self) -> Steps[None]:
        return self._handle.close()

    def _run(
        self,
        argv: Argv,
        data: Optional[Bytes],
        timeout: Optional[float],
        max_output: int,
        options: ProgramOptions,
    ) -> Steps[Completed]:
        if max_output < 0:
            raise ValueError("max_output is negative")
        if timeout is not None and not timeout > 0:
            raise TimedOutError(f"timeout must be above 0, not {timeout}")
        arguments = _arguments.process(
            argv,
            stdio_kinds=(DEVNULL if data is None else PIPE, PIPE, PIPE),
            start_timeout=None if timeout is None else min(timeout, START_SECONDS),
            **options,
        )
        return _program.run(self._handle, arguments, data, timeout, max_output)

    def _start(
        self,
        argv: Argv,
        stdio: tuple[Stdio, Stdio, Stdio],
        terminal: Optional[tuple[Optional[int], Optional[int]]],
        options: ProgramOptions,
        overlapped: bool = False,
    ) -> Steps[Handle]:
        rows, cols = terminal or (None, None)
        arguments = _arguments.process(
            argv, stdio_kinds=stdio, pty=terminal is not None, rows=rows, cols=cols, **options
        )
        return _program.start(self._handle, arguments._replace(overlapped=overlapped))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}{' closed' if self.closed else ''}>"


class ProcessBase:
    """Everything about a program that does not wait."""

    def __init__(self, handle: Handle, argv: Argv) -> None:
        self._handle = handle
        self._argv = argv
        handle.what = f"program {argv[0]!r}"
        weakref.finalize(self, handle.abandon)
        self._number = _ffi.process_number(handle.raw())

    @property
    def number(self) -> int:
        """What the log calls it: `program` of LogsOptions and of LogEntry."""
        return self._number

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def poll(self) -> Optional[Outcome]:
        """How the program ended, or None while it runs."""
        return self._handle.poll()

    def send_signal(self, signo: int) -> None:
        """Sends a Linux signal, 1 to 64; DoneError when the program has ended."""
        _ffi.kill(self._handle.raw(), int(signo))

    def resize(self, rows: int, cols: int) -> None:
        """Gives the terminal a size: what is in its foreground gets SIGWINCH.

        StateError without a terminal, DoneError when the program has ended.
        """
        _ffi.process_resize(
            self._handle.raw(), _arguments.side(rows, "rows"), _arguments.side(cols, "cols")
        )

    def terminate(self) -> None:
        self.send_signal(_ffi.SIGTERM)

    def kill(self) -> None:
        self.send_signal(_ffi.SIGKILL)

    def _end(self) -> Steps[None]:
        if not self._handle.closed:
            yield from _program.reap(self._handle)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._argv!r}{' closed' if self.closed else ''}>"
