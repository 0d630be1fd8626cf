"""The log of a sandbox."""

from __future__ import annotations

import os
import struct
import time
import zlib
from typing import Any

from microsandbox import (
    LOG,
    AsyncSandbox,
    InternalError,
    LogEntry,
    LogSource,
    NotFoundError,
    _arguments,
    async_logs,
    logs,
    remove_sandbox,
)
from microsandbox._logs import Logs
from support import PATIENCE
from twins import OutlivingCase

STREAMS = [LogSource.STDOUT, LogSource.STDERR]
SCRIPT = "echo one; echo two; echo err >&2"


def said(entries: list[LogEntry], source: LogSource = LogSource.STDOUT) -> bytes:
    return b"".join(entry.content for entry in entries if entry.source == source)


class LogsTest(OutlivingCase):
    async def spawn(self, box: Any) -> None:
        async with await box.spawn(["sh", "-c", SCRIPT], stdout=LOG, stderr=LOG) as process:
            self.assertTrue((await process.wait(PATIENCE)).ok)
            self.assertEqual(process.inner.number, 1)

    async def scenario_numbers(self, api: Any) -> None:
        async with await api.create() as box:
            for number, word in enumerate(("first", "second"), 1):
                process = await box.spawn(["echo", word], stdout=LOG)
                await process.wait(PATIENCE)
                await process.close()
                self.assertEqual(process.inner.number, number)
                entries = streams(await box.entries(box.inner.logs(program=process.inner.number)))
                self.assertEqual(said(entries), word.encode() + b"\n")
                self.assertEqual([entry.program for entry in entries], [number])

    async def scenario_options(self, api: Any) -> None:
        async with await api.create(log_max_bytes=1 << 16) as box:
            await self.spawn(box)
            table: list[tuple[dict[str, Any], bytes, bytes]] = [
                ({}, b"one\ntwo\n", b"err\n"),
                ({"sources": [LogSource.STDOUT]}, b"one\ntwo\n", b""),
                ({"sources": STREAMS, "tail": 3}, b"one\ntwo\n", b"err\n"),
                ({"sources": [LogSource.STDOUT], "tail": 1}, b"two\n", b""),
                ({"tail": 0}, b"", b""),
                ({"since": time.time() + 3600}, b"", b""),
                ({"since": time.time() - 3600}, b"one\ntwo\n", b"err\n"),
                ({"program": 1}, b"one\ntwo\n", b"err\n"),
                ({"program": 2}, b"", b""),
            ]
            for options, out, err in table:
                with self.subTest(str(options)):
                    entries = await box.entries(box.inner.logs(**options))
                    self.assertEqual(said(entries), out)
                    self.assertEqual(said(entries, LogSource.STDERR), err)
            entry = streams(await box.entries(box.inner.logs()))[0]
            self.assertEqual((entry.program, entry.missed), (1, 0))
            self.assertLess(abs(entry.time - time.time()), 3600)

    async def scenario_follow(self, api: Any) -> None:
        async with await api.create() as box:
            following = box.inner.logs(follow=True)
            await self.spawn(box)
            box.inner.stop()
            entries = await box.entries(following)
            self.assertEqual(said(entries), b"one\ntwo\n")
            self.assertEqual((entries[-1].source, entries[-1].program), (LogSource.SUPERVISOR, None))
            await box.wait(PATIENCE)
        with self.assertRaises(NotFoundError):
            box.inner.logs()

    async def scenario_stored(self, api: Any) -> None:
        async with await api.create(name="kept", stored=True) as box:
            await self.spawn(box)
        by_name = async_logs if isinstance(box.inner, AsyncSandbox) else logs
        for entries in (box.inner.logs(), by_name("kept"), by_name("kept", program=1)):
            self.assertEqual(said(await box.entries(entries)), b"one\ntwo\n")
        last = await box.entries(by_name("kept", sources=[LogSource.STDOUT], tail=1))
        self.assertEqual(said(last), b"two\n")
        with self.assertRaises(NotFoundError):
            by_name("kept", state_dir="/nonexistent")
        with self.assertRaises(ValueError):
            by_name("")
        remove_sandbox("kept")
        for gone in (box.inner.logs, lambda: by_name("kept")):
            with self.assertRaises(NotFoundError):
                gone()

    def test_refused(self) -> None:
        table: list[dict[str, Any]] = [
            {"tail": -1},
            {"since": float("nan")},
            {"sources": []},
            {"sources": [LogSource.GAP]},
            {"sources": [9]},
            {"program": 0},
        ]
        for options in table:
            with self.subTest(str(options)), self.assertRaises(ValueError):
                _arguments.logs(**options)


def streams(entries: list[LogEntry]) -> list[LogEntry]:
    return [entry for entry in entries if entry.source in STREAMS]


def frame(source: int, content: bytes) -> bytes:
    rest = struct.pack("<IIQqQ", source, 0, 3, 10**9, 7) + content
    return struct.pack("<II", len(rest) + 8, zlib.crc32(rest)) + rest


class FrameTest(OutlivingCase):
    def read(self, data: bytes) -> list[LogEntry]:
        end, fd = os.pipe()
        os.write(fd, data)
        os.close(fd)
        return list(Logs(end))

    def test_frames(self) -> None:
        gap = frame(4, struct.pack("<Q", 5) + b"why")
        self.assertEqual(
            self.read(frame(1, b"\xff") + gap),
            [
                LogEntry(LogSource.STDOUT, 3, 1.0, 7, b"\xff"),
                LogEntry(LogSource.GAP, 3, 1.0, 7, b"why", 5),
            ],
        )
        whole = frame(1, b"a")
        for bad in (whole[:-1], whole[:-1] + b"b", b"\0" * 40, b"\xff" * 40):
            with self.subTest(bad), self.assertRaises(InternalError):
                self.read(bad)
