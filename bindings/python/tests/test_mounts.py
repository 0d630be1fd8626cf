"""What a sandbox shows of the host beside its root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from microsandbox import InvalidError, Mount, NotFoundError, list_sandboxes, remove_sandbox
from twins import OutlivingCase


class MountsTest(OutlivingCase):
    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory(prefix="msb-py-mount-")
        self.addCleanup(directory.cleanup)
        self.source = Path(directory.name, "source")
        self.source.mkdir()
        (self.source / "file").write_text("of the host\n")
        script = self.source / "script"
        script.write_text("#!/bin/sh\necho executed\n")
        script.chmod(0o755)

    async def scenario_bind(self, api: Any) -> None:
        mounts = [
            Mount.bind(self.source, "/mnt/rw"),
            Mount.bind(os.fsencode(self.source), b"/mnt/ro", read_only=True, no_exec=True),
            Mount.bind(self.source / "file", "/mnt/one", read_only=True),
        ]
        table: list[tuple[str, bool]] = [
            ("cat /mnt/rw/file /mnt/ro/file /mnt/one", True),
            ("echo changed > /mnt/rw/new", True),
            ("echo changed > /mnt/ro/new", False),
            ("echo changed > /mnt/one", False),
            ("/mnt/rw/script", True),
            ("/mnt/ro/script", False),
        ]
        async with await api.create(mounts=mounts) as box:
            for script, works in table:
                with self.subTest(script):
                    done = await box.run(["sh", "-c", script])
                    self.assertEqual(done.ok, works, done.error_text)
        self.assertEqual((self.source / "new").read_text(), "changed\n")
        self.assertEqual((self.source / "file").read_text(), "of the host\n")

    async def scenario_tmpfs(self, api: Any) -> None:
        mounts = [Mount.tmpfs("/mnt/small", size=1 << 20), Mount.tmpfs("/mnt/plain")]
        async with await api.create(mounts=mounts) as box:
            for target, works in (("small", False), ("plain", True)):
                with self.subTest(target):
                    script = f"head -c 2000000 /dev/zero > /mnt/{target}/file"
                    done = await box.run(["sh", "-c", script])
                    self.assertEqual(done.ok, works, done.error_text)

    async def scenario_erofs(self, api: Any) -> None:
        if not shutil.which("mkfs.erofs"):
            self.skipTest("mkfs.erofs is missing")
        image = f"{self.source}.erofs"
        command = ["mkfs.erofs", "-E", "noinline_data", image, str(self.source)]
        subprocess.run(command, check=True, capture_output=True)
        async with await api.create(mounts=[Mount.erofs(image, "/mnt/image")]) as box:
            done = await box.run(["cat", "/mnt/image/file"])
            self.assertEqual(done.text, "of the host\n", done.error_text)
            self.assertFalse((await box.run(["touch", "/mnt/image/file"])).ok)

    async def scenario_refused(self, api: Any) -> None:
        table: list[tuple[Mount, type[Exception]]] = [
            (Mount.bind("/no/such", "/mnt"), NotFoundError),
            (Mount.bind("/dev/null", "/mnt"), InvalidError),
            (Mount.bind(self.source, "/proc/self"), InvalidError),
            (Mount.bind(self.source, "relative"), InvalidError),
            (Mount.tmpfs("/mnt", size=1), InvalidError),
            (Mount.erofs(self.source / "file", "/mnt"), InvalidError),
        ]
        for mount, error in table:
            with self.subTest(str(mount)), self.assertRaises(error):
                await api.create(mounts=[mount])
        self.assertEqual(list_sandboxes(), [])

    async def scenario_opened_anew_at_each_start(self, api: Any) -> None:
        mounts = [Mount.bind(self.source, "/mnt/s")]
        await (await api.create(name="kept", stored=True, mounts=mounts)).close()
        (self.source / "later").write_text("seen")
        async with await api.start("kept") as box:
            self.assertEqual((await box.run(["cat", "/mnt/s/later"])).stdout, b"seen")
        remove_sandbox("kept")
