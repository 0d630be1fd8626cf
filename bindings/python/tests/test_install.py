"""The wheel, in a fresh virtual environment without an index, and the examples."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import venv
import zipfile
from pathlib import Path

from support import ROOT, TESTS, LibraryCase, end_all, environment

PROJECT = TESTS.parent
EXAMPLES = ROOT / "examples" / "python"
STORED = "builder: STOPPED, <Cause.STOPPED: 4>\nagain\norphans: 0\n"
BACKEND = "import sys, wheel_backend as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def build(verb: str, folder: str, **extra: str) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": str(PROJECT / "_backend"), **extra}
    return subprocess.run(
        [sys.executable, "-c", BACKEND, verb, folder],
        env={**os.environ, **path},
        capture_output=True,
        text=True,
    )


class ExampleTest(LibraryCase):
    def check(self, command: list[str], env: dict[str, str]) -> None:
        hello = subprocess.run(
            [*command, str(EXAMPLES / "hello.py")], env=env, capture_output=True, text=True
        )
        self.assertEqual(hello.stdout, "hello from Linux\nexit code 0\n", hello.stderr)
        demo = subprocess.run(
            [*command, str(EXAMPLES / "demo.py")], env=env, capture_output=True, text=True
        )
        lines = demo.stdout.splitlines()
        self.assertEqual(demo.returncode, 0, demo.stderr)
        self.assertIn("pipeline: 3 pear", lines)
        self.assertEqual(
            [line for line in lines if line.startswith("line: ")],
            ["line: 3", "line: 2", "line: 1", "line: liftoff"],
        )
        self.assertIn("it ended with exit code 7", lines)
        self.assertEqual(lines[-1], "left: nothing")
        self.assertEqual((hello.stderr, demo.stderr), ("", ""))
        pool = subprocess.run(
            [*command, str(EXAMPLES / "pool.py")], env=env, capture_output=True, text=True
        )
        served = "hello, ada\nhello, grace\nhello, edsger\ntaken: 3\n"
        self.assertEqual((pool.stdout, pool.stderr), (served, ""))
        try:
            stored = subprocess.run(
                [*command, str(EXAMPLES / "stored.py")], env=env, capture_output=True, text=True
            )
        finally:
            end_all()
        self.assertEqual(stored.stdout, STORED, stored.stderr)
        self.assertEqual(stored.stderr, "")

    def test_the_page_shows_the_example_as_it_is(self) -> None:
        page = (PROJECT / "README.md").read_text()
        _, code = (EXAMPLES / "stored.py").read_text().split("\n\n", 1)
        self.assertIn(f"```python\n{code}```\n", page)

    def test_from_the_source_tree(self) -> None:
        self.check([sys.executable, "-X", "dev"], environment())

    @unittest.skipUnless(importlib.util.find_spec("ensurepip"), "ensurepip is missing: python3-venv")
    def test_from_the_wheel(self) -> None:
        with tempfile.TemporaryDirectory(prefix="msb-venv-") as folder:
            venv.create(folder, with_pip=True)
            python = str(Path(folder) / "bin" / "python")
            env = {name: value for name, value in os.environ.items() if name[:3] != "PYT"}
            env.pop("MSB_LIBRARY", None)
            env["PIP_NO_INDEX"] = env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
            install = [python, "-m", "pip", "install", "-q", str(PROJECT)]
            subprocess.run(install, env=env, check=True, cwd=folder)
            where = [python, "-c", "from microsandbox import _ffi; print(*_ffi.candidates())"]
            found = subprocess.run(where, env=env, capture_output=True, text=True, cwd=folder)
            library = Path(found.stdout.strip())
            self.assertTrue(library.is_relative_to(Path(folder).resolve()), found)
            self.assertTrue(os.access(library.with_name("msb"), os.X_OK))
            self.check([python], env)
            names = subprocess.run(
                [python, "-m", "pip", "show", "-f", "microsandbox"],
                env=env,
                capture_output=True,
                text=True,
            ).stdout
            for name in ("py.typed", "_lib/msb", "_lib/libmicrosandbox.so.0"):
                self.assertIn(f"microsandbox/{name}\n", names)


class BackendTest(unittest.TestCase):
    def products(self, folder: str) -> str:
        for name in ("lib/libmicrosandbox.so.0", "bin/msb"):
            path = Path(folder) / "build" / name
            path.parent.mkdir(parents=True)
            path.write_bytes(name.encode() * 100)
        return str(Path(folder) / "build")

    def test_wheel(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            products = self.products(folder)
            contents: list[bytes] = []
            name = "microsandbox-0.1.0-py3-none-manylinux_2_34_x86_64.whl"
            for number in range(2):
                out = Path(folder) / str(number)
                out.mkdir()
                done = build("build_wheel", str(out), MSB_BUILD_DIR=products)
                self.assertEqual(done.stdout.strip(), name, done.stderr)
                contents.append((out / name).read_bytes())
            self.assertEqual(contents[0], contents[1], "the build is not reproducible")
            with zipfile.ZipFile(Path(folder) / "0" / name) as wheel:
                msb = wheel.getinfo("microsandbox/_lib/msb")
                self.assertEqual(msb.external_attr >> 16 & 0o777, 0o755)
                record = wheel.read("microsandbox-0.1.0.dist-info/RECORD").decode()
                recorded = {line.split(",")[0] for line in record.splitlines()}
                self.assertEqual(recorded, set(wheel.namelist()))
                self.assertIn("microsandbox/py.typed", recorded)

    def test_editable(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = build("build_editable", folder, MSB_BUILD_DIR=self.products(folder))
            with zipfile.ZipFile(Path(folder) / done.stdout.strip()) as wheel:
                self.assertEqual(
                    wheel.read("microsandbox.pth").decode(), f"{PROJECT / 'src'}\n"
                )

    def test_missing_products(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = build("build_wheel", folder, MSB_BUILD_DIR=folder)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("run make first", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertEqual(os.listdir(folder), [])

    def test_sdist_makes_the_same_wheel(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            products = self.products(folder)
            done = build("build_sdist", folder)
            with tarfile.open(Path(folder) / done.stdout.strip()) as archive:
                archive.extractall(folder)
            unpacked = Path(folder) / "microsandbox-0.1.0"
            path = str(unpacked / "_backend")
            again = build("build_wheel", folder, MSB_BUILD_DIR=products, PYTHONPATH=path)
            wheel = (Path(folder) / again.stdout.strip()).read_bytes()
            shutil.rmtree(unpacked)
            direct = build("build_wheel", folder, MSB_BUILD_DIR=products)
            self.assertEqual((Path(folder) / direct.stdout.strip()).read_bytes(), wheel)
