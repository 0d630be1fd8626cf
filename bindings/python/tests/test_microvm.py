"""The engine with a kernel of its own, here without the processor's help."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from microsandbox import (
    Engine,
    InvalidError,
    Mount,
    NotFoundError,
    Root,
    Sandbox,
    UnsupportedError,
)
from support import ROOT, LibraryCase

KERNEL = Path(os.environ.get("MSB_TEST_KERNEL") or ROOT / "build/kernels/default")


class MicroVMTest(LibraryCase):
    image: str

    def setUp(self) -> None:
        super().setUp()
        for missing, package in (
            ("mkfs.erofs", "erofs-utils"),
            ("busybox", "busybox-static"),
            ("qemu-system-x86_64", "qemu-system-x86"),
        ):
            if not shutil.which(missing):
                self.skipTest(f"{package} is missing")
        directory = tempfile.TemporaryDirectory(prefix="msb-py-vm-")
        self.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)
        tree = Path(directory.name, "tree")
        (tree / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", tree / "bin/busybox")
        for applet in ("sh", "echo", "cat"):
            (tree / "bin" / applet).symlink_to("busybox")
        self.image = f"{directory.name}/root.img"
        command = ["mkfs.erofs", "-T0", "-E", "noinline_data", self.image, str(tree)]
        subprocess.run(command, check=True, capture_output=True)

    def test_program(self) -> None:
        if not KERNEL.exists():
            self.skipTest("there is no guest kernel: run make test-kernel")
        with Sandbox(
            engine=Engine.QEMU_TCG, kernel_path=KERNEL, root=Root.erofs(self.image)
        ) as box:
            self.assertEqual(box.run(["echo", "hello"]).text, "hello\n")
            self.assertEqual(box.run(["sh", "-c", "exit 3"]).exit_code, 3)
            self.assertEqual(box.run(["cat"], input=b"in").stdout, b"in")
            self.assertEqual(box.info().engine, Engine.QEMU_TCG)

    def test_refused(self) -> None:
        erofs = Root.erofs(self.image)
        with self.assertRaisesRegex(UnsupportedError, "mkfs.erofs"):
            Sandbox(engine=Engine.QEMU_TCG)
        with self.assertRaisesRegex(UnsupportedError, "mkfs.erofs"):
            Sandbox(engine=Engine.QEMU_TCG, root=erofs, mounts=[Mount.bind("/usr", "/mnt")])
        with self.assertRaisesRegex(NotFoundError, "msb kernel install"):
            Sandbox(engine=Engine.QEMU_TCG, root=erofs, kernel_path="/no/such/kernel")
        with self.assertRaisesRegex(InvalidError, "kernel_path"):
            Sandbox(engine=Engine.GVISOR, kernel_path=KERNEL)
