"""Descriptors of Linux: what _windows has for handles."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import struct
import sys
import termios
from typing import BinaryIO, Callable, Optional, Tuple, cast

from ._wait import Wait

assert sys.platform != "win32"

SONAME = "libmicrosandbox.so.0"
IN_TREE = "build/lib/" + SONAME  # where make puts it

close = os.close


def lent(fd: int) -> int:
    """What the library takes for one of the caller's descriptors."""
    return fd


def poll(wait: Wait) -> set[int]:
    """Which are ready; none when the deadline came first. Ctrl-C ends it."""
    poller = select.poll()
    for fd in wait.readers:
        poller.register(fd, select.POLLIN)
    for fd in wait.writers:
        poller.register(fd, select.POLLOUT)
    while True:
        ready = {fd for fd, _ in poller.poll(wait.remaining_ms())}
        if ready or wait.remaining() == 0:
            return ready


def watch(
    loop: asyncio.AbstractEventLoop, wait: Wait, mark: Callable[[int], None]
) -> Callable[[], None]:
    """Calls mark in the loop for each that is ready; returns what ends that."""
    # Taken back after each wait: a descriptor that is closed and opened again
    # under the same number must not look as if it were still registered.
    undo: list[tuple[Callable[[int], bool], int]] = []

    def end() -> None:
        for remove, fd in undo:
            remove(fd)

    try:
        for fd in wait.readers:
            loop.add_reader(fd, mark, fd)
            undo.append((loop.remove_reader, fd))
        for fd in wait.writers:
            loop.add_writer(fd, mark, fd)
            undo.append((loop.remove_writer, fd))
    except BaseException:
        end()
        raise
    return end


class Reader:
    """The read end of a pipe or socket. To wait on `fd` makes sense after a read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)

    def read(self, size: int) -> Optional[bytes]:
        """What has come, empty at the end; None when there is nothing yet."""
        try:
            return os.read(self.fd, size)
        except BlockingIOError:
            return None

    def available(self) -> int:
        """How many bytes can be read without waiting."""
        (count,) = struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, b"\0" * 4))
        return int(count)

    def close(self) -> None:
        """Once, then a no-op."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


class Writer:
    """The write end of a pipe. To wait on `fd` makes sense after a write."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)

    def write(self, data: memoryview) -> int:
        """How many bytes were taken: 0 when none can be now. BrokenPipeError when nobody
        reads, also in a host that has set SIGPIPE to its deadly default."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGPIPE,))
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            if signal.SIGPIPE not in before:
                signal.sigtimedwait((signal.SIGPIPE,), 0)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """Once, then a no-op."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)


def open_file(fd: int, mode: str) -> BinaryIO:
    """A file that waits, of a pipe's end; it takes the descriptor over."""
    return cast(BinaryIO, open(fd, mode))


def never_wait(file: BinaryIO) -> None:
    """What is written from now on, and does not fit, is an error."""
    os.set_blocking(file.fileno(), False)


async def connect(
    loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, fd: int, reads: bool
) -> asyncio.BaseTransport:
    """A transport of a pipe's end; it takes the descriptor over."""
    file = os.fdopen(fd, "rb" if reads else "wb", 0)
    try:
        join = loop.connect_read_pipe if reads else loop.connect_write_pipe
        connected: Tuple[asyncio.BaseTransport, asyncio.BaseProtocol]
        connected = await join(lambda: protocol, file)
    except BaseException:
        file.close()
        raise
    return connected[0]
