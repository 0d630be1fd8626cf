"""What the library says about sandboxes, as Python values."""

from __future__ import annotations

from . import _ffi
from .types import Engine, SandboxEntry, SandboxInfo, State


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


def entry_of(raw: _ffi.SandboxEntry) -> SandboxEntry:
    name: bytes = raw.name
    return SandboxEntry(
        name=name.decode("utf-8", "replace"),
        state=State(raw.state),
        engine=Engine(raw.engine),
        attached=bool(raw.flags & _ffi.INFO_ATTACHED),
        pid=raw.pid,
        created=raw.created_unix_ms / 1000,
    )
