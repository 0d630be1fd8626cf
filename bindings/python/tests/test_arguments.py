"""Wrong arguments are refused before the library is called; right ones arrive as they are."""

from __future__ import annotations

import math
import os
import unittest
from pathlib import Path
from typing import Any, Callable

from microsandbox import DEVNULL, INHERIT, PIPE, Engine, Root, RootKind
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
        self.assertIsNone(arguments.env(None))
        self.assertEqual(arguments.env({}), [])
        self.assertEqual(arguments.env({"A": "", b"B": b"=\xff"}), [b"A=", b"B==\xff"])

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
            (arguments.env, {"": "a"}, ValueError),
            (arguments.env, {"A=B": "a"}, ValueError),
            (arguments.env, {"A": "a\0b"}, ValueError),
            (arguments.env, {"A": 1}, TypeError),
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
