"""Errors: one class per result code of the library, all under MicrosandboxError.

What a guest program did is never an error: see Outcome and Completed.
"""

from __future__ import annotations

import enum
from typing import Optional


class Stage(enum.IntEnum):
    """Where an error arose (MSB_STAGE_*)."""

    NONE = 0
    ARGUMENT = 1
    LAUNCH = 2
    CONFIG = 3
    STATE = 4
    ROOT = 5
    ENGINE = 6
    CONTROL = 7
    EXEC = 8
    CWD = 9
    STDIO = 10


class MicrosandboxError(OSError):
    """A call that failed.

    `code` is the result (MSB_E_*, negative), `stage` says where it arose, `errno`
    is that of the failing system call or None, and `message` is one line.
    """

    CODE = 0

    def __init__(
        self,
        message: str,
        code: Optional[int] = None,
        errno: int = 0,
        stage: int = 0,
    ) -> None:
        # A sole argument keeps OSError from reading the others as errno and strerror.
        super().__init__(message)
        self.message = message
        self.code = self.CODE if code is None else code
        self.errno = errno or None
        self.strerror = message
        self.stage = Stage(stage) if stage in _STAGES else Stage.NONE

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.code, self.errno or 0, int(self.stage)))


_STAGES = frozenset(int(stage) for stage in Stage)


class InvalidError(MicrosandboxError, ValueError):
    """A wrong argument; the message names it."""

    CODE = -1


class HandleError(MicrosandboxError, ValueError):
    """The sandbox or program was given back already."""

    CODE = -2


class StateError(MicrosandboxError):
    """Not possible in the present state."""

    CODE = -3


class TimedOutError(MicrosandboxError, TimeoutError):
    """The given time passed; the operation goes on."""

    CODE = -4


class CanceledError(MicrosandboxError):
    """The call was cancelled."""

    CODE = -5


class ClosedError(MicrosandboxError, ValueError):
    """The sandbox or program is closed."""

    CODE = -6


class NotFoundError(MicrosandboxError, FileNotFoundError):
    """No such sandbox, file or directory."""

    CODE = -7


class ExistsError(MicrosandboxError, FileExistsError):
    """A living or stored sandbox has this name."""

    CODE = -8


class PermissionDeniedError(MicrosandboxError, PermissionError):
    """The operating system refused."""

    CODE = -9


class UnsupportedError(MicrosandboxError):
    """This engine, kernel, build or platform cannot do it."""

    CODE = -10


class LimitError(MicrosandboxError):
    """Too many or too large: descriptors, memory, argv."""

    CODE = -11


class TooNewError(MicrosandboxError):
    """The binding uses fields or flags of a later version than the library's."""

    CODE = -12


class SetupError(MicrosandboxError):
    """A protection could not be applied; nothing runs."""

    CODE = -13


class ExecError(MicrosandboxError):
    """The program could not be started: see errno, and stage EXEC, CWD or STDIO."""

    CODE = -14


class SystemCallError(MicrosandboxError):
    """A system call failed: see errno."""

    CODE = -15


class ForkedError(MicrosandboxError):
    """The library was loaded before fork(): use the spawn or forkserver start method."""

    CODE = -16


class LaunchError(MicrosandboxError):
    """The msb executable could not be started or misbehaved."""

    CODE = -17


class BootError(MicrosandboxError):
    """The engine did not come up."""

    CODE = -18


class DoneError(MicrosandboxError, ProcessLookupError):
    """Already finished: there is nothing to act on."""

    CODE = -19


class GoneError(MicrosandboxError):
    """The sandbox ended before it could answer."""

    CODE = -20


class BufferTooSmallError(MicrosandboxError):
    """A buffer was too small; the binding grows it and tries again."""

    CODE = -21


class InternalError(MicrosandboxError):
    """A bug in the library; the message says where."""

    CODE = -99


class LibraryError(MicrosandboxError):
    """The shared library could not be loaded or does not fit this package."""


BY_CODE: dict[int, type[MicrosandboxError]] = {
    cls.CODE: cls for cls in MicrosandboxError.__subclasses__() if cls.CODE
}


def error_for(code: int, errno: int, stage: int, message: str) -> MicrosandboxError:
    """The exception for a result of the library."""
    return BY_CODE.get(code, MicrosandboxError)(message, code, errno, stage)
