"""Run untrusted code in a sandbox.

    from microsandbox import Sandbox

    with Sandbox() as sandbox:
        print(sandbox.run(["echo", "hello"]).check().text)

Sandbox and Process wait with poll(2), so that Ctrl-C works; AsyncSandbox and
AsyncProcess are their twins for asyncio. Neither uses threads. The shared
library is loaded at first use: a process forked after that cannot use it
(ForkedError), so choose the spawn or forkserver method of multiprocessing.
"""

from __future__ import annotations

from ._async import AsyncProcess, AsyncSandbox
from ._logs import AsyncLogs, Logs
from ._sync import Process, Sandbox
from ._system import (
    audit,
    library_version,
    list_sandboxes,
    metrics,
    probe,
    remove_sandbox,
    set_log_fd,
)
from .errors import (
    BootError,
    BufferTooSmallError,
    CanceledError,
    ClosedError,
    DoneError,
    ExecError,
    ExistsError,
    ForkedError,
    GoneError,
    HandleError,
    InternalError,
    InvalidError,
    LaunchError,
    LibraryError,
    LimitError,
    MicrosandboxError,
    NotFoundError,
    PermissionDeniedError,
    SetupError,
    Stage,
    StateError,
    SystemCallError,
    TimedOutError,
    TooNewError,
    UnsupportedError,
)
from .types import (
    DEVNULL,
    INHERIT,
    LOG,
    PIPE,
    Audit,
    Cause,
    Completed,
    Engine,
    LogEntry,
    LogsOptions,
    LogSource,
    Metrics,
    Mount,
    MountKind,
    Outcome,
    ProgramError,
    ProgramOptions,
    Root,
    RootKind,
    RunTimeoutError,
    SandboxEntry,
    SandboxInfo,
    SandboxOptions,
    StartOptions,
    State,
)

__version__ = "0.1.0"

__all__ = [
    "DEVNULL",
    "INHERIT",
    "LOG",
    "PIPE",
    "AsyncLogs",
    "AsyncProcess",
    "AsyncSandbox",
    "Audit",
    "BootError",
    "BufferTooSmallError",
    "CanceledError",
    "Cause",
    "ClosedError",
    "Completed",
    "DoneError",
    "Engine",
    "ExecError",
    "ExistsError",
    "ForkedError",
    "GoneError",
    "HandleError",
    "InternalError",
    "InvalidError",
    "LaunchError",
    "LibraryError",
    "LimitError",
    "LogEntry",
    "LogSource",
    "Logs",
    "LogsOptions",
    "Metrics",
    "MicrosandboxError",
    "Mount",
    "MountKind",
    "NotFoundError",
    "Outcome",
    "PermissionDeniedError",
    "Process",
    "ProgramError",
    "ProgramOptions",
    "Root",
    "RootKind",
    "RunTimeoutError",
    "Sandbox",
    "SandboxEntry",
    "SandboxInfo",
    "SandboxOptions",
    "SetupError",
    "Stage",
    "StartOptions",
    "State",
    "StateError",
    "SystemCallError",
    "TimedOutError",
    "TooNewError",
    "UnsupportedError",
    "audit",
    "library_version",
    "list_sandboxes",
    "metrics",
    "probe",
    "remove_sandbox",
    "set_log_fd",
]
