"""What concerns no single sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional

from . import _arguments, _ffi, _platform
from ._info import audit_of, entry_of, info_of, metrics_of
from ._logs import AsyncLogs, Logs
from .types import Audit, LogsOptions, Metrics, PathLike, SandboxEntry, SandboxInfo, SandboxOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def library_version() -> str:
    """The version of the loaded library."""
    return _ffi.version()


def list_sandboxes(
    state_dir: Optional[PathLike] = None,
    *,
    stopped: bool = False,
    pooled: bool = False,
    labels: Optional[Mapping[str, str]] = None,
) -> list[SandboxEntry]:
    """The living sandboxes of a state directory, by name.

    With `stopped` also the stored ones that do not run, with `pooled` those that
    wait in a pool; with `labels` only those that have all of these.
    """
    raw = _ffi.sandbox_list(*_arguments.listing(state_dir, stopped, labels, pooled))
    return [entry_of(entry) for entry in raw]


def metrics(state_dir: Optional[PathLike] = None) -> list[Metrics]:
    """The last samples of all living sandboxes of a state directory."""
    return [metrics_of(raw) for raw in _ffi.metrics_list(_arguments.directory(state_dir))]


def logs(
    name: str, *, state_dir: Optional[PathLike] = None, **options: Unpack[LogsOptions]
) -> Logs:
    """Entries of the log of a sandbox that lives or is stored, to iterate over.

    See LogsOptions; a stored sandbox's failed first start can be read, too.
    """
    return Logs(_logs_open(name, state_dir, options))


def async_logs(
    name: str, *, state_dir: Optional[PathLike] = None, **options: Unpack[LogsOptions]
) -> AsyncLogs:
    """As logs, for `async for`."""
    return AsyncLogs(_logs_open(name, state_dir, options))


def _logs_open(name: str, state_dir: Optional[PathLike], options: LogsOptions) -> int:
    return _ffi.logs_open(*_arguments.by_name(name, state_dir), *_arguments.logs(**options))


def remove_sandbox(name: str, *, state_dir: Optional[PathLike] = None) -> None:
    """Forgets a stored sandbox; StateError while it runs."""
    _ffi.sandbox_remove(*_arguments.by_name(name, state_dir))


def audit(state_dir: Optional[PathLike] = None) -> Audit:
    """Sweeps what dead sandboxes left under a state directory, and lists all that
    the library made there and that still exists."""
    return audit_of(*_ffi.audit(_arguments.directory(state_dir)))


def probe(**options: Unpack[SandboxOptions]) -> SandboxInfo:
    """Boots a sandbox with these options, runs a program in it, and tells what
    would be enforced by what; an error names the cause and the remedy. The
    sandbox of the trial is never detached or stored, and replaces nothing.

    Blocks for about a second, at most start_timeout; in asyncio use to_thread.
    """
    return info_of(_ffi.probe(_arguments.sandbox(**options)))


def set_log_fd(fd: Optional[int]) -> None:
    """Sends one line per action on a sandbox to a descriptor; None turns it off.

    The library keeps a duplicate: the caller may close its own.
    """
    _ffi.set_log_fd(-1 if fd is None else _platform.lent(fd))
