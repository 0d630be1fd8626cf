#!/usr/bin/env python3
"""Print the slots of a metrics registry as JSON, one a line.

Uses only the layout of docs/metrics.md. Usage: read_registry.py FILE
"""
import json
import mmap
import os
import struct
import sys

HEADER, SLOT, SAMPLES, BLOCK = 256, 640, 0x140, 0xA0
STATES = ["free", "reserved", "active", "stale"]
FIELDS = [  # (flag, offset in the block, name)
    (1 << 10, 0x30, "uptime_ns"), (1 << 0, 0x38, "cpu_time_ns"), (1 << 1, 0x40, "cpu_permille"),
    (1 << 2, 0x48, "memory_used_bytes"), (1 << 3, 0x50, "memory_peak_bytes"), (1 << 4, 0x58, "overlay_used_bytes"),
    (1 << 5, 0x60, "disk_read_bytes"), (1 << 6, 0x68, "disk_written_bytes"), (1 << 7, 0x70, "network_received_bytes"),
    (1 << 8, 0x78, "network_sent_bytes"), (1 << 9, 0x80, "programs"),
]


def fnv(words):
    h = 14695981039346656037
    for w in words:
        h = ((h ^ w) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return h


def words(data, start, end):
    return struct.unpack(f"<{(end - start) // 8}Q", data[start:end])


def u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]


def open_registry(path):
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        if size < HEADER:
            raise SystemExit(f"{path}: truncated")
        view = mmap.mmap(f.fileno(), size, prot=mmap.PROT_READ)
    magic, version, header, slot, capacity = struct.unpack_from("<8sIIII", view, 0)
    if magic != b"MSBMETR\0" or version != 1 or (header, slot) != (HEADER, SLOT):
        raise SystemExit(f"{path}: not a metrics registry of version 1")
    if u64(view, 0x28) != fnv(words(view, 0, 0x28)) or size != HEADER + capacity * SLOT:
        raise SystemExit(f"{path}: damaged")
    return view, capacity


def parse(slot, data):
    """One copy of a slot; None when it is a mixture of two moments."""
    state, generation, sequence = struct.unpack_from("<I4xQQ", data, 0)
    if state == 0:
        return {"slot": slot, "state": "free"}
    if u64(data, 0x20) != fnv((generation,) + words(data, 0x28, SAMPLES)):
        return None
    launcher, _, supervisor, start, started, memory, overlay, name, ident = struct.unpack_from("<QQQQqQQII", data, 0x28)
    entry = {
        "slot": slot, "state": STATES[state], "generation": generation,
        "id": data[0x80:0x80 + ident].decode(), "name": data[0xC0:0xC0 + name].decode(),
        "launcher": launcher, "supervisor": supervisor, "supervisor_start": start, "started_unix_ms": started,
        "memory_limit_bytes": memory, "overlay_limit_bytes": overlay, "sample": None,
    }
    number = sequence >> 1
    if state in (2, 3) and number:
        block = data[SAMPLES + (number & 1) * BLOCK:][:BLOCK]
        check, owner, which, flags, wall, monotonic = struct.unpack_from("<QQQQqQ", block, 0)
        if check != fnv(words(block, 8, BLOCK)) or owner != generation or which != number:
            return None
        sample = {"number": number, "sampled_unix_ms": wall, "monotonic_ns": monotonic}
        sample.update({key: u64(block, at) for flag, at, key in FIELDS if flags & flag})
        entry["sample"] = sample
    return entry


def read_slot(view, slot):
    start = HEADER + slot * SLOT
    for _ in range(4096):
        data = view[start:start + SLOT]
        entry = parse(slot, data)
        if entry and view[start:start + 16] == data[:16]:
            return entry
    return {"slot": slot, "state": "unreadable"}


def main():
    view, capacity = open_registry(sys.argv[1])
    for slot in range(capacity):
        entry = read_slot(view, slot)
        if entry["state"] != "free":
            print(json.dumps(entry))


if __name__ == "__main__":
    main()
