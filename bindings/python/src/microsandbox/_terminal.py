"""The master of a program's terminal as two files."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, BinaryIO, Optional, Tuple, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Shown(io.FileIO):
    """What is shown. Linux tells its end, when nobody has the terminal any more, as an error."""

    def readinto(self, buffer: Buffer, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return 0

    # FileIO's own do not come by readinto.
    def read(self, size: Optional[int] = -1, /) -> bytes:
        return io.RawIOBase.read(self, -1 if size is None else size)

    def readall(self) -> bytes:
        return io.RawIOBase.readall(self)


def directions(master: int) -> Tuple[BinaryIO, BinaryIO]:
    """What is typed and what is shown. Each has a descriptor of its own."""
    try:
        shown = cast(BinaryIO, io.BufferedReader(_Shown(master, "rb")))
    except BaseException:
        os.close(master)
        raise
    try:
        return cast(BinaryIO, open(os.dup(master), "wb")), shown
    except BaseException:
        shown.close()
        raise
