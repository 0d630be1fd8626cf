"""What concerns no single sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from . import _arguments, _ffi
from ._info import entry_of, info_of
from .types import PathLike, SandboxEntry, SandboxInfo, SandboxOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def library_version() -> str:
    """The version of the loaded library."""
    return _ffi.version()


def list_sandboxes(state_dir: Optional[PathLike] = None) -> list[SandboxEntry]:
    """The living sandboxes of a state directory, by name."""
    return [entry_of(entry) for entry in _ffi.sandbox_list(_arguments.directory(state_dir))]


def probe(**options: Unpack[SandboxOptions]) -> SandboxInfo:
    """Boots a sandbox with these options, runs a program in it, and tells what
    would be enforced by what; an error names the cause and the remedy.

    Blocks for about a second, at most start_timeout; in asyncio use to_thread.
    """
    return info_of(_ffi.probe(_arguments.sandbox(**options)))


def set_log_fd(fd: Optional[int]) -> None:
    """Sends one line per action on a sandbox to a descriptor; None turns it off.

    The library keeps a duplicate: the caller may close its own.
    """
    _ffi.set_log_fd(-1 if fd is None else fd)
