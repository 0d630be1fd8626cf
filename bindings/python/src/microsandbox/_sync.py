"""Sandbox and Process: calls that wait, and that Ctrl-C ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, BinaryIO, Optional

from . import _arguments, _base, _ffi, _platform, _steps, _terminal
from ._base import MAX_OUTPUT, ProcessBase, SandboxBase, create, start
from ._closing import Closing
from ._handle import Handle
from ._logs import Logs
from .types import (
    DEVNULL,
    PIPE,
    Argv,
    Bytes,
    Completed,
    LogsOptions,
    Outcome,
    PathLike,
    ProgramOptions,
    SandboxInfo,
    SandboxOptions,
    StartOptions,
    Stdio,
)

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class Process(ProcessBase, Closing):
    """A program in a sandbox.

    stdin, stdout and stderr are binary files where PIPE was asked for, else None; of a
    terminal stdin and stdout are its two directions.
    Leaving its `with` block kills the program if it still runs; close() does not.
    """

    stdin: Optional[BinaryIO] = None
    stdout: Optional[BinaryIO] = None
    stderr: Optional[BinaryIO] = None

    def __init__(
        self, handle: Handle, argv: Argv, stdio: tuple[Stdio, Stdio, Stdio], pty: bool
    ) -> None:
        super().__init__(handle, argv)

        def end(which: int, mode: str) -> Optional[BinaryIO]:
            if stdio[which] != PIPE:
                return None
            return _platform.open_file(_ffi.process_stdio(handle.raw(), which), mode)

        try:
            if pty:
                self.stdin, self.stdout = _terminal.directions(_ffi.process_stdio(handle.raw(), 0))
                return
            self.stdin = end(0, "wb")
            self.stdout = end(1, "rb")
            self.stderr = end(2, "rb")
        except BaseException:
            self.close()
            raise

    def wait(self, timeout: Optional[float] = None) -> Outcome:
        """Waits for the end; TimedOutError after `timeout` seconds, and the program goes on."""
        return _steps.run(self._handle.wait(timeout))

    def close(self) -> None:
        """Closes the pipes and gives the program back without ending it.

        Input that was not yet taken is dropped: close stdin yourself to have it delivered.
        """
        if self.stdin is not None and not self.stdin.closed:
            _platform.never_wait(self.stdin)
            with contextlib.suppress(OSError):
                self.stdin.close()
        for file in (self.stdout, self.stderr):
            if file is not None:
                file.close()
        self._handle.release()

    def _leave(self) -> None:
        try:
            _steps.run(self._end())
        finally:
            self.close()


class Sandbox(SandboxBase, Closing):
    """A sandbox, created by calling this class.

    Leaving its `with` block, as close(), stops it and waits until nothing of it
    is left; a detached one is given back and lives on. See SandboxOptions for
    the arguments.
    """

    def __init__(self, **options: Unpack[SandboxOptions]) -> None:
        arguments = _arguments.sandbox(**options)
        self._adopt(_steps.run(create(arguments)), arguments.state_dir)

    @classmethod
    def create(cls, **options: Unpack[SandboxOptions]) -> Self:
        """The same as calling the class."""
        return cls(**options)

    @classmethod
    def start(cls, name: str, **options: Unpack[StartOptions]) -> Self:
        """Starts a stored sandbox that does not run, with its configuration.

        It ends with this object unless `detached`. See StartOptions for the arguments.
        """
        self = cls.__new__(cls)
        arguments = _arguments.start(name, **options)
        self._adopt(_steps.run(start(arguments)), arguments.state_dir)
        return self

    @classmethod
    def open(cls, name: str, *, state_dir: Optional[PathLike] = None) -> Self:
        """A living sandbox of this user, by name. It does not end with this object."""
        self = cls.__new__(cls)
        raw = _ffi.sandbox_open(*_arguments.by_name(name, state_dir))
        self._adopt(Handle(raw, "sandbox"), _arguments.directory(state_dir))
        return self

    @classmethod
    def taken(cls, handle: Handle, state_dir: Optional[bytes]) -> Self:
        """For Pool.take."""
        self = cls.__new__(cls)
        self._adopt(handle, state_dir)
        return self

    def run(
        self,
        argv: Argv,
        *,
        input: Optional[Bytes] = None,
        timeout: Optional[float] = None,
        max_output: int = MAX_OUTPUT,
        **options: Unpack[ProgramOptions],
    ) -> Completed:
        """Runs a program to its end and returns what it wrote.

        `input` is its stdin (else /dev/null). Of stdout and of stderr the first
        `max_output` bytes are kept, the rest is read and dropped. After `timeout`
        seconds the program is killed and RunTimeoutError raised. A program that
        cannot be started is an ExecError; how it ends is a value: see
        Completed.check, and ProgramOptions for the other arguments.
        """
        steps = self._run(argv, input, timeout, max_output, options)
        return _steps.run(steps)

    def spawn(
        self,
        argv: Argv,
        *,
        stdin: Stdio = DEVNULL,
        stdout: Stdio = DEVNULL,
        stderr: Stdio = DEVNULL,
        pty: bool = False,
        rows: Optional[int] = None,
        cols: Optional[int] = None,
        **options: Unpack[ProgramOptions],
    ) -> Process:
        """Starts a program. Each stdio is PIPE, DEVNULL, INHERIT, LOG, a descriptor or a file.

        With `pty` it gets a terminal instead, of `rows` (24) and `cols` (80). What is
        written to the stdin of the Process is typed (b"\\x03" is Ctrl-C), stdout has
        what is shown, and closing both hangs up. See ProgramOptions for the other
        arguments.
        """
        stdio = (stdin, stdout, stderr)
        terminal = _base.window(pty, rows, cols)
        handle = _steps.run(self._start(argv, stdio, terminal, options))
        return Process(handle, argv, stdio, pty)

    def info(self) -> SandboxInfo:
        """What the sandbox is and does now."""
        return self._info()

    def logs(self, **options: Unpack[LogsOptions]) -> Logs:
        """Entries of the sandbox's log, to iterate over. See LogsOptions.

        A temporary sandbox's log goes with it; a stored one's stays until remove_sandbox.
        """
        return Logs(self._logs(options))

    def disarm(self) -> None:
        """Detaches the sandbox: from now on it outlives this object and this process."""
        self._disarm()

    def wait(self, timeout: Optional[float] = None) -> Outcome:
        """Waits for the end; TimedOutError after `timeout` seconds, and the sandbox lives on."""
        return _steps.run(self._handle.wait(timeout))

    def close(self) -> None:
        """Stops the sandbox and waits until nothing of it is left; once, then a no-op.

        One that is detached, disarmed or was opened is given back and lives on.
        """
        _steps.run(self._close())
