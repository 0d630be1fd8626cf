"""AsyncSandbox and AsyncProcess: the same verbs for asyncio, without threads."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Optional, Tuple

from . import _arguments, _base, _ffi, _platform, _steps
from ._base import MAX_OUTPUT, ProcessBase, SandboxBase, create, start
from ._closing import AsyncClosing
from ._handle import Handle
from ._logs import AsyncLogs
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

LINE_LIMIT = 1 << 20  # bytes that a StreamReader buffers: the longest line of readline()


class _Pipe(asyncio.StreamReaderProtocol):
    """One end of a pipe as a stream; `lost` is done once its descriptor is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reader = asyncio.StreamReader(LINE_LIMIT, loop)
        super().__init__(self.reader, loop=loop)
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        # What the program left unread is no error: it may end when it likes.
        super().connection_lost(None)
        if not self.lost.done():
            self.lost.set_result(None)


_Stream = Tuple[asyncio.BaseTransport, _Pipe]


async def _connect(fd: int, which: int) -> _Stream:
    """Takes the descriptor over."""
    loop = asyncio.get_running_loop()
    protocol = _Pipe(loop)
    return await _platform.connect(loop, protocol, fd, bool(which)), protocol


class AsyncProcess(ProcessBase, AsyncClosing):
    """A program in a sandbox.

    stdin is a StreamWriter, stdout and stderr are StreamReaders, where PIPE was
    asked for, else None; of a terminal stdin and stdout are its two directions. Leaving its `async with` block kills the program if it
    still runs; close() does not.
    """

    stdin: Optional[asyncio.StreamWriter] = None
    stdout: Optional[asyncio.StreamReader] = None
    stderr: Optional[asyncio.StreamReader] = None

    def __init__(self, handle: Handle, argv: Argv) -> None:
        super().__init__(handle, argv)
        self._streams: list[_Stream] = []

    @classmethod
    async def attach(
        cls, handle: Handle, argv: Argv, stdio: tuple[Stdio, Stdio, Stdio], pty: bool
    ) -> Self:
        """For AsyncSandbox.spawn."""
        self = cls(handle, argv)
        pipes = [which for which, kind in enumerate(stdio) if kind == PIPE]
        fd = -1
        try:
            for which in (1, 0) if pty else pipes:
                # Each direction of a terminal has a descriptor of its own.
                fd = os.dup(fd) if pty and fd >= 0 else _ffi.process_stdio(handle.raw(), which)
                transport, protocol = await _connect(fd, which)
                self._streams.append((transport, protocol))
                self._offer(which, transport, protocol)
        except BaseException:
            await self.close()
            raise
        return self

    def _offer(self, which: int, transport: asyncio.BaseTransport, protocol: _Pipe) -> None:
        if which == 1:
            self.stdout = protocol.reader
        elif which == 2:
            self.stderr = protocol.reader
        elif isinstance(transport, asyncio.WriteTransport):
            loop = asyncio.get_running_loop()
            self.stdin = asyncio.StreamWriter(transport, protocol, protocol.reader, loop)

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        """Waits for the end; TimedOutError after `timeout` seconds, and the program goes on.

        Cancelling the wait leaves the program as it is.
        """
        return await _steps.run_async(self._handle.wait(timeout))

    async def close(self) -> None:
        """Closes the pipes and gives the program back without ending it.

        Input that was not yet taken is dropped: close stdin yourself to have it delivered.
        """
        self._handle.release()
        streams, self._streams = self._streams, []
        for transport, protocol in streams:
            # Windows' transports of outputs are write transports, too.
            writes = self.stdin is not None and transport is self.stdin.transport
            if not writes or not isinstance(transport, asyncio.WriteTransport):
                transport.close()
            # asyncio's transport fails when it is aborted with its end already under way.
            elif not protocol.lost.done() and not (
                transport.is_closing() and transport.get_write_buffer_size() == 0
            ):
                transport.abort()
        for _, protocol in streams:
            await protocol.lost

    async def _leave(self) -> None:
        try:
            await _steps.run_async(self._end())
        finally:
            await self.close()


