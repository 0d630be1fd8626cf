"""Loading the library, and that this package and the header agree."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import microsandbox
from microsandbox import (
    Cause,
    Completed,
    Engine,
    ExecError,
    LogSource,
    LibraryError,
    ProgramError,
    RootKind,
    RunTimeoutError,
    Stage,
    State,
    _ffi,
    _structs,
    errors,
)
from support import ROOT, environment, python

LAYOUT = ROOT / "build" / "layout.json"  # what a C compiler makes of the header


def defines(prefix: str) -> dict[str, int]:
    constants: dict[str, Any] = HeaderTest.layout["constants"]
    return {
        name[len(prefix) :]: number
        for name, number in constants.items()
        if name.startswith(prefix) and isinstance(number, int)
    }


@unittest.skipUnless(LAYOUT.is_file(), "build/layout.json is missing: tests/header makes it")
class HeaderTest(unittest.TestCase):
    layout: dict[str, Any] = {}
    maxDiff = None

    @classmethod
    def setUpClass(cls) -> None:
        cls.layout.update(json.loads(LAYOUT.read_text()))

    def test_every_function_is_declared(self) -> None:
        declared = {"msb_version", "msb_result_name", "msb_close", *_ffi.FUNCTIONS}
        self.assertEqual(set(self.layout["functions"]), declared)

    def test_numbers(self) -> None:
        for prefix, enum in [
            ("MSB_STAGE_", Stage),
            ("MSB_STATE_", State),
            ("MSB_CAUSE_", Cause),
            ("MSB_ENGINE_", Engine),
            ("MSB_ROOT_", RootKind),
            ("MSB_LOG_SOURCE_", LogSource),
        ]:
            with self.subTest(prefix):
                self.assertEqual({item.name: item.value for item in enum}, defines(prefix))
        for prefix in (
            "MSB_CREATE_",
            "MSB_MOUNT_",
            "MSB_START_",
            "MSB_INFO_",
            "MSB_LIST_",
            "MSB_POOL_",
            "MSB_LOGS_",
            "MSB_EVENT_",
            "MSB_STDIO_",
        ):
            self.assertTrue(defines(prefix), prefix)
            for name, number in defines(prefix).items():
                with self.subTest(prefix + name):
                    self.assertEqual(getattr(_ffi, prefix[4:] + name), number)

    def test_every_code_has_its_class(self) -> None:
        self.assertEqual(set(errors.BY_CODE), set(defines("MSB_E_").values()))

    def test_version(self) -> None:
        parts = [str(defines("MSB_VERSION_")[part]) for part in ("MAJOR", "MINOR", "PATCH")]
        self.assertEqual(microsandbox.__version__, ".".join(parts))
        self.assertEqual(microsandbox.library_version(), ".".join(parts))

    def test_structs(self) -> None:
        structs = {name: _measure(struct) for name, struct in _structs.STRUCTS.items()}
        self.assertEqual(structs, self.layout["structs"])


def _measure(struct: type[ctypes.Structure]) -> dict[str, Any]:
    names = [str(field[0]) for field in struct._fields_]
    fields = {name: getattr(struct, name) for name in names}
    return {
        "size": ctypes.sizeof(struct),
        "align": ctypes.alignment(struct),
        "fields": {
            name: {"offset": field.offset, "size": field.size} for name, field in fields.items()
        },
    }


class LoadTest(unittest.TestCase):
    def load(self, library: str) -> str:
        code = "import microsandbox\ntry: microsandbox.library_version()\n"
        code += "except microsandbox.LibraryError as error: print(error)"
        with mock.patch.dict(os.environ, {"MSB_LIBRARY": library}), python(code) as child:
            out, err = child.communicate()
        self.assertEqual(err, "")
        self.assertEqual(len(out.splitlines()), 1, out)
        return out

    def test_missing_file(self) -> None:
        self.assertIn("/no/such.so: no such file", self.load("/no/such.so"))

    def test_not_a_library(self) -> None:
        self.assertIn(f"cannot load {__file__}", self.load(__file__))

    @unittest.skipUnless(shutil.which("cc"), "cc is missing")
    def test_other_versions(self) -> None:
        for version, refused in [("1.1", True), ("0.0", True), ("0.1", False)]:
            major, minor = version.split(".")
            with self.subTest(version), tempfile.TemporaryDirectory() as folder:
                source = f"unsigned msb_version(void) {{ return {major} << 16 | {minor} << 8; }}"
                path = os.path.join(folder, "other.so")
                command = ["cc", "-shared", "-fPIC", "-x", "c", "-o", path, "-"]
                subprocess.run(command, input=source.encode(), check=True)
                code = "import microsandbox._ffi as f\nprint(f._check(f.ctypes.CDLL({!r}), 'it'))"
                with python(code.format(path)) as child:
                    out, err = child.communicate()
                self.assertEqual("this package needs 0.1" in err, refused, err)
                self.assertEqual(out == "", refused)

    def test_musl_is_one_sentence(self) -> None:
        with mock.patch("os.confstr", side_effect=ValueError), mock.patch.object(
            _ffi, "_library", None
        ):
            with self.assertRaisesRegex(LibraryError, r"^microsandbox needs glibc: musl .*$"):
                _ffi.library()

    def test_import_loads_nothing(self) -> None:
        code = "import microsandbox; print('libmicrosandbox' in open('/proc/self/maps').read())"
        with python(code) as child:
            self.assertEqual(child.communicate()[0], "False\n")

    def test_preference(self) -> None:
        with mock.patch.dict(os.environ, {"MSB_LIBRARY": "/chosen.so"}):
            self.assertEqual(_ffi.candidates(), [Path("/chosen.so")])


class ErrorTest(unittest.TestCase):
    def test_pickle(self) -> None:
        done = Completed(Cause.EXITED, 3, None, 0.5, 0.1, 4096, stdout=b"o", stderr=b"e")
        for error in (
            ExecError("exec x: no such file or directory", -14, 2, 8),
            RunTimeoutError("late", done),
            ProgramError(done),
        ):
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((type(again), str(again)), (type(error), str(error)))
            self.assertEqual(vars(again), vars(error))

    def test_unknown_numbers_are_carried(self) -> None:
        error = errors.error_for(-77, 5, 99, "later")
        self.assertEqual((error.code, error.errno, error.stage), (-77, 5, Stage.NONE))


class TypeTest(unittest.TestCase):
    def test_py_typed(self) -> None:
        self.assertTrue((Path(microsandbox.__file__).parent / "py.typed").is_file())

    def test_all_is_there(self) -> None:
        code = "from microsandbox import *; import microsandbox as m; print(set(m.__all__) - set(dir()))"
        done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True)
        self.assertEqual(done.stdout, b"set()\n", done.stderr)
