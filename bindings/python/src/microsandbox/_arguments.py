"""From Python's values to those of the C ABI: bytes, milliseconds, numbers."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Mapping, Optional, Sequence

from . import _ffi, _platform
from .types import (
    DEVNULL,
    INHERIT,
    LOG,
    PIPE,
    RESOURCES,
    Argv,
    Engine,
    Env,
    Limit,
    LogSource,
    Mount,
    PathLike,
    Resource,
    Root,
    SandboxOptions,
    Stdio,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

_KINDS = {
    PIPE: _ffi.STDIO_PIPE,
    DEVNULL: _ffi.STDIO_NULL,
    INHERIT: _ffi.STDIO_INHERIT,
    LOG: _ffi.STDIO_LOG,
}
_UNLIMITED = 2**64 - 1


def encode(value: PathLike, what: str) -> bytes:
    """The bytes of a path, argument or variable, which need not be UTF-8."""
    data = os.fsencode(value)
    if b"\0" in data:
        raise ValueError(f"{what} holds a NUL byte")
    return data


def _optional(value: Optional[PathLike], what: str) -> Optional[bytes]:
    return None if value is None else encode(value, what)


def milliseconds(seconds: float) -> int:
    """Rounded up, so that a wait is never shorter than asked for."""
    if not math.isfinite(seconds):
        raise ValueError("a number of seconds must be finite")
    return math.ceil(seconds * 1000)


def limit(seconds: Optional[float], what: str) -> int:
    """A time limit, where 0 stands for the default in C and None in Python."""
    if seconds is None:
        return 0
    if seconds <= 0:
        raise ValueError(f"{what} must be above 0")
    return milliseconds(seconds)


def grace(seconds: Optional[float]) -> int:
    """A time that can be none: C takes 0 for the default and a negative number for none."""
    if seconds is None:
        return 0
    return -1 if seconds <= 0 else milliseconds(seconds)


def _name(name: str) -> bytes:
    if not name:
        raise ValueError("name is empty")
    if "\0" in name:
        raise ValueError("name holds a NUL byte")
    return name.encode("utf-8")


def _labels(values: Optional[Mapping[str, str]]) -> Optional[list[bytes]]:
    if values is None:
        return None
    data: list[bytes] = []
    for name, value in values.items():
        if not name or "=" in name:
            raise ValueError(f"labels: {name!r} cannot be the name of a label")
        if "\0" in name or "\0" in value:
            raise ValueError(f"labels: {name!r} holds a NUL byte")
        data.append(name.encode("utf-8") + b"=" + value.encode("utf-8"))
    return data


def _mount(mount: Mount) -> _ffi.MountArguments:
    if not 0 <= mount.size < 2**64:
        raise ValueError(f"mounts: size is out of range: {mount.size}")
    return _ffi.MountArguments(
        int(mount.kind),
        (_ffi.MOUNT_READONLY if mount.read_only else 0)
        | (_ffi.MOUNT_NOEXEC if mount.no_exec else 0)
        | (_ffi.MOUNT_NOSUID if mount.no_suid else 0)
        | (_ffi.MOUNT_NODEV if mount.no_dev else 0)
        | (_ffi.MOUNT_QCOW2 if mount.qcow2 else 0),
        _optional(mount.source, "mounts"),
        encode(mount.target, "mounts"),
        mount.size,
    )


def _permille(cpus: Optional[float]) -> int:
    if cpus is None:
        return 0
    if not 0.01 <= cpus < 2**22:
        raise ValueError(f"cpus is out of range: {cpus}")
    return round(cpus * 1000)


def sandbox(
    *,
    name: Optional[str] = None,
    root: Optional[Root] = None,
    engine: Engine = Engine.AUTO,
    memory_bytes: int = 0,
    overlay_bytes: int = 0,
    start_timeout: Optional[float] = None,
    stop_grace: Optional[float] = None,
    detached: bool = False,
    stored: bool = False,
    replace: bool = False,
    replace_grace: Optional[float] = None,
    idle_timeout: Optional[float] = None,
    max_duration: Optional[float] = None,
    labels: Optional[Mapping[str, str]] = None,
    metrics_interval: Optional[float] = None,
    log_max_bytes: int = 0,
    kernel_path: Optional[PathLike] = None,
    mounts: Sequence[Mount] = (),
    cpus: Optional[float] = None,
    cpu_weight: int = 0,
    cpu_time_limit: Optional[float] = None,
    max_processes: int = 0,
    max_open_files: int = 0,
    state_dir: Optional[PathLike] = None,
    msb_path: Optional[PathLike] = None,
) -> _ffi.SandboxArguments:
    """See SandboxOptions."""
    root = root or Root.host()
    for what, number in (
        ("memory_bytes", memory_bytes),
        ("overlay_bytes", overlay_bytes),
        ("log_max_bytes", log_max_bytes),
    ):
        if not 0 <= number < 2**64:
            raise ValueError(f"{what} is out of range: {number}")
    return _ffi.SandboxArguments(
        flags=(_ffi.CREATE_DETACHED if detached else 0)
        | (_ffi.CREATE_STORED if stored else 0)
        | (_ffi.CREATE_REPLACE if replace else 0),
        name=None if name is None else _name(name),
        msb_path=_optional(msb_path, "msb_path"),
        state_dir=_optional(state_dir, "state_dir"),
        engine=int(engine),
        root_kind=int(root.kind),
        root_path=_optional(root.path, "root"),
        memory_bytes=memory_bytes,
        overlay_bytes=overlay_bytes,
        start_timeout_ms=limit(start_timeout, "start_timeout"),
        stop_grace_ms=grace(stop_grace),
        replace_grace_ms=grace(replace_grace),
        idle_timeout_ms=limit(idle_timeout, "idle_timeout"),
        max_duration_ms=limit(max_duration, "max_duration"),
        labels=_labels(labels),
        metrics_interval_ms=grace(metrics_interval),
        log_max_bytes=log_max_bytes,
        kernel_path=_optional(kernel_path, "kernel_path"),
        mounts=tuple(_mount(mount) for mount in mounts),
        cpu_permille=_permille(cpus),
        cpu_weight=_identity(cpu_weight, "cpu_weight"),
        cpu_time_limit_ms=limit(cpu_time_limit, "cpu_time_limit"),
        max_processes=_identity(max_processes, "max_processes"),
        max_open_files=_identity(max_open_files, "max_open_files"),
    )


def start(
    name: str,
    *,
    detached: bool = False,
    start_timeout: Optional[float] = None,
    state_dir: Optional[PathLike] = None,
    msb_path: Optional[PathLike] = None,
) -> _ffi.SandboxArguments:
    """See StartOptions."""
    return _ffi.SandboxArguments(
        flags=_ffi.CREATE_DETACHED if detached else 0,
        name=_name(name),
        msb_path=_optional(msb_path, "msb_path"),
        state_dir=_optional(state_dir, "state_dir"),
        start_timeout_ms=limit(start_timeout, "start_timeout"),
    )


def pool(
    *,
    size: int = 0,
    idle_size: int = 0,
    max_sandboxes: int = 0,
    max_boots: int = 0,
    idle_shrink: Optional[float] = None,
    **options: Unpack[SandboxOptions],
) -> _ffi.PoolArguments:
    """See PoolOptions."""
    counts = (size, idle_size, max_sandboxes, max_boots)
    for what, number in zip(("size", "idle_size", "max_sandboxes", "max_boots"), counts):
        count(number, what)
    return _ffi.PoolArguments(sandbox(**options), *counts, limit(idle_shrink, "idle_shrink"))


def count(number: int, what: str) -> int:
    if not 0 <= number < 2**32:
        raise ValueError(f"{what} is out of range: {number}")
    return number


def take(
    *,
    name: Optional[str] = None,
    labels: Optional[Mapping[str, str]] = None,
    timeout: Optional[float] = None,
    detached: bool = False,
    replace: bool = False,
    replace_grace: Optional[float] = None,
    idle_timeout: Optional[float] = None,
    max_duration: Optional[float] = None,
) -> _ffi.TakeArguments:
    """See TakeOptions."""
    return _ffi.TakeArguments(
        flags=(_ffi.CREATE_DETACHED if detached else 0) | (_ffi.CREATE_REPLACE if replace else 0),
        name=None if name is None else _name(name),
        labels=_labels(labels),
        take_timeout_ms=limit(timeout, "timeout"),
        idle_timeout_ms=grace(idle_timeout),
        max_duration_ms=grace(max_duration),
        replace_grace_ms=grace(replace_grace),
    )


def listing(
    state_dir: Optional[PathLike],
    stopped: bool,
    labels: Optional[Mapping[str, str]],
    pooled: bool = False,
) -> tuple[Optional[bytes], int, Optional[list[bytes]]]:
    """See list_sandboxes."""
    flags = (_ffi.LIST_STOPPED if stopped else 0) | (_ffi.LIST_POOLED if pooled else 0)
    return directory(state_dir), flags, _labels(labels)


def directory(path: Optional[PathLike]) -> Optional[bytes]:
    return _optional(path, "state_dir")


def by_name(name: str, state_dir: Optional[PathLike]) -> tuple[bytes, Optional[bytes]]:
    return _name(name), directory(state_dir)


def logs(
    *,
    tail: Optional[int] = None,
    since: Optional[float] = None,
    follow: bool = False,
    sources: Optional[Sequence[LogSource]] = None,
    program: Optional[int] = None,
) -> tuple[int, int, int, int, int]:
    """Flags, sources, tail_lines, since_unix_ms and program. See LogsOptions."""
    if tail is not None and not 0 <= tail < 2**63:
        raise ValueError(f"tail is out of range: {tail}")
    if program is not None and not 0 < program < 2**64:
        raise ValueError(f"program is out of range: {program}")
    mask = 0
    if sources is not None:
        for source in sources:
            if source == LogSource.GAP:
                raise ValueError("sources: gaps are told of in any case")
            mask |= 1 << LogSource(source)
        if not mask:
            raise ValueError("sources is empty")
    since_ms = 0 if since is None else milliseconds(since)
    lines = 0 if tail is None else tail or -1
    return _ffi.LOGS_FOLLOW if follow else 0, mask, lines, since_ms, program or 0


def argv(values: Argv) -> list[bytes]:
    if isinstance(values, (str, bytes)):
        raise TypeError('argv is a sequence of arguments, as in ["sh", "-c", "…"]')
    data = [encode(value, "argv") for value in values]
    if not data:
        raise ValueError("argv is empty")
    return data


def variables(values: Optional[Env]) -> Optional[list[bytes]]:
    if values is None:
        return None
    data: list[bytes] = []
    for name, value in values.items():
        key = encode(name, "env")
        if not key or b"=" in key:
            raise ValueError(f"env: {name!r} cannot be the name of a variable")
        data.append(key + b"=" + encode(value, "env"))
    return data


def stdio(values: Sequence[Stdio]) -> list[tuple[int, int]]:
    """Pairs of kind and descriptor; a file is flushed first, so that order is kept."""
    pairs: list[tuple[int, int]] = []
    for value in values:
        if isinstance(value, str):
            if value not in _KINDS:
                raise ValueError(f"stdio is PIPE, DEVNULL, INHERIT, LOG, a descriptor or a file, not {value!r}")
            pairs.append((_KINDS[value], 0))
        elif isinstance(value, int):
            if value < 0:
                raise ValueError(f"stdio: {value} is not a descriptor")
            pairs.append((_ffi.STDIO_FD, _platform.lent(value)))
        else:
            if value.writable():
                value.flush()
            pairs.append((_ffi.STDIO_FD, _platform.lent(value.fileno())))
    return pairs


def terminal(stdio_kinds: Sequence[Stdio]) -> list[tuple[int, int]]:
    """stdio of a program with a terminal, which takes the place of all three."""
    if any(kind is not DEVNULL for kind in stdio_kinds):
        raise ValueError("pty: stdin, stdout and stderr are the terminal")
    return [(_ffi.STDIO_PTY, 0)] * 3


def side(number: Optional[int], what: str) -> int:
    """Rows or columns of a terminal; 0 is the default."""
    if number is None:
        return 0
    if not 1 <= number <= 65535:
        raise ValueError(f"{what} is not between 1 and 65535: {number}")
    return number


def _identity(number: int, what: str) -> int:
    if not 0 <= number < 2**32:
        raise ValueError(f"{what} is out of range: {number}")
    return number


def resource_limits(values: Optional[Mapping[Resource, Limit]]) -> list[tuple[int, int, int]]:
    """Numbers of resources with their soft and hard limits."""
    rows: list[tuple[int, int, int]] = []
    for name, value in (values or {}).items():
        if name not in RESOURCES:
            raise ValueError(f"rlimits: {name!r} is none of {', '.join(RESOURCES)}")
        pair = value if isinstance(value, tuple) else (value, value)
        soft, hard = (_UNLIMITED if number is None else number for number in pair)
        if not 0 <= soft <= hard <= _UNLIMITED:
            raise ValueError(f"rlimits: {name} is out of order or out of range: {value}")
        rows.append((RESOURCES.index(name), soft, hard))
    return rows


def process(
    arguments: Argv,
    *,
    stdio_kinds: Sequence[Stdio],
    start_timeout: Optional[float] = None,
    env: Optional[Env] = None,
    clear_env: bool = False,
    cwd: Optional[PathLike] = None,
    uid: int = 0,
    gid: int = 0,
    groups: Sequence[int] = (),
    umask: Optional[int] = None,
    rlimits: Optional[Mapping[Resource, Limit]] = None,
    wall_limit: Optional[float] = None,
    output_limit: int = 0,
    pty: bool = False,
    rows: Optional[int] = None,
    cols: Optional[int] = None,
) -> _ffi.ProcessArguments:
    """See ProgramOptions and spawn."""
    if not 0 <= output_limit < 2**64:
        raise ValueError(f"output_limit is out of range: {output_limit}")
    if umask is not None and not 0 <= umask <= 0o777:
        raise ValueError(f"umask is out of range: {umask}")
    return _ffi.ProcessArguments(
        argv=argv(arguments),
        env=variables(env),
        clear_env=clear_env,
        cwd=_optional(cwd, "cwd"),
        stdio=terminal(stdio_kinds) if pty else stdio(stdio_kinds),
        start_timeout_ms=limit(start_timeout, "start_timeout"),
        uid=_identity(uid, "uid"),
        gid=_identity(gid, "gid"),
        groups=[_identity(group, "groups") for group in groups],
        umask=umask,
        rlimits=resource_limits(rlimits),
        wall_limit_ms=limit(wall_limit, "wall_limit"),
        output_limit_bytes=output_limit,
        rows=side(rows, "rows"),
        cols=side(cols, "cols"),
    )
