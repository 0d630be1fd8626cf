"""Reading a sandbox's log: frames from a descriptor, as entries."""

from __future__ import annotations

import struct
import weakref
import zlib
from typing import TYPE_CHECKING, Optional

from . import _platform
from ._closing import AsyncClosing, Closing
from ._steps import Steps, run, run_async
from ._wait import Wait
from .errors import InternalError
from .types import LogEntry, LogSource

if TYPE_CHECKING:
    from typing_extensions import Self

CHUNK = 1 << 16
_FRAME = struct.Struct("<IIIIQqQ")  # msb_log_frame
_LONGEST = _FRAME.size + (32 << 10)
_MISSED = struct.Struct("<Q")  # what a gap's content begins with


class LogsBase:
    """Entries of a log, in order. To stop early, close it or drop it."""

    def __init__(self, fd: int) -> None:
        self._pipe = _platform.Reader(fd)
        self._data = bytearray()
        self._closing = weakref.finalize(self, self._pipe.close)

    def _close(self) -> None:
        self._closing()

    def _next(self) -> Steps[Optional[LogEntry]]:
        """The next entry, or None at the end."""
        while self._closing.alive:
            entry = self._entry()
            if entry is not None:
                return entry
            chunk = self._pipe.read(CHUNK)
            if chunk is None:
                yield Wait((self._pipe.fd,))
                continue
            if not chunk:
                self._close()
                if self._data:
                    raise InternalError("the log ended in the middle of an entry")
            self._data += chunk
        return None

    def _entry(self) -> Optional[LogEntry]:
        data = self._data
        if len(data) < _FRAME.size:
            return None
        length, check, source, _, program, time_ns, position = _FRAME.unpack_from(data)
        if not _FRAME.size <= length <= _LONGEST:
            raise InternalError(f"the log has an entry of {length} bytes")
        if len(data) < length:
            return None
        frame = bytes(data[:length])
        del data[:length]
        if zlib.crc32(frame[8:]) != check:
            raise InternalError("the log has an entry with a wrong checksum")
        content, missed = frame[_FRAME.size :], 0
        if source == LogSource.GAP:
            (missed,) = _MISSED.unpack_from(content)
            content = content[_MISSED.size :]
        return LogEntry(
            LogSource(source), program or None, time_ns / 1e9, position, content, missed
        )


class Logs(LogsBase, Closing):
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LogEntry:
        entry = run(self._next())
        if entry is None:
            raise StopIteration
        return entry

    def close(self) -> None:
        self._close()


class AsyncLogs(LogsBase, AsyncClosing):
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogEntry:
        entry = await run_async(self._next())
        if entry is None:
            raise StopAsyncIteration
        return entry

    async def close(self) -> None:
        self._close()
