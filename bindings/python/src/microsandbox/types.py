"""Values: what a sandbox is made from, what it is, and what programs did in it."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, Mapping, Optional, Sequence, Tuple, Union

from .errors import MicrosandboxError, TimedOutError

if TYPE_CHECKING:
    from typing_extensions import TypedDict
else:
    from typing import TypedDict

StrOrBytes = Union[str, bytes]
PathLike = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Argv = Sequence[PathLike]
Env = Mapping[StrOrBytes, PathLike]
Bytes = Union[bytes, bytearray, memoryview]

PIPE = "pipe"  #: a pipe, whose other end the Process has
DEVNULL = "null"
INHERIT = "inherit"  #: this process's own descriptor 0, 1 or 2
LOG = "log"  #: stdout and stderr: the sandbox's log
Stdio = Union[str, int, IO[Any]]

Resource = Literal[
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as"
]
RESOURCES: Sequence[Resource] = (  # in the order of Linux's numbers
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
)
#: seconds, bytes or a count: soft and hard limit in one, or both; None is unlimited
Limit = Union[int, None, Tuple[Optional[int], Optional[int]]]


class Engine(enum.IntEnum):
    """What isolates the guest."""

    AUTO = 0  #: the strongest that a probe run has shown to work
    GVISOR = 1  #: a kernel in user space; needs neither KVM nor root
    QEMU = 2  #: a microVM with KVM; what it cannot do is refused
    QEMU_TCG = 3  #: a microVM with a processor in software, ten times slower
    JOB = 4  #: Windows: host programs in a job object; limits, no wall


class RootKind(enum.IntEnum):
    HOST = 0
    DIR = 1
    EROFS = 2


@dataclass(frozen=True)
class Root:
    """The guest's root file system. Changes to it stay in memory."""

    kind: RootKind = RootKind.HOST
    path: Optional[PathLike] = None

    @classmethod
    def host(cls) -> Root:
        """A read-only view of the host's toolchain, with a writable /tmp and home."""
        return cls()

    @classmethod
    def dir(cls, path: PathLike) -> Root:
        """A directory."""
        return cls(RootKind.DIR, path)

    @classmethod
    def erofs(cls, path: PathLike) -> Root:
        """An EROFS image file."""
        return cls(RootKind.EROFS, path)


class MountKind(enum.IntEnum):
    BIND = 0
    TMPFS = 1
    EROFS = 2
    DISK = 3


@dataclass(frozen=True)
class Mount:
    """What a sandbox shows of the host beside its root.

    The source is opened once, when the sandbox starts. The target is absolute;
    what is missing of it is made in memory.
    """

    kind: MountKind
    source: Optional[PathLike]
    target: PathLike
    size: int = 0  #: bytes of a tmpfs
    read_only: bool = False
    no_exec: bool = False  #: no program is executed from it
    no_suid: bool = False  #: set-user-id bits and file capabilities have no effect
    no_dev: bool = False  #: always in force for the host's devices: none is ever opened
    qcow2: bool = False  #: a disk's image is qcow2; else it is raw

    @classmethod
    def bind(
        cls,
        source: PathLike,
        target: PathLike,
        *,
        read_only: bool = False,
        no_exec: bool = False,
        no_suid: bool = False,
        no_dev: bool = False,
    ) -> Mount:
        """A directory or regular file of the host; changes reach it unless read_only."""
        return cls(MountKind.BIND, source, target, 0, read_only, no_exec, no_suid, no_dev)

    @classmethod
    def tmpfs(
        cls,
        target: PathLike,
        *,
        size: int = 0,
        read_only: bool = False,
        no_exec: bool = False,
        no_suid: bool = False,
        no_dev: bool = False,
    ) -> Mount:
        """An empty file system in memory of `size` bytes; 0 is 64 MiB."""
        return cls(MountKind.TMPFS, None, target, size, read_only, no_exec, no_suid, no_dev)

    @classmethod
    def erofs(
        cls,
        source: PathLike,
        target: PathLike,
        *,
        no_exec: bool = False,
        no_suid: bool = False,
        no_dev: bool = False,
    ) -> Mount:
        """An EROFS image file, always read-only."""
        return cls(MountKind.EROFS, source, target, 0, True, no_exec, no_suid, no_dev)

    @classmethod
    def disk(
        cls,
        source: PathLike,
        target: PathLike,
        *,
        qcow2: bool = False,
        read_only: bool = False,
        no_exec: bool = False,
        no_suid: bool = False,
        no_dev: bool = False,
    ) -> Mount:
        """The ext4 file system in a disk image, raw or qcow2; microVMs only."""
        return cls(MountKind.DISK, source, target, 0, read_only, no_exec, no_suid, no_dev, qcow2)


