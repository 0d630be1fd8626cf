"""What the library says about sandboxes, as Python values."""

from __future__ import annotations

from . import _ffi
from .types import Audit, Cause, Engine, SandboxEntry, SandboxInfo, State

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
    )


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
        pid=raw.pid if runs else None,
        last_cause=None if runs else CAUSES.get(raw.last_cause, Cause.UNKNOWN),
        labels={name: value for name, _, value in labels},
        created=raw.created_unix_ms / 1000,
    )


def audit_of(text: bytes, orphans: int) -> Audit:
    return Audit(orphans, _lines(text))
