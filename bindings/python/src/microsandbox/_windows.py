"""Handles of Windows: what _unix has for descriptors.

The library's ends of pipes are for overlapped I/O wherever nobody may block: each
operation has an event of its own, which is what is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import sys
from typing import Any, BinaryIO, Callable, Optional, cast

from ._wait import Wait

assert sys.platform == "win32"

import _winapi  # noqa: E402  what multiprocessing and asyncio wait with
import msvcrt  # noqa: E402
from asyncio import windows_utils  # noqa: E402

SONAME = "microsandbox.dll"
IN_TREE = "build/windows/" + SONAME  # where make dll puts it

_INFINITE = 0xFFFFFFFF
_INCOMPLETE = 996  # ERROR_IO_INCOMPLETE
_ONCE = 0x8  # WT_EXECUTEONLYONCE
_NO_WAIT = 0x1  # PIPE_NOWAIT

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_Callback = ctypes.WINFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ubyte)
_kernel32.RegisterWaitForSingleObject.argtypes = [
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
    _Callback,
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_uint32,
]
_kernel32.UnregisterWaitEx.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_kernel32.SetNamedPipeHandleState.argtypes = [
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint32),
    ctypes.c_void_p,
    ctypes.c_void_p,
]

close = _winapi.CloseHandle


def lent(fd: int) -> int:
    """What the library takes for one of the caller's descriptors, as the C runtime has them."""
    return fd if fd < 0 else msvcrt.get_osfhandle(fd)


def _signalled(handle: int) -> bool:
    return _winapi.WaitForSingleObject(handle, 0) == _winapi.WAIT_OBJECT_0


def poll(wait: Wait) -> set[int]:
    """Which are ready; none when the deadline came first. In the main thread Ctrl-C ends it."""
    handles = [*wait.readers, *wait.writers]
    while True:
        ms = wait.remaining_ms()
        try:
            _winapi.WaitForMultipleObjects(handles, False, _INFINITE if ms is None else ms)
        except InterruptedError:
            continue  # a handler of SIGINT that raised nothing
        ready = {handle for handle in handles if _signalled(handle)}
        if ready or wait.remaining() == 0:
            return ready


# Waits of the system's thread pool, by number: what a callback is given is a number, so
# that one which comes late finds nothing rather than something else.
_waits: dict[int, Callable[[], None]] = {}
_numbers = itertools.count(1)


def _on_event(number: Optional[int], timed_out: int) -> None:
    tell = _waits.get(number or 0)
    if tell is not None:
        tell()


_callback = _Callback(_on_event)


def _register(handle: int, tell: Callable[[], None]) -> Callable[[], None]:
    """Has tell called in another thread, once, when the handle is signalled."""
    number = next(_numbers)
    _waits[number] = tell
    registered = ctypes.c_void_p()
    if not _kernel32.RegisterWaitForSingleObject(
        ctypes.byref(registered), handle, _callback, number, _INFINITE, _ONCE
    ):
        del _waits[number]
        raise ctypes.WinError(ctypes.get_last_error())

    def end() -> None:
        # Waits for a callback that runs: the handle may be closed afterwards.
        _kernel32.UnregisterWaitEx(registered, ctypes.c_void_p(-1))
        del _waits[number]

    return end


def watch(
    loop: asyncio.AbstractEventLoop, wait: Wait, mark: Callable[[int], None]
) -> Callable[[], None]:
    """Calls mark in the loop for each that is ready; returns what ends that. Any loop will do."""
    undo: list[Callable[[], None]] = []

    def teller(handle: int) -> Callable[[], None]:
        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(mark, handle)

        return tell

    def end() -> None:
        for remove in undo:
            remove()

    try:
        for handle in (*wait.readers, *wait.writers):
            undo.append(_register(handle, teller(handle)))
    except BaseException:
        end()
        raise
    return end


class _End:
    """An end of a pipe for overlapped I/O, of which one operation at most goes on."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._operation: Any = None  # the last one begun
        self._pending = False

    @property
    def fd(self) -> int:
        """The event of the last operation; -1 when closed."""
        if self._handle < 0 or self._operation is None:
            return self._handle
        return int(self._operation.event)

    def _finished(self) -> Optional[int]:
        """How many bytes the operation has moved; None while it goes on."""
        try:
            count, error = self._operation.GetOverlappedResult(False)
        except BrokenPipeError:
            self._pending = False
            raise
        if error == _INCOMPLETE:
            return None
        self._pending = False
        return int(count)

    def close(self) -> None:
        """Once, then a no-op."""
        if self._handle < 0:
            return
        handle, self._handle = self._handle, -1
        if self._pending:
            self._operation.cancel()
            with contextlib.suppress(OSError):
                self._operation.GetOverlappedResult(True)
        self._operation = None
        _winapi.CloseHandle(handle)


class Reader(_End):
    """The read end of a pipe. To wait on `fd` makes sense after a read."""

    def read(self, size: int) -> Optional[bytes]:
        """What has come, empty at the end; None when there is nothing yet."""
        try:
            while True:
                if not self._pending:
                    self._operation, _ = _winapi.ReadFile(self._handle, size, overlapped=True)
                    self._pending = True
                count = self._finished()
                if count is None:
                    return None
                if count > 0:  # a program can write nothing, which is not the end
                    return bytes(self._operation.getbuffer()[:count])
        except BrokenPipeError:
            return b""

    def available(self) -> int:
        """How many bytes can be read without waiting."""
        try:
            count = 0
            if self._pending:
                moved, error = self._operation.GetOverlappedResult(False)
                count = 0 if error == _INCOMPLETE else int(moved)
            return count + int(_winapi.PeekNamedPipe(self._handle, 0)[0])
        except BrokenPipeError:
            return 0


class Writer(_End):
    """The write end of a pipe. To wait on `fd` makes sense after a write."""

    def write(self, data: memoryview) -> int:
        """How many bytes were taken: 0 when none are yet, and then the same data is to be
        offered again. BrokenPipeError when nobody reads."""
        if not self._pending:
            self._operation, _ = _winapi.WriteFile(self._handle, bytes(data), overlapped=True)
            self._pending = True
        return self._finished() or 0


def open_file(handle: int, mode: str) -> BinaryIO:
    """A file that waits, of a pipe's end; it takes the handle over."""
    try:
        fd = msvcrt.open_osfhandle(handle, os.O_BINARY | (os.O_RDONLY if "r" in mode else 0))
    except BaseException:
        _winapi.CloseHandle(handle)
        raise
    return cast(BinaryIO, open(fd, mode))


def never_wait(file: BinaryIO) -> None:
    """What is written from now on, and does not fit, is an error."""
    mode = ctypes.c_uint32(_NO_WAIT)
    handle = msvcrt.get_osfhandle(file.fileno())
    if not _kernel32.SetNamedPipeHandleState(handle, ctypes.byref(mode), None, None):
        raise ctypes.WinError(ctypes.get_last_error())


async def connect(
    loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, handle: int, reads: bool
) -> asyncio.BaseTransport:
    """A transport of a pipe's end; it takes the handle over."""
    pipe = windows_utils.PipeHandle(handle)
    try:
        join = loop.connect_read_pipe if reads else loop.connect_write_pipe
        transport, _ = await join(lambda: protocol, pipe)
    except NotImplementedError:
        pipe.close()
        raise NotImplementedError(
            "a program's pipes need asyncio's ProactorEventLoop, the default on Windows"
        ) from None
    except BaseException:
        pipe.close()
        raise
    return transport
