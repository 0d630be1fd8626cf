"""Wrong arguments are refused before the library is called; right ones arrive as they are."""

from __future__ import annotations

import math
import os
import unittest
from pathlib import Path
from typing import Any, Callable

from microsandbox import DEVNULL, INHERIT, PIPE, Engine, Mount, MountKind, Root, RootKind
from microsandbox import _arguments as arguments
from microsandbox import _ffi, _steps


class SandboxTest(unittest.TestCase):
    def test_defaults_are_zero(self) -> None:
        self.assertEqual(arguments.sandbox(), _ffi.SandboxArguments())
        self.assertEqual(arguments.start("a"), _ffi.SandboxArguments(name=b"a"))
        self.assertFalse(any(arguments.sandbox()))

    def test_values(self) -> None:
        self.assertEqual(
            arguments.sandbox(
                name="é",
                root=Root.erofs(Path("/i")),
                engine=Engine.GVISOR,
                memory_bytes=1,
                overlay_bytes=2,
                start_timeout=0.0015,
                stop_grace=0,
                detached=True,
                replace=True,
                replace_grace=0,
                idle_timeout=0.5,
                max_duration=3600,
                labels={"é": "a=b", "empty": ""},
                metrics_interval=0.25,
                state_dir=b"/\xff",
                msb_path="/m",
            ),
            _ffi.SandboxArguments(
                _ffi.CREATE_DETACHED | _ffi.CREATE_REPLACE,
                "é".encode(),
                b"/m",
                b"/\xff",
                1,
                RootKind.EROFS,
                b"/i",
                memory_bytes=1,
                overlay_bytes=2,
                start_timeout_ms=2,
                stop_grace_ms=-1,
                replace_grace_ms=-1,
                idle_timeout_ms=500,
                max_duration_ms=3600_000,
                labels=["é=a=b".encode(), b"empty="],
                metrics_interval_ms=250,
            ),
        )
        self.assertEqual(arguments.sandbox(metrics_interval=0).metrics_interval_ms, -1)
        self.assertEqual(arguments.sandbox(stored=True).flags, _ffi.CREATE_STORED)
        self.assertEqual(
            arguments.start("é", detached=True, start_timeout=1, state_dir="/s", msb_path="/m"),
            _ffi.SandboxArguments(
                _ffi.CREATE_DETACHED, "é".encode(), b"/m", b"/s", start_timeout_ms=1000
            ),
        )
        self.assertEqual(arguments.listing(None, False, None), (None, 0, None))
        self.assertEqual(
            arguments.listing("/s", True, {"a": "b"}), (b"/s", _ffi.LIST_STOPPED, [b"a=b"])
        )

    def test_mounts(self) -> None:
        table: list[tuple[Mount, tuple[Any, ...]]] = [
            (Mount.bind("/s", b"/\xff"), (_ffi.MOUNT_BIND, 0, b"/s", b"/\xff", 0)),
            (
                Mount.bind(Path("/s"), "/t", read_only=True, no_exec=True, no_suid=True, no_dev=True),
                (_ffi.MOUNT_BIND, 15, b"/s", b"/t", 0),
            ),
            (Mount.tmpfs("/t"), (_ffi.MOUNT_TMPFS, 0, None, b"/t", 0)),
            (
                Mount.tmpfs("/t", size=4096, no_exec=True),
                (_ffi.MOUNT_TMPFS, _ffi.MOUNT_NOEXEC, None, b"/t", 4096),
            ),
            (
                Mount.erofs("/i", "/t", no_suid=True),
                (_ffi.MOUNT_EROFS, _ffi.MOUNT_READONLY | _ffi.MOUNT_NOSUID, b"/i", b"/t", 0),
            ),
            (
                Mount.disk("/i", "/t", qcow2=True, no_dev=True),
                (_ffi.MOUNT_DISK, _ffi.MOUNT_QCOW2 | _ffi.MOUNT_NODEV, b"/i", b"/t", 0),
            ),
        ]
        given = arguments.sandbox(mounts=[mount for mount, _ in table]).mounts
        self.assertEqual(list(given), [expected for _, expected in table])
        self.assertEqual(
            [int(kind) for kind in MountKind],
            [_ffi.MOUNT_BIND, _ffi.MOUNT_TMPFS, _ffi.MOUNT_EROFS, _ffi.MOUNT_DISK],
        )

    def test_refused(self) -> None:
        table: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"name": ""}, ValueError),
            ({"name": "a\0b"}, ValueError),
            ({"name": b"bytes"}, TypeError),
            ({"name": "\udcff"}, UnicodeEncodeError),
            ({"root": Root.dir("a\0b")}, ValueError),
            ({"root": "host"}, AttributeError),
            ({"memory_bytes": -1}, ValueError),
            ({"memory_bytes": 2**64}, ValueError),
            ({"start_timeout": 0}, ValueError),
            ({"start_timeout": -1}, ValueError),
            ({"start_timeout": math.inf}, ValueError),
            ({"stop_grace": math.nan}, ValueError),
            ({"replace_grace": math.inf}, ValueError),
            ({"idle_timeout": 0}, ValueError),
            ({"max_duration": -1}, ValueError),
            ({"max_duration": math.inf}, ValueError),
            ({"metrics_interval": math.nan}, ValueError),
            ({"mounts": [Mount.tmpfs("/t", size=-1)]}, ValueError),
            ({"mounts": [Mount.bind("/a\0b", "/t")]}, ValueError),
            ({"mounts": [Mount.bind("/s", "/t\0")]}, ValueError),
            ({"mounts": ["/s:/t"]}, AttributeError),
            ({"mounts": Mount.tmpfs("/t")}, TypeError),
            ({"labels": {"": "a"}}, ValueError),
            ({"labels": {"a=b": "c"}}, ValueError),
            ({"labels": {"a": "\0"}}, ValueError),
            ({"labels": {"a\0": "b"}}, ValueError),
            ({"labels": {"a": "\udcff"}}, UnicodeEncodeError),
            ({"labels": {"a": 1}}, TypeError),
            ({"labels": {b"a": "b"}}, TypeError),
            ({"labels": ["a=b"]}, AttributeError),
            ({"state_dir": 3}, TypeError),
            ({"unknown": 3}, TypeError),
        ]
        for options, error in table:
            with self.subTest(str(options)), self.assertRaises(error):
                arguments.sandbox(**options)


