"""The structs of microsandbox.h, field by field; tests compare their layouts."""

from __future__ import annotations

import ctypes

_u32, _i32, _u64, _i64 = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_int64
_str = ctypes.c_char_p


class Error(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("code", _i32),
        ("sys_errno", _i32),
        ("stage", _u32),
        ("message", ctypes.c_char * 496),
    ]


class Mount(ctypes.Structure):
    _fields_ = [
        ("kind", _u32),
        ("flags", _u32),
        ("source", _str),
        ("target", _str),
        ("size_bytes", _u64),
        ("reserved", _u64),
    ]


class SandboxOptions(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("name", _str),
        ("msb_path", _str),
        ("state_dir", _str),
        ("engine", _u32),
        ("root_kind", _u32),
        ("root_path", _str),
        ("memory_bytes", _u64),
        ("overlay_bytes", _u64),
        ("start_timeout_ms", _i64),
        ("stop_grace_ms", _i64),
        ("replace_grace_ms", _i64),
        ("idle_timeout_ms", _i64),
        ("max_duration_ms", _i64),
        ("labels", ctypes.POINTER(_str)),
        ("metrics_interval_ms", _i64),
        ("mounts", ctypes.POINTER(Mount)),
        ("mounts_count", _u32),
        ("mount_size", _u32),
        ("log_max_bytes", _u64),
        ("kernel_path", _str),
        ("cpu_permille", _u32),
        ("cpu_weight", _u32),
        ("cpu_time_limit_ms", _i64),
        ("max_processes", _u32),
        ("max_open_files", _u32),
    ]


class PoolOptions(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("sandbox", ctypes.POINTER(SandboxOptions)),
        ("pool_size", _u32),
        ("idle_size", _u32),
        ("max_sandboxes", _u32),
        ("max_boots", _u32),
        ("idle_shrink_ms", _i64),
    ]


class TakeOptions(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("name", _str),
        ("labels", ctypes.POINTER(_str)),
        ("take_timeout_ms", _i64),
        ("idle_timeout_ms", _i64),
        ("max_duration_ms", _i64),
        ("replace_grace_ms", _i64),
    ]


class PoolInfo(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("pool_size", _u32),
        ("ready", _u32),
        ("booting", _u32),
        ("waiting", _u32),
        ("living", _u32),
        ("failed_in_row", _u32),
        ("taken", _u64),
        ("taken_at_once", _u64),
        ("booted", _u64),
        ("failed", _u64),
        ("lost", _u64),
        ("last_code", _i32),
        ("last_errno", _i32),
        ("last_stage", _u32),
        ("reserved", _u32),
        ("last_message", ctypes.c_char * 496),
    ]


class SandboxInfo(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("state", _u32),
        ("engine", _u32),
        ("flags", _u32),
        ("pid", _i32),
        ("programs", _u32),
        ("memory_bytes", _u64),
        ("overlay_bytes", _u64),
        ("created_unix_ms", _i64),
        ("receipt", ctypes.c_char * 1024),
        ("cpu_permille", _u32),
        ("cpu_weight", _u32),
        ("cpu_time_limit_ms", _i64),
        ("max_processes", _u32),
        ("max_open_files", _u32),
    ]


class SandboxEntry(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("state", _u32),
        ("pid", _i32),
        ("engine", _u32),
        ("flags", _u32),
        ("last_cause", _u32),
        ("created_unix_ms", _i64),
        ("name", ctypes.c_char * 136),
        ("labels", ctypes.c_char * 1008),
    ]


class ListOptions(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("state_dir", _str),
        ("labels", ctypes.POINTER(_str)),
    ]


class Metrics(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("known", _u32),
        ("sampled_unix_ms", _i64),
        ("uptime_ns", _i64),
        ("cpu_time_ns", _i64),
        ("cpu_permille", _u32),
        ("programs", _u32),
        ("memory_used_bytes", _u64),
        ("memory_peak_bytes", _u64),
        ("memory_limit_bytes", _u64),
        ("overlay_used_bytes", _u64),
        ("overlay_limit_bytes", _u64),
        ("disk_read_bytes", _u64),
        ("disk_written_bytes", _u64),
        ("net_received_bytes", _u64),
        ("net_sent_bytes", _u64),
        ("pid", _i32),
        ("reserved", _u32),
        ("name", ctypes.c_char * 136),
    ]


class LogsOptions(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("sources", _u32),
        ("reserved", _u32),
        ("tail_lines", _i64),
        ("since_unix_ms", _i64),
        ("program", _u64),
    ]


class LogFrame(ctypes.Structure):
    _fields_ = [
        ("length", _u32),
        ("crc32", _u32),
        ("source", _u32),
        ("reserved", _u32),
        ("program", _u64),
        ("time_unix_ns", _i64),
        ("position", _u64),
    ]


class Stdio(ctypes.Structure):
    _fields_ = [("kind", _u32), ("reserved", _u32), ("fd", _i64)]


class Rlimit(ctypes.Structure):
    _fields_ = [("resource", _u32), ("reserved", _u32), ("soft", _u64), ("hard", _u64)]


class ProcessOptions(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("flags", _u32),
        ("argv", ctypes.POINTER(_str)),
        ("env", ctypes.POINTER(_str)),
        ("cwd", _str),
        ("stdio", Stdio * 3),
        ("start_timeout_ms", _i64),
        ("uid", _u32),
        ("gid", _u32),
        ("groups", ctypes.POINTER(_u32)),
        ("group_count", _u32),
        ("umask", _u32),
        ("rlimits", ctypes.POINTER(Rlimit)),
        ("rlimit_count", _u32),
        ("reserved", _u32),
        ("wall_limit_ms", _i64),
        ("output_limit_bytes", _u64),
        ("rows", _u32),
        ("cols", _u32),
    ]


class Outcome(ctypes.Structure):
    _fields_ = [
        ("size", _u32),
        ("cause", _u32),
        ("exit_code", _i32),
        ("signal", _i32),
        ("wall_time_ns", _i64),
        ("cpu_time_ns", _i64),
        ("memory_peak_bytes", _u64),
        ("limits_hit", _u32),
        ("reserved", _u32),
    ]


# The name of each struct in the header, for the test that compares layouts.
STRUCTS: dict[str, type[ctypes.Structure]] = {
    "msb_error": Error,
    "msb_mount": Mount,
    "msb_sandbox_options": SandboxOptions,
    "msb_pool_options": PoolOptions,
    "msb_take_options": TakeOptions,
    "msb_pool_info": PoolInfo,
    "msb_sandbox_info": SandboxInfo,
    "msb_sandbox_entry": SandboxEntry,
    "msb_list_options": ListOptions,
    "msb_metrics": Metrics,
    "msb_logs_options": LogsOptions,
    "msb_log_frame": LogFrame,
    "msb_stdio": Stdio,
    "msb_rlimit": Rlimit,
    "msb_process_options": ProcessOptions,
    "msb_outcome": Outcome,
}