class AsyncSandbox(SandboxBase, AsyncClosing):
    """A sandbox for asyncio: `async with AsyncSandbox() as sandbox`, or create().

    Leaving the block, as close(), stops it and waits until nothing of it is
    left; a detached one is given back and lives on. See SandboxOptions for the
    arguments.
    """

    def __init__(self, **options: Unpack[SandboxOptions]) -> None:
        self._arguments = _arguments.sandbox(**options)
        self._handle = Handle(0, "sandbox")  # closed until it is created
        self._name = options.get("name") or ""
        self._entered = False

    @classmethod
    async def create(cls, **options: Unpack[SandboxOptions]) -> Self:
        return await cls(**options).__aenter__()

    @classmethod
    async def start(cls, name: str, **options: Unpack[StartOptions]) -> Self:
        """Starts a stored sandbox that does not run, with its configuration.

        It ends with this object unless `detached`. See StartOptions for the arguments.
        """
        self = cls()
        self._entered = True
        arguments = _arguments.start(name, **options)
        self._adopt(await _steps.run_async(start(arguments)), arguments.state_dir)
        return self

    @classmethod
    async def open(cls, name: str, *, state_dir: Optional[PathLike] = None) -> Self:
        """A living sandbox of this user, by name. It does not end with this object."""
        self = cls()
        self._entered = True
        raw = _ffi.sandbox_open(*_arguments.by_name(name, state_dir))
        self._adopt(Handle(raw, "sandbox"), _arguments.directory(state_dir))
        return self

    @classmethod
    def taken(cls, handle: Handle, state_dir: Optional[bytes]) -> Self:
        """For AsyncPool.take."""
        self = cls()
        self._entered = True
        self._adopt(handle, state_dir)
        return self

    async def run(
        self,
        argv: Argv,
        *,
        input: Optional[Bytes] = None,
        timeout: Optional[float] = None,
        max_output: int = MAX_OUTPUT,
        **options: Unpack[ProgramOptions],
    ) -> Completed:
        """As Sandbox.run. When it is cancelled the program is killed."""
        steps = self._run(argv, input, timeout, max_output, options)
        return await _steps.run_async(steps)

    async def spawn(
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
    ) -> AsyncProcess:
        """Starts a program. Each stdio is PIPE, DEVNULL, INHERIT, LOG, a descriptor or a file.

        With `pty` it gets a terminal instead, of `rows` (24) and `cols` (80). What is
        written to the stdin of the Process is typed (b"\\x03" is Ctrl-C), stdout has
        what is shown, and closing both hangs up. See ProgramOptions for the other
        arguments.
        """
        stdio = (stdin, stdout, stderr)
        terminal = _base.window(pty, rows, cols)
        steps = self._start(argv, stdio, terminal, options, overlapped=True)
        handle = await _steps.run_async(steps)
        return await AsyncProcess.attach(handle, argv, stdio, pty)

    async def info(self) -> SandboxInfo:
        """What the sandbox is and does now."""
        return self._info()

    def logs(self, **options: Unpack[LogsOptions]) -> AsyncLogs:
        """Entries of the sandbox's log, for `async for`. See LogsOptions.

        A temporary sandbox's log goes with it; a stored one's stays until remove_sandbox.
        """
        return AsyncLogs(self._logs(options))

    async def disarm(self) -> None:
        """Detaches the sandbox: from now on it outlives this object and this process."""
        self._disarm()

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        """Waits for the end; TimedOutError after `timeout` seconds, and the sandbox lives on."""
        return await _steps.run_async(self._handle.wait(timeout))

    async def close(self) -> None:
        """Stops the sandbox and waits until nothing of it is left; once, then a no-op.

        One that is detached, disarmed or was opened is given back and lives on.
        """
        await _steps.run_async(self._close())

    async def __aenter__(self) -> Self:
        if not self._entered:
            self._entered = True
            arguments = self._arguments
            self._adopt(await _steps.run_async(create(arguments)), arguments.state_dir)
        return self