class ProcessTest(unittest.TestCase):
    def test_argv(self) -> None:
        given = ["a", b"\xff", os.fsdecode(b"\xfe"), Path("/p"), ""]
        self.assertEqual(arguments.argv(given), [b"a", b"\xff", b"\xfe", b"/p", b""])

    def test_env(self) -> None:
        self.assertIsNone(arguments.variables(None))
        self.assertEqual(arguments.variables({}), [])
        self.assertEqual(arguments.variables({"A": "", b"B": b"=\xff"}), [b"A=", b"B==\xff"])

    def test_rlimits(self) -> None:
        most = 2**64 - 1
        self.assertEqual(arguments.resource_limits(None), [])
        self.assertEqual(
            arguments.resource_limits({"nofile": 5, "cpu": (1, None), "as": None, "core": (0, 0)}),
            [(7, 5, 5), (0, 1, most), (9, most, most), (4, 0, 0)],
        )

    def test_options(self) -> None:
        plain = arguments.process(["a"], stdio_kinds=[])
        self.assertEqual(plain, _ffi.ProcessArguments([b"a"], stdio=[], groups=[], rlimits=[]))
        full = arguments.process(
            ["a"], stdio_kinds=[], uid=1, gid=2**32 - 1, groups=(3, 4), umask=0, wall_limit=0.5
        )
        self.assertEqual(
            (full.uid, full.gid, full.groups, full.umask, full.wall_limit_ms),
            (1, 2**32 - 1, [3, 4], 0, 500),
        )
        table: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"uid": -1}, ValueError),
            ({"gid": 2**32}, ValueError),
            ({"groups": [-1]}, ValueError),
            ({"groups": 3}, TypeError),
            ({"umask": 0o1000}, ValueError),
            ({"umask": -1}, ValueError),
            ({"wall_limit": 0}, ValueError),
            ({"wall_limit": math.inf}, ValueError),
            ({"unknown": 3}, TypeError),
        ]
        for options, error in table:
            with self.subTest(str(options)), self.assertRaises(error):
                arguments.process(["a"], stdio_kinds=[], **options)

    def test_stdio(self) -> None:
        with open(os.devnull) as file:
            pairs = arguments.stdio([PIPE, DEVNULL, INHERIT, 5, file])
            self.assertEqual(pairs, [(1, 0), (0, 0), (3, 0), (2, 5), (2, file.fileno())])

    def test_refused(self) -> None:
        table: list[tuple[Callable[[Any], Any], Any, type[Exception]]] = [
            (arguments.argv, [], ValueError),
            (arguments.argv, "ls", TypeError),
            (arguments.argv, b"ls", TypeError),
            (arguments.argv, ["a\0b"], ValueError),
            (arguments.argv, [1], TypeError),
            (arguments.argv, [None], TypeError),
            (arguments.variables, {"": "a"}, ValueError),
            (arguments.variables, {"A=B": "a"}, ValueError),
            (arguments.variables, {"A": "a\0b"}, ValueError),
            (arguments.variables, {"A": 1}, TypeError),
            (arguments.resource_limits, {"files": 1}, ValueError),
            (arguments.resource_limits, {"cpu": -1}, ValueError),
            (arguments.resource_limits, {"cpu": 2**64}, ValueError),
            (arguments.resource_limits, {"cpu": (2, 1)}, ValueError),
            (arguments.resource_limits, {"cpu": (None, 1)}, ValueError),
            (arguments.resource_limits, {"cpu": (1,)}, ValueError),
            (arguments.resource_limits, {"cpu": "1"}, TypeError),
            (arguments.stdio, ["stdout"], ValueError),
            (arguments.stdio, [-1], ValueError),
            (arguments.stdio, [None], AttributeError),
        ]
        for convert, value, error in table:
            with self.subTest(f"{convert.__name__} {value!r}"), self.assertRaises(error):
                convert(value)


class TimeTest(unittest.TestCase):
    def test_milliseconds_round_up(self) -> None:
        for seconds, ms in [(0, 0), (0.0001, 1), (1, 1000), (1.0001, 1001), (-0.5, -500)]:
            self.assertEqual(arguments.milliseconds(seconds), ms)

    def test_deadlines(self) -> None:
        self.assertIsNone(_steps.deadline_after(None))
        self.assertIsNone(_steps.deadline_after(math.inf))
        with self.assertRaises(ValueError):
            _steps.deadline_after(math.nan)
        self.assertEqual(_steps.Wait((), deadline=_steps.deadline_after(-1)).remaining(), 0)