class SandboxOptions(TypedDict, total=False):
    """The keyword arguments of Sandbox and AsyncSandbox; each may be left out."""

    name: Optional[str]  #: 1 to 128 bytes of UTF-8; generated when left out
    root: Optional[Root]  #: Root.host() when left out
    engine: Engine
    memory_bytes: int  #: 512 MiB, in-memory files included; at least 64 MiB
    overlay_bytes: int  #: for changes to the root; half of memory_bytes
    start_timeout: Optional[float]  #: seconds; 30
    stop_grace: Optional[float]  #: seconds between TERM and KILL at close; 2
    detached: bool  #: once started, it lives on without this process, and after close
    stored: bool  #: its configuration, not its files, is kept under the name until remove_sandbox
    replace: bool  #: ends and forgets a sandbox that has the name
    replace_grace: Optional[float]  #: seconds for the programs of the replaced one; 10
    idle_timeout: Optional[float]  #: seconds without a program or a request after which it ends
    max_duration: Optional[float]  #: seconds after which it ends
    labels: Optional[Mapping[str, str]]  #: to find it by in lists; 1000 bytes in all
    metrics_interval: Optional[float]  #: seconds between the samples of metrics(); 1, and 0 is none
    log_max_bytes: int  #: of each of the log's up to four files; 10 MiB, at least 64 KiB
    kernel_path: Optional[PathLike]  #: of microVMs; the one that msb kernel install prepared
    mounts: Sequence[Mount]  #: at most 64
    cpus: Optional[float]  #: processors, such as 0.5; needs a control group that may be written
    cpu_weight: int  #: 1 to 10000, relative to others, which have 100; needs the same
    cpu_time_limit: Optional[float]  #: seconds of processor time of all programs, after which it ends
    max_processes: int  #: and threads, at once; one for each 2 MiB of memory_bytes
    max_open_files: int  #: of each process; 4096
    state_dir: Optional[PathLike]  #: $MSB_HOME, else below $XDG_RUNTIME_DIR or /run/user
    msb_path: Optional[PathLike]  #: the msb executable; the one beside the library


class StartOptions(TypedDict, total=False):
    """The keyword arguments of start: what the configuration of a stored sandbox leaves open."""

    detached: bool
    start_timeout: Optional[float]
    state_dir: Optional[PathLike]
    msb_path: Optional[PathLike]


class PoolOptions(SandboxOptions, total=False):
    """The keyword arguments of Pool and AsyncPool; each may be left out.

    Those of its sandboxes are among them, less what is given at the take: name,
    detached, stored, replace.
    """

    size: int  #: sandboxes to have ready: 1, at most 1024
    idle_size: int  #: of these, to keep while nobody takes one: none
    max_sandboxes: int  #: that live at a time, taken ones too; any number
    max_boots: int  #: at a time; one for each CPU, at least 2
    idle_shrink: Optional[float]  #: seconds without a take after which it shrinks to idle_size


class TakeOptions(TypedDict, total=False):
    """The keyword arguments of take; each may be left out."""

    name: Optional[str]  #: generated when left out
    labels: Optional[Mapping[str, str]]  #: beside the pool's
    timeout: Optional[float]  #: seconds to wait for a sandbox; 30
    detached: bool
    replace: bool
    replace_grace: Optional[float]
    idle_timeout: Optional[float]  #: as the pool's; 0 is none
    max_duration: Optional[float]  #: as the pool's; 0 is none


