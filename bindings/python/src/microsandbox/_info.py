"""What the library says about sandboxes, as Python values."""

from __future__ import annotations

from typing import Optional

from . import _ffi
from .errors import MicrosandboxError, error_for
from .types import Audit, Cause, Engine, Metrics, PoolInfo, SandboxEntry, SandboxInfo, State

CAUSES = {int(cause): cause for cause in Cause}


def info_of(raw: _ffi.SandboxInfo) -> SandboxInfo:
    receipt: bytes = raw.receipt
    lines = (line.partition(":") for line in receipt.decode("utf-8", "replace").splitlines())
    return SandboxInfo(
        state=State(raw.state or State.RUNNING),
        engine=Engine(raw.engine),
        attached=bool(raw.flags & _ffi.INFO_ATTACHED),
        owner=bool(raw.flags & _ffi.INFO_OWNER),
        pid=raw.pid,
        programs=raw.programs,
        memory_bytes=raw.memory_bytes,
        overlay_bytes=raw.overlay_bytes,
        created=raw.created_unix_ms / 1000,
        receipt={key.strip(): value.strip() for key, _, value in lines if key.strip()},
        cpus=raw.cpu_permille / 1000 or None,
        cpu_weight=raw.cpu_weight or None,
        cpu_time_limit=raw.cpu_time_limit_ms / 1000 or None,
        max_processes=raw.max_processes or None,
        max_open_files=raw.max_open_files or None,
    )


def pool_info_of(raw: _ffi.PoolInfo) -> PoolInfo:
    return PoolInfo(
        size=raw.pool_size,
        ready=raw.ready,
        booting=raw.booting,
        waiting=raw.waiting,
        living=raw.living,
        taken=raw.taken,
        taken_at_once=raw.taken_at_once,
        booted=raw.booted,
        failed=raw.failed,
        failed_in_row=raw.failed_in_row,
        lost=raw.lost,
        shrunken=bool(raw.flags & _ffi.POOL_SHRUNKEN),
        last_error=last_error_of(raw),
    )


def last_error_of(raw: _ffi.PoolInfo) -> Optional[MicrosandboxError]:
    if raw.last_code == 0:
        return None
    message: bytes = raw.last_message
    text = message.decode("utf-8", "replace")
    return error_for(raw.last_code, raw.last_errno, raw.last_stage, text)


def _lines(data: bytes) -> list[str]:
    # Not splitlines, which ends lines at characters that a label may hold.
    return [line for line in data.decode("utf-8", "replace").split("\n") if line]


def entry_of(raw: _ffi.SandboxEntry) -> SandboxEntry:
    name: bytes = raw.name
    runs = raw.pid != 0
    labels = (line.partition("=") for line in _lines(raw.labels))
    return SandboxEntry(
        name=name.decode("utf-8", "replace"),
        state=State(raw.state),
        engine=Engine(raw.engine) if runs else None,
        attached=bool(raw.flags & _ffi.INFO_ATTACHED),
        stored=bool(raw.flags & _ffi.INFO_STORED),
        pooled=bool(raw.flags & _ffi.INFO_POOLED),
        pid=raw.pid if runs else None,
        last_cause=None if runs else CAUSES.get(raw.last_cause, Cause.UNKNOWN),
        labels={name: value for name, _, value in labels},
        created=raw.created_unix_ms / 1000,
    )


# What has a flag in msb_metrics.known, from the lowest bit on.
_MEASURED = (
    "cpu_time_ns",
    "cpu_permille",
    "memory_used_bytes",
    "memory_peak_bytes",
    "overlay_used_bytes",
    "disk_read_bytes",
    "disk_written_bytes",
    "net_received_bytes",
    "net_sent_bytes",
    "programs",
    "uptime_ns",
)


def metrics_of(raw: _ffi.Metrics) -> Metrics:
    known: dict[str, int] = {
        field: getattr(raw, field) for bit, field in enumerate(_MEASURED) if raw.known >> bit & 1
    }

    def ratio(field: str, unit: int) -> Optional[float]:
        return known[field] / unit if field in known else None

    name: bytes = raw.name
    return Metrics(
        name=name.decode("utf-8", "replace"),
        pid=raw.pid,
        sampled=raw.sampled_unix_ms / 1000,
        uptime=ratio("uptime_ns", 10**9),
        programs=known.get("programs"),
        cpu_time=ratio("cpu_time_ns", 10**9),
        cpu_usage=ratio("cpu_permille", 1000),
        memory_used=known.get("memory_used_bytes"),
        memory_peak=known.get("memory_peak_bytes"),
        memory_limit=raw.memory_limit_bytes or None,
        overlay_used=known.get("overlay_used_bytes"),
        overlay_limit=raw.overlay_limit_bytes or None,
        disk_read=known.get("disk_read_bytes"),
        disk_written=known.get("disk_written_bytes"),
        net_received=known.get("net_received_bytes"),
        net_sent=known.get("net_sent_bytes"),
    )


def audit_of(text: bytes, orphans: int) -> Audit:
    return Audit(orphans, _lines(text))
