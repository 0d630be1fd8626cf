"""The build backend (PEP 517, PEP 660): the package, the library and msb in one wheel.

It needs the standard library only, so `pip install ./bindings/python` works
without a package index. The products come from the repository's build/
directory, or from where MSB_BUILD_DIR says. On Windows, or with
MSB_WHEEL_PLATFORM=windows, they are those for Windows.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Dict, Iterator, Optional

HERE = Path(__file__).resolve().parent.parent
PACKAGE = HERE / "src" / "microsandbox"
NAME = "microsandbox"
EPOCH = (1980, 1, 1, 0, 0, 0)

Config = Optional[Dict[str, str]]


def _version() -> str:
    text = (PACKAGE / "__init__.py").read_text("utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise SystemExit("src/microsandbox/__init__.py has no __version__")
    return match.group(1)


def _metadata() -> bytes:
    head = (
        "Metadata-Version: 2.1\n"
        f"Name: {NAME}\n"
        f"Version: {_version()}\n"
        "Summary: Run untrusted code in a sandbox\n"
        "License: Apache-2.0\n"
        "Requires-Python: >=3.9\n"
        "Classifier: Operating System :: POSIX :: Linux\n"
        "Classifier: Operating System :: Microsoft :: Windows\n"
        "Classifier: Typing :: Typed\n"
        "Description-Content-Type: text/markdown\n\n"
    )
    return head.encode() + (HERE / "README.md").read_bytes()


def _sources() -> Iterator[Path]:
    for path in sorted(PACKAGE.iterdir()):
        if path.suffix == ".py" or path.name == "py.typed":
            yield path


def _windows() -> bool:
    return os.environ.get("MSB_WHEEL_PLATFORM", sys.platform) in ("windows", "win32")


def _tag() -> str:
    """No CPython ABI in it; on Linux the library needs glibc 2.34."""
    return "py3-none-win_amd64" if _windows() else "py3-none-manylinux_2_34_x86_64"


def _products() -> dict[str, Path]:
    """The file names in _lib/, which the library looks for beside itself."""
    build = Path(os.environ.get("MSB_BUILD_DIR") or HERE.parent.parent / "build")
    files = ("lib/libmicrosandbox.so.0", "bin/msb")
    if _windows():
        files = ("windows/microsandbox.dll", "windows/msb.exe")
    products = {Path(file).name: build / file for file in files}
    missing = [str(path) for path in products.values() if not path.is_file()]
    if missing:
        raise SystemExit(
            f"{' and '.join(missing)} missing: run {'make dll' if _windows() else 'make'} first, in the root of the repository"
        )
    return products


class _Wheel:
    """A zip file that records what it holds. Equal input gives equal bytes."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._record: list[str] = []

    def add(self, name: str, data: bytes, mode: int = 0o644) -> None:
        info = zipfile.ZipInfo(name, EPOCH)
        info.external_attr = (0o100000 | mode) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(info, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
        self._record.append(f"{name},sha256={digest.decode()},{len(data)}")

    def finish(self, tag: str) -> None:
        folder = f"{NAME}-{_version()}.dist-info"
        self.add(f"{folder}/METADATA", _metadata())
        wheel = f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n"
        self.add(f"{folder}/WHEEL", wheel.encode())
        lines = [*self._record, f"{folder}/RECORD,,"]
        self.add(f"{folder}/RECORD", "".join(f"{line}\n" for line in lines).encode())
        self._zip.close()


def build_wheel(
    wheel_directory: str, config_settings: Config = None, metadata_directory: Optional[str] = None
) -> str:
    products = _products()
    name = f"{NAME}-{_version()}-{_tag()}.whl"
    wheel = _Wheel(Path(wheel_directory) / name)
    for path in _sources():
        wheel.add(f"{NAME}/{path.name}", path.read_bytes())
    for file, path in products.items():
        wheel.add(f"{NAME}/_lib/{file}", path.read_bytes(), 0o755)
    wheel.finish(_tag())
    return name


def build_editable(
    wheel_directory: str, config_settings: Config = None, metadata_directory: Optional[str] = None
) -> str:
    """A wheel that points here; the library is then that of the source tree."""
    _products()
    name = f"{NAME}-{_version()}-{_tag()}.whl"
    wheel = _Wheel(Path(wheel_directory) / name)
    wheel.add(f"{NAME}.pth", f"{PACKAGE.parent}\n".encode())
    wheel.finish(_tag())
    return name


def build_sdist(sdist_directory: str, config_settings: Config = None) -> str:
    """The sources alone: a wheel made from them takes the products from MSB_BUILD_DIR."""
    base = f"{NAME}-{_version()}"
    files = {
        "pyproject.toml": HERE / "pyproject.toml",
        "README.md": HERE / "README.md",
        "_backend/wheel_backend.py": Path(__file__).resolve(),
        **{f"src/{NAME}/{path.name}": path for path in _sources()},
    }
    with tarfile.open(Path(sdist_directory) / f"{base}.tar.gz", "w:gz") as archive:
        entries = {name: path.read_bytes() for name, path in files.items()}
        for name, data in {**entries, "PKG-INFO": _metadata()}.items():
            info = tarfile.TarInfo(f"{base}/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return f"{base}.tar.gz"