class ProgramOptions(TypedDict, total=False):
    """The keyword arguments that run and spawn share; each may be left out."""

    env: Optional[Env]  #: added to the default PATH, HOME and LANG
    clear_env: bool  #: env is all there is
    cwd: Optional[PathLike]  #: the root's work directory: /work for Root.host(), else /
    uid: int  #: 0, root of the sandbox; any other is without capabilities
    gid: int  #: 0
    groups: Sequence[int]  #: supplementary ones, at most 1024; none
    umask: Optional[int]  #: 0o022
    rlimits: Optional[Mapping[Resource, Limit]]  #: setrlimit(2), for each process of the program
    wall_limit: Optional[float]  #: seconds after which it and all that it started are killed
    output_limit: int  #: bytes of stdout and stderr after which they are killed


class LogSource(enum.IntEnum):
    STDOUT = 1
    STDERR = 2
    SUPERVISOR = 3
    GAP = 4  #: content is missing


class LogsOptions(TypedDict, total=False):
    """The keyword arguments of logs; each may be left out."""

    tail: Optional[int]  #: only the last lines; 0 is none that is there already
    since: Optional[float]  #: seconds since the epoch: only what was said then or later
    follow: bool  #: goes on until the sandbox ends
    sources: Optional[Sequence[LogSource]]  #: only of these; gaps are told of in any case
    program: Optional[int]  #: only of this one: the number of a Process


