"""The C ABI through ctypes. Only this module and _structs import ctypes.

Handles are ints, descriptors are ints that the caller closes, and a result
other than MSB_OK is raised. CDLL releases the GIL during calls.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence

from ._platform import IN_TREE, SONAME
from ._structs import (
    Error,
    ListOptions,
    LogsOptions,
    Metrics,
    Mount,
    Outcome,
    PoolInfo,
    PoolOptions,
    ProcessOptions,
    Rlimit,
    SandboxEntry,
    SandboxInfo,
    SandboxOptions,
    TakeOptions,
)
from .errors import BufferTooSmallError, LibraryError, error_for

VERSION = (0, 1)  # MSB_VERSION_MAJOR, MSB_VERSION_MINOR of the header below

CREATE_ASYNC, CREATE_DETACHED, CREATE_STORED, CREATE_REPLACE = 1, 2, 4, 8
MOUNT_BIND, MOUNT_TMPFS, MOUNT_EROFS, MOUNT_DISK = range(4)
MOUNT_READONLY, MOUNT_NOEXEC, MOUNT_NOSUID, MOUNT_NODEV, MOUNT_QCOW2 = 1, 2, 4, 8, 16
START_ASYNC = 1
START_CLEAR_ENV = 2
START_UMASK = 4
START_OVERLAPPED = 8
INFO_ATTACHED, INFO_OWNER, INFO_STORED, INFO_POOLED = 1, 2, 4, 8
LIST_STOPPED, LIST_POOLED = 1, 2
POOL_SHRUNKEN, POOL_UNFILLED = 1, 2
LOGS_FOLLOW = 1
LOGS_OVERLAPPED = 2
EVENT_READY = 1
EVENT_DONE = 2
STDIO_NULL, STDIO_PIPE, STDIO_FD, STDIO_INHERIT = range(4)
STDIO_PTY = 4
STDIO_LOG = 5
SIGKILL, SIGTERM = 9, 15  # Linux's numbers, on every host

_u32, _i32, _u64, _i64 = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_int64
_str = ctypes.c_char_p
_fd = ctypes.c_ssize_t if sys.platform == "win32" else _i32  # msb_os_fd
_p = ctypes.POINTER
_err = _p(Error)

# Every function of the header that returns an msb_result, less its last argument, the msb_error.
FUNCTIONS: dict[str, list[Any]] = {
    "msb_set_log_fd": [_fd],
    "msb_probe": [_p(SandboxOptions), _p(SandboxInfo)],
    "msb_sandbox_create": [_p(SandboxOptions), _p(_u64)],
    "msb_sandbox_open": [_str, _str, _p(_u64)],
    "msb_sandbox_list": [_p(ListOptions), _p(SandboxEntry), _u32, _p(_u32)],
    "msb_pool_create": [_p(PoolOptions), _p(_u64)],
    "msb_pool_take": [_u64, _p(TakeOptions), _p(_u64)],
    "msb_pool_resize": [_u64, _u32],
    "msb_pool_info_get": [_u64, _p(PoolInfo)],
    "msb_sandbox_pid": [_u64, _p(_i32)],
    "msb_sandbox_name": [_u64, ctypes.c_void_p, _u32, _p(_u32)],
    "msb_sandbox_info_get": [_u64, _p(SandboxInfo)],
    "msb_sandbox_start": [_p(SandboxOptions), _p(_u64)],
    "msb_sandbox_remove": [_str, _str],
    "msb_sandbox_metrics": [_u64, _p(Metrics)],
    "msb_metrics_list": [_str, _p(Metrics), _u32, _p(_u32)],
    "msb_logs_open": [_str, _str, _p(LogsOptions), _p(_fd)],
    "msb_audit": [_str, ctypes.c_void_p, _u32, _p(_u32), _p(_u32)],
    "msb_sandbox_drain": [_u64, _i64],
    "msb_sandbox_stop": [_u64, _i64],
    "msb_sandbox_disarm": [_u64],
    "msb_process_start": [_u64, _p(ProcessOptions), _p(_u64)],
    "msb_process_stdio": [_u64, _u32, _p(_fd)],
    "msb_process_resize": [_u64, _u32, _u32],
    "msb_process_number": [_u64, _p(_u64)],
    "msb_kill": [_u64, _i32],
    "msb_wait": [_u64, _i64, _p(Outcome)],
    "msb_try_wait": [_u64, _p(_i32), _p(Outcome)],
    "msb_fd": [_u64, _u32, _p(_fd)],
    "msb_cancel": [_u64],
}

_lock = threading.Lock()
_library: Optional[ctypes.CDLL] = None


def candidates() -> list[Path]:
    """Where the library may lie, in the order of preference; a bare name is left to the system."""
    override = os.environ.get("MSB_LIBRARY")
    if override:
        return [Path(override)]
    here = Path(__file__).resolve().parent
    found = [here / "_lib" / SONAME]
    # In the source tree this file is bindings/python/src/microsandbox/_ffi.py.
    if len(here.parents) > 3 and (here.parents[3] / "include" / "microsandbox.h").is_file():
        found.append(here.parents[3] / IN_TREE)
    return [path for path in found if path.is_file()] or [Path(SONAME)]


def _is_musl() -> bool:
    if sys.platform == "win32":
        return False
    try:
        return not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError, AttributeError):
        return True


def _load() -> ctypes.CDLL:
    if sys.platform != "win32" and not sys.platform.startswith("linux"):
        raise LibraryError(f"microsandbox needs Linux or Windows, and this is {sys.platform}")
    if _is_musl():
        raise LibraryError("microsandbox needs glibc: musl (Alpine) cannot load a Go shared library")
    path = candidates()[0]
    if path.is_absolute() and not path.exists():
        raise LibraryError(f"{path}: no such file; MSB_LIBRARY must name {SONAME}")
    try:
        loaded = ctypes.CDLL(str(path))
        _check(loaded, path)
    except (OSError, AttributeError) as error:
        if isinstance(error, LibraryError):
            raise
        raise LibraryError(
            f"cannot load {path}: {error}; install the wheel, set MSB_LIBRARY, "
            f"or run make in the source tree"
        ) from None
    _declare(loaded)
    return loaded


def _check(loaded: ctypes.CDLL, path: object) -> None:
    """Structs grow and functions are added within a major version; nothing else changes."""
    version: int = loaded.msb_version()
    major, minor = version >> 16, version >> 8 & 0xFF
    if major != VERSION[0] or minor < VERSION[1]:
        needed = f"{VERSION[0]}.{VERSION[1]}"
        raise LibraryError(f"{path} has version {major}.{minor}, and this package needs {needed}")


def _declare(loaded: ctypes.CDLL) -> None:
    loaded.msb_version.argtypes = []
    loaded.msb_version.restype = _u32
    loaded.msb_result_name.argtypes = [_i32]
    loaded.msb_result_name.restype = _str
    loaded.msb_close.argtypes = [_u64]
    loaded.msb_close.restype = _i32
    for name, arguments in FUNCTIONS.items():
        function = getattr(loaded, name)
        function.argtypes = [*arguments, _err]
        function.restype = _i32


def library() -> ctypes.CDLL:
    """The shared library, loaded at first use: forking before that is harmless."""
    global _library
    if _library is None:
        with _lock:
            if _library is None:
                _library = _load()
    return _library


def _call(name: str, *arguments: Any) -> None:
    error = Error(ctypes.sizeof(Error))
    result: int = getattr(_library or library(), name)(*arguments, ctypes.byref(error))
    if result != 0:
        message: bytes = error.message
        raise error_for(
            result,
            error.sys_errno,
            error.stage,
            message.decode("utf-8", "replace") or result_name(result),
        )


def _sized(struct: Any) -> Any:
    value = struct()
    value.size = ctypes.sizeof(struct)
    return value


def version() -> str:
    number: int = library().msb_version()
    return f"{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def result_name(result: int) -> str:
    name: bytes = library().msb_result_name(result)
    return name.decode()


def set_log_fd(fd: int) -> None:
    _call("msb_set_log_fd", fd)


def _strings(values: Sequence[bytes]) -> Any:
    return (_str * (len(values) + 1))(*values, None)


class MountArguments(NamedTuple):
    kind: int
    flags: int
    source: Optional[bytes]
    target: bytes
    size_bytes: int


class SandboxArguments(NamedTuple):
    """msb_sandbox_options in Python values; 0 and None are the defaults."""

    flags: int = 0  # CREATE_*, less CREATE_ASYNC
    name: Optional[bytes] = None
    msb_path: Optional[bytes] = None
    state_dir: Optional[bytes] = None
    engine: int = 0
    root_kind: int = 0
    root_path: Optional[bytes] = None
    memory_bytes: int = 0
    overlay_bytes: int = 0
    start_timeout_ms: int = 0
    stop_grace_ms: int = 0
    replace_grace_ms: int = 0
    idle_timeout_ms: int = 0
    max_duration_ms: int = 0
    labels: Optional[Sequence[bytes]] = None
    metrics_interval_ms: int = 0
    log_max_bytes: int = 0
    kernel_path: Optional[bytes] = None
    mounts: Sequence[MountArguments] = ()
    cpu_permille: int = 0
    cpu_weight: int = 0
    cpu_time_limit_ms: int = 0
    max_processes: int = 0
    max_open_files: int = 0


def _sandbox_options(arguments: SandboxArguments, flags: int) -> SandboxOptions:
    values = arguments._asdict()
    values.update(size=ctypes.sizeof(SandboxOptions), flags=flags)
    labels = values.pop("labels")
    mounts = [Mount(*mount) for mount in values.pop("mounts")]
    options = SandboxOptions(**values)
    if mounts:
        options.mounts = (Mount * len(mounts))(*mounts)
        options.mounts_count = len(mounts)
        options.mount_size = ctypes.sizeof(Mount)
    if labels is not None:
        options.labels = _strings(labels)
    return options


def _begin(function: str, arguments: SandboxArguments) -> int:
    out = _u64()
    options = _sandbox_options(arguments, arguments.flags | CREATE_ASYNC)
    _call(function, ctypes.byref(options), ctypes.byref(out))
    return out.value


def sandbox_create(arguments: SandboxArguments) -> int:
    """Begins to create a sandbox; EVENT_READY tells when that has ended."""
    return _begin("msb_sandbox_create", arguments)


def sandbox_start(arguments: SandboxArguments) -> int:
    """Begins to start a stored sandbox; EVENT_READY tells when that has ended."""
    return _begin("msb_sandbox_start", arguments)


class PoolArguments(NamedTuple):
    """msb_pool_options in Python values; 0 is the default."""

    sandbox: SandboxArguments
    pool_size: int = 0
    idle_size: int = 0
    max_sandboxes: int = 0
    max_boots: int = 0
    idle_shrink_ms: int = 0


class TakeArguments(NamedTuple):
    """msb_take_options in Python values; 0 and None are the defaults."""

    flags: int = 0  # CREATE_*, less CREATE_ASYNC
    name: Optional[bytes] = None
    labels: Optional[Sequence[bytes]] = None
    take_timeout_ms: int = 0
    idle_timeout_ms: int = 0
    max_duration_ms: int = 0
    replace_grace_ms: int = 0


def pool_create(arguments: PoolArguments) -> int:
    """Begins to fill a pool; EVENT_READY tells when it is full or a boot has failed."""
    values = arguments._asdict()
    sandbox = _sandbox_options(values.pop("sandbox"), arguments.sandbox.flags)
    values.update(size=ctypes.sizeof(PoolOptions), flags=CREATE_ASYNC)
    options = PoolOptions(sandbox=ctypes.pointer(sandbox), **values)
    out = _u64()
    _call("msb_pool_create", ctypes.byref(options), ctypes.byref(out))
    return out.value


def pool_take(pool: int, arguments: TakeArguments) -> int:
    """Begins to take a sandbox; EVENT_READY tells when that has ended."""
    values = arguments._asdict()
    labels = values.pop("labels")
    values.update(size=ctypes.sizeof(TakeOptions), flags=arguments.flags | CREATE_ASYNC)
    options = TakeOptions(**values)
    if labels is not None:
        options.labels = _strings(labels)
    out = _u64()
    _call("msb_pool_take", pool, ctypes.byref(options), ctypes.byref(out))
    return out.value


def pool_resize(pool: int, size: int) -> None:
    _call("msb_pool_resize", pool, size)


def pool_info(pool: int) -> PoolInfo:
    info = _sized(PoolInfo)
    _call("msb_pool_info_get", pool, ctypes.byref(info))
    return info


def sandbox_open(name: bytes, state_dir: Optional[bytes]) -> int:
    out = _u64()
    _call("msb_sandbox_open", name, state_dir, ctypes.byref(out))
    return out.value


def sandbox_remove(name: bytes, state_dir: Optional[bytes]) -> None:
    _call("msb_sandbox_remove", name, state_dir)


def probe(arguments: SandboxArguments) -> SandboxInfo:
    """The sandbox of the trial is not detached or stored, and replaces nothing."""
    info = _sized(SandboxInfo)
    _call("msb_probe", ctypes.byref(_sandbox_options(arguments, 0)), ctypes.byref(info))
    return info


def sandbox_list(
    state_dir: Optional[bytes], flags: int, labels: Optional[Sequence[bytes]]
) -> list[SandboxEntry]:
    options = _sized(ListOptions)
    options.flags = flags
    options.state_dir = state_dir
    if labels is not None:
        options.labels = _strings(labels)
    return _list("msb_sandbox_list", ctypes.byref(options), SandboxEntry)


def metrics_list(state_dir: Optional[bytes]) -> list[Metrics]:
    return _list("msb_metrics_list", state_dir, Metrics)


def _list(function: str, what: Any, struct: Any) -> list[Any]:
    capacity = 64
    while True:
        entries = (struct * capacity)()
        entries[0].size = ctypes.sizeof(struct)
        count = _u32()
        try:
            _call(function, what, entries, capacity, ctypes.byref(count))
        except BufferTooSmallError:
            capacity = max(count.value, capacity) * 2  # more may appear meanwhile
            continue
        return list(entries)[: count.value]


def audit(state_dir: Optional[bytes]) -> tuple[bytes, int]:
    """The lines of the audit and how many of them are orphans."""
    capacity = 1 << 14
    while True:
        buffer = ctypes.create_string_buffer(capacity)
        length, orphans = _u32(), _u32()
        try:
            _call(
                "msb_audit",
                state_dir,
                buffer,
                capacity,
                ctypes.byref(length),
                ctypes.byref(orphans),
            )
        except BufferTooSmallError:
            capacity = max(length.value, capacity) * 2  # more may appear meanwhile
            continue
        return buffer.raw[: length.value], orphans.value


def sandbox_pid(sandbox: int) -> int:
    out = _i32()
    _call("msb_sandbox_pid", sandbox, ctypes.byref(out))
    return out.value


def sandbox_name(sandbox: int) -> str:
    buffer = ctypes.create_string_buffer(136)
    _call("msb_sandbox_name", sandbox, buffer, len(buffer), None)
    return buffer.value.decode("utf-8")


def sandbox_info(sandbox: int) -> SandboxInfo:
    info = _sized(SandboxInfo)
    _call("msb_sandbox_info_get", sandbox, ctypes.byref(info))
    return info


def sandbox_metrics(sandbox: int) -> Metrics:
    metrics = _sized(Metrics)
    _call("msb_sandbox_metrics", sandbox, ctypes.byref(metrics))
    return metrics


def logs_open(
    name: bytes,
    state_dir: Optional[bytes],
    flags: int,
    sources: int,
    tail_lines: int,
    since_unix_ms: int,
    program: int,
) -> int:
    """A descriptor from which the entries of a log can be read."""
    size = ctypes.sizeof(LogsOptions)
    options = LogsOptions(size, flags | LOGS_OVERLAPPED, sources, 0, tail_lines, since_unix_ms, program)
    out = _fd(-1)
    _call("msb_logs_open", name, state_dir, ctypes.byref(options), ctypes.byref(out))
    return out.value


def sandbox_drain(sandbox: int, deadline_ms: int) -> None:
    _call("msb_sandbox_drain", sandbox, deadline_ms)


def sandbox_stop(sandbox: int, grace_ms: int) -> None:
    _call("msb_sandbox_stop", sandbox, grace_ms)


def sandbox_disarm(sandbox: int) -> None:
    _call("msb_sandbox_disarm", sandbox)


class ProcessArguments(NamedTuple):
    """msb_process_options in Python values; stdio are pairs of kind and descriptor."""

    argv: Sequence[bytes]
    env: Optional[Sequence[bytes]] = None
    clear_env: bool = False
    overlapped: bool = False  # pipes that are read and written by _platform.Reader and Writer
    cwd: Optional[bytes] = None
    stdio: Sequence[tuple[int, int]] = ((STDIO_NULL, 0),) * 3
    start_timeout_ms: int = 0
    uid: int = 0
    gid: int = 0
    groups: Sequence[int] = ()
    umask: Optional[int] = None
    rlimits: Sequence[tuple[int, int, int]] = ()  # resource, soft, hard
    wall_limit_ms: int = 0
    output_limit_bytes: int = 0
    rows: int = 0
    cols: int = 0


def process_start(sandbox: int, arguments: ProcessArguments) -> int:
    """Begins to start a program; EVENT_READY tells when that has ended."""
    options = _sized(ProcessOptions)
    options.flags = START_ASYNC | (START_CLEAR_ENV if arguments.clear_env else 0)
    if arguments.overlapped:
        options.flags |= START_OVERLAPPED
    options.argv = _strings(arguments.argv)
    if arguments.env is not None:
        options.env = _strings(arguments.env)
    options.cwd = arguments.cwd
    for slot, (kind, fd) in zip(options.stdio, arguments.stdio):
        slot.kind, slot.fd = kind, fd
    options.start_timeout_ms = arguments.start_timeout_ms
    options.rows, options.cols = arguments.rows, arguments.cols
    _limits(options, arguments)
    out = _u64()
    _call("msb_process_start", sandbox, ctypes.byref(options), ctypes.byref(out))
    return out.value


def _limits(options: ProcessOptions, arguments: ProcessArguments) -> None:
    options.uid, options.gid = arguments.uid, arguments.gid
    options.group_count = len(arguments.groups)
    options.groups = (_u32 * len(arguments.groups))(*arguments.groups)
    if arguments.umask is not None:
        options.flags |= START_UMASK
        options.umask = arguments.umask
    options.rlimit_count = len(arguments.rlimits)
    rows = (Rlimit(resource, 0, soft, hard) for resource, soft, hard in arguments.rlimits)
    options.rlimits = (Rlimit * len(arguments.rlimits))(*rows)
    options.wall_limit_ms = arguments.wall_limit_ms
    options.output_limit_bytes = arguments.output_limit_bytes


def process_stdio(process: int, which: int) -> int:
    out = _fd(-1)
    _call("msb_process_stdio", process, which, ctypes.byref(out))
    return out.value


def process_resize(process: int, rows: int, cols: int) -> None:
    _call("msb_process_resize", process, rows, cols)


def process_number(process: int) -> int:
    out = _u64()
    _call("msb_process_number", process, ctypes.byref(out))
    return out.value


def kill(handle: int, signo: int) -> None:
    _call("msb_kill", handle, signo)


def try_wait(handle: int) -> Optional[Outcome]:
    done = _i32()
    outcome = _sized(Outcome)
    _call("msb_try_wait", handle, ctypes.byref(done), ctypes.byref(outcome))
    return outcome if done.value else None


def event_fd(handle: int, events: int) -> int:
    """A new descriptor that becomes readable once any of the events has happened."""
    out = _fd(-1)
    _call("msb_fd", handle, events, ctypes.byref(out))
    return out.value


def close(handle: int) -> None:
    """Requests the end; never blocks, and tells nothing in a forked child."""
    if _library is not None:
        _library.msb_close(handle)