@dataclass(frozen=True)
class LogEntry:
    """What a stream held at one moment, not always a line; of the supervisor one line."""

    source: LogSource
    program: Optional[int]  #: None for the supervisor and gaps
    time: float  #: seconds since the epoch
    position: int  #: bytes of content before it, since the log began
    content: bytes  #: of a gap: why
    missed: int = 0  #: of a gap: how many bytes are missing

    @property
    def text(self) -> str:
        """The content as UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.content.decode("utf-8", "replace")


class State(enum.IntEnum):
    STARTING = 1
    RUNNING = 2
    DRAINING = 3
    STOPPED = 4
    CRASHED = 5  #: stored, and its supervisor died without a word


@dataclass(frozen=True)
class SandboxInfo:
    """What a sandbox is and does now."""

    state: State
    engine: Engine
    attached: bool  #: ends with its owner
    owner: bool  #: this object is the owner's
    pid: int  #: the supervisor's process id
    programs: int  #: running now
    memory_bytes: int
    overlay_bytes: int
    created: float  #: seconds since the epoch, as time.time()
    receipt: dict[str, str]  #: what is enforced by what
    cpus: Optional[float] = None  #: limits in force, here and below; None is none
    cpu_weight: Optional[int] = None
    cpu_time_limit: Optional[float] = None
    max_processes: Optional[int] = None
    max_open_files: Optional[int] = None


@dataclass(frozen=True)
class SandboxEntry:
    """A sandbox in a state directory: one that lives, or a stored one that does not run."""

    name: str
    state: State
    engine: Optional[Engine]  #: None when it does not run
    attached: bool  #: ends with its owner
    stored: bool  #: its configuration is kept
    pid: Optional[int]  #: the supervisor's process id; None when it does not run
    last_cause: Optional[Cause]  #: how the last run ended; None while it runs
    labels: dict[str, str]
    created: float  #: seconds since the epoch
    pooled: bool = False  #: waits in a pool: nobody has taken it


@dataclass(frozen=True)
class PoolInfo:
    """What a pool has, and what it has done since it was made."""

    size: int  #: as asked for
    ready: int
    booting: int
    waiting: int  #: takes that wait
    living: int  #: taken ones that this program still has
    taken: int
    taken_at_once: int  #: of these, without waiting
    booted: int
    failed: int  #: boots
    failed_in_row: int  #: boots since the last good one
    lost: int  #: ended while they waited
    shrunken: bool  #: nobody has taken one for idle_shrink
    last_error: Optional[MicrosandboxError]  #: of the last boot that failed


@dataclass(frozen=True)
class Metrics:
    """A sample of what a sandbox uses. Sizes are bytes; None is what is not known."""

    name: str
    pid: int  #: the supervisor's process id
    sampled: float  #: seconds since the epoch
    uptime: Optional[float] = None  #: seconds
    programs: Optional[int] = None  #: running
    cpu_time: Optional[float] = None  #: seconds of processor time, of all programs
    cpu_usage: Optional[float] = None  #: since the sample before; 1.0 is one CPU
    memory_used: Optional[int] = None
    memory_peak: Optional[int] = None
    memory_limit: Optional[int] = None
    overlay_used: Optional[int] = None
    overlay_limit: Optional[int] = None
    disk_read: Optional[int] = None
    disk_written: Optional[int] = None
    net_received: Optional[int] = None  #: loopback not counted
    net_sent: Optional[int] = None


@dataclass(frozen=True)
class Audit:
    """What the library made and what still exists."""

    orphans: int  #: how many lines belong to no living or stored sandbox: a leak
    lines: list[str]  #: "kind: detail"


class Cause(enum.IntEnum):
    """Why a sandbox or program ended."""

    UNKNOWN = 0  #: it ended; how could not be learnt
    EXITED = 1  #: program: exit_code
    SIGNALED = 2  #: program: signal
    SANDBOX_ENDED = 3  #: program: its sandbox ended under it
    STOPPED = 4  #: sandbox: stop or close
    DRAINED = 5  #: sandbox: drain
    KILLED = 6  #: sandbox: kill, or SIGKILL from elsewhere
    OWNER_GONE = 7  #: sandbox: its owner ended
    MEMORY_LIMIT = 8  #: sandbox and its programs: over memory_bytes
    CRASHED = 9  #: sandbox: the supervisor or engine failed
    START_FAILED = 10  #: it never ran
    IDLE_TIMEOUT = 11  #: sandbox: no program ran for its idle timeout
    MAX_DURATION = 12  #: sandbox: over its longest duration
    WALL_LIMIT = 13  #: program: over its wall limit
    CPU_LIMIT = 14  #: program: over its limit of processor time
    FILE_LIMIT = 15  #: program: over its limit of file sizes
    CPU_TIME = 16  #: sandbox and its programs: over cpu_time_limit
    OUTPUT_LIMIT = 17  #: program: over its output limit


class LimitHit(enum.IntFlag):
    """Limits that a program, or the programs of a sandbox, have met."""

    MEMORY = 0x01
    CPU_TIME = 0x02
    WALL_TIME = 0x04
    PROCESSES = 0x08  #: a fork or a new thread was refused
    OUTPUT = 0x10
    FILE_SIZE = 0x20
    OVERLAY = 0x40  #: no room for changes was left when a program ended
    OPEN_FILES = 0x80  #: a process had as many as it may when it ended


@dataclass(frozen=True)
class Outcome:
    """How a sandbox or program ended."""

    cause: Cause
    exit_code: Optional[int] = None  #: 0 to 255 with EXITED
    signal: Optional[int] = None  #: Linux number with SIGNALED and the limits of a program
    wall_time: Optional[float] = None  #: seconds from start to end
    cpu_time: Optional[float] = None  #: seconds, of a program and all that it started
    memory_peak: Optional[int] = None  #: bytes, of the largest process of a program that had ended
    limits_hit: LimitHit = LimitHit(0)  #: those met, whether it ended by them or went on

    @property
    def ok(self) -> bool:
        """The program exited with 0."""
        return self.exit_code == 0

    def __str__(self) -> str:
        if self.cause == Cause.EXITED:
            return f"exit code {self.exit_code}"
        if self.cause == Cause.SIGNALED:
            return f"signal {self.signal}"
        return self.cause.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Completed(Outcome):
    """How a program ended, and what it wrote."""

    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False  #: it wrote more than max_output
    stderr_truncated: bool = False

    @property
    def truncated(self) -> bool:
        return self.stdout_truncated or self.stderr_truncated

    @property
    def text(self) -> str:
        """stdout as UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """stderr as UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.stderr.decode("utf-8", "replace")

    def check(self) -> Completed:
        """Itself when the program exited with 0, else raises ProgramError."""
        if not self.ok:
            raise ProgramError(self)
        return self


class ProgramError(Exception):
    """Raised by Completed.check: the program did not exit with 0."""

    def __init__(self, completed: Completed) -> None:
        lines = completed.error_text.strip().splitlines()
        super().__init__(f"{Outcome.__str__(completed)}" + (f": {lines[-1]}" if lines else ""))
        self.completed = completed

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.completed,))


class RunTimeoutError(TimedOutError):
    """run() went over its timeout. The program was killed; `completed` is what it wrote."""

    def __init__(self, message: str, completed: Completed) -> None:
        super().__init__(message)
        self.completed = completed

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.completed))
