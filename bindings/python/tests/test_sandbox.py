"""The life of a sandbox: create, open, list, stop, drain, kill, disarm, gone."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from microsandbox import (
    PIPE,
    Cause,
    ClosedError,
    DoneError,
    Engine,
    ExistsError,
    LaunchError,
    MicrosandboxError,
    NotFoundError,
    Root,
    State,
    StateError,
    TimedOutError,
    list_sandboxes,
    probe,
)
from support import PATIENCE, alive, until
from twins import TwinCase


def names() -> list[str]:
    return [entry.name for entry in list_sandboxes()]


class SandboxTest(TwinCase):
    async def scenario_with_means_gone(self, api: Any) -> None:
        async with await api.create(name="some name é") as box:
            pid = box.inner.pid
            self.assertEqual(box.inner.name, "some name é")
            self.assertTrue(alive(pid))
            (entry,) = list_sandboxes()
            self.assertEqual((entry.name, entry.pid), ("some name é", pid))
            self.assertTrue(entry.attached)
            self.assertNotEqual(entry.engine, Engine.AUTO)
            process = await box.spawn(["sleep", "1000"])
        self.assertFalse(alive(pid))
        self.assertEqual(names(), [])
        outcome = await process.wait(PATIENCE)
        # TERM may have ended it before the sandbox did.
        self.assertIn(outcome.cause, (Cause.SANDBOX_ENDED, Cause.SIGNALED))
        self.assertIn(outcome.signal, (None, 9, 15))
        await process.close()

    async def scenario_info(self, api: Any) -> None:
        async with await api.create(memory_bytes=256 << 20) as box:
            info = await box.info()
            self.assertEqual(info.state, State.RUNNING)
            self.assertNotEqual(info.engine, Engine.AUTO)
            self.assertEqual((info.attached, info.owner), (True, True))
            self.assertEqual(info.pid, box.inner.pid)
            self.assertEqual(info.memory_bytes, 256 << 20)
            self.assertEqual(info.overlay_bytes, 128 << 20)
            self.assertTrue(info.receipt)
            self.assertRegex(box.inner.name, r"^msb-[0-9a-f]{12}$")
            self.assertIsNone(box.inner.poll())

    async def scenario_closed(self, api: Any) -> None:
        box = await api.create()
        name = box.inner.name
        await box.close()
        await box.close()
        self.assertEqual((box.inner.name, box.inner.closed), (name, True))
        for use in (
            lambda: box.inner.pid,
            box.inner.poll,
            box.inner.stop,
            box.inner.drain,
            box.inner.kill,
        ):
            with self.assertRaises(ClosedError) as caught:
                use()
            self.assertIsInstance(caught.exception, ValueError)
        for verb in (box.wait, box.info, box.disarm):
            with self.assertRaises(ValueError):
                await verb()

    async def scenario_open(self, api: Any) -> None:
        async with await api.create(name="twice") as box:
            async with await api.open("twice") as other:
                self.assertEqual(other.inner.pid, box.inner.pid)
                self.assertEqual((await other.run(["echo", "hi"])).stdout, b"hi\n")
                self.assertFalse((await other.info()).owner)
                with self.assertRaises(StateError):
                    await other.disarm()
            self.assertTrue((await box.run(["true"])).ok)
            with self.assertRaises(ExistsError) as caught:
                await api.create(name="twice")
            self.assertIsInstance(caught.exception, FileExistsError)
        with self.assertRaises(NotFoundError) as missing:
            await api.open("twice")
        self.assertIsInstance(missing.exception, FileNotFoundError)

    async def scenario_state_dir(self, api: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="msb-py-") as other:
            async with await api.create(name="elsewhere", state_dir=other):
                self.assertEqual(names(), [])
                self.assertEqual([entry.name for entry in list_sandboxes(other)], ["elsewhere"])
                async with await api.open("elsewhere", state_dir=os.fsencode(other)):
                    pass

    async def scenario_ends(self, api: Any) -> None:
        table: list[tuple[str, dict[str, Any], Cause]] = [
            ("stop", {}, Cause.STOPPED),
            ("stop", {"grace": 0}, Cause.STOPPED),
            ("drain", {}, Cause.DRAINED),
            ("drain", {"deadline": 0}, Cause.DRAINED),
            ("kill", {}, Cause.KILLED),
        ]
        for verb, options, cause in table:
            with self.subTest(verb, options=options):
                async with await api.create() as box:
                    with self.assertRaises(TimedOutError):
                        await box.wait(0)
                    pid = box.inner.pid
                    getattr(box.inner, verb)(**options)
                    outcome = await box.wait(PATIENCE)
                    self.assertEqual(outcome.cause, cause)
                    self.assertEqual(await box.wait(), outcome)
                    self.assertFalse(alive(pid))
                    with self.assertRaises(DoneError):
                        box.inner.kill()
                    with self.assertRaises(MicrosandboxError):
                        await box.run(["true"])

    async def scenario_drain_lets_programs_finish(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(["cat"], stdin=PIPE, stdout=PIPE) as process:
                box.inner.drain()
                while (await box.info()).state != State.DRAINING:
                    pass  # drain is a request
                with self.assertRaises(StateError):
                    await box.run(["true"])
                await process.write(b"last words", close=True)
                self.assertEqual(await process.rest(), b"last words")
                self.assertTrue((await process.wait(PATIENCE)).ok)
            self.assertEqual((await box.wait(PATIENCE)).cause, Cause.DRAINED)

    async def scenario_disarm(self, api: Any) -> None:
        async with await api.create(name="kept") as box:
            pid = box.inner.pid
            await box.disarm()
            await box.disarm()
        self.assertTrue(alive(pid))
        async with await api.open("kept") as again:
            self.assertEqual(again.inner.pid, pid)
            self.assertFalse((await again.info()).attached)
            again.inner.stop()
            await again.wait(PATIENCE)
        until(lambda: not alive(pid), "the end of the supervisor")

    async def scenario_failed_create(self, api: Any) -> None:
        table: list[tuple[str, dict[str, Any], type[Exception]]] = [
            ("no root", {"root": Root.dir("/no/such/root")}, NotFoundError),
            ("no image", {"root": Root.erofs("/no/such/image")}, NotFoundError),
            ("no msb", {"msb_path": "/no/such/msb"}, NotFoundError),
            ("msb of another kind", {"msb_path": "/bin/true"}, LaunchError),
            ("host root with a path", {"root": Root(Root.host().kind, "/")}, ValueError),
            ("empty name", {"name": ""}, ValueError),
            ("name with a slash", {"name": "a/b"}, ValueError),
            ("long name", {"name": "n" * 129}, ValueError),
            ("little memory", {"memory_bytes": 1 << 20}, ValueError),
            ("negative memory", {"memory_bytes": -1}, ValueError),
            ("unknown engine", {"engine": 77}, MicrosandboxError),
            ("no time", {"start_timeout": 0}, ValueError),
            ("unknown option", {"memory": 1}, TypeError),
        ]
        for what, options, error in table:
            with self.subTest(what):
                with self.assertRaises(error) as caught:
                    await (await api.create(**options)).close()
                if isinstance(caught.exception, MicrosandboxError):
                    self.assertTrue(caught.exception.message)
        self.assertEqual(names(), [])
        async with await api.create(name="n" * 128, memory_bytes=64 << 20):
            self.assertEqual(names(), ["n" * 128])

    async def scenario_root_dir(self, api: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="msb-root-") as root:
            for name in ("usr", "bin", "lib", "lib64"):
                if os.path.islink(f"/{name}"):
                    os.symlink(os.readlink(f"/{name}"), os.path.join(root, name))
            with open(os.path.join(root, "marker"), "w") as file:
                file.write("in the directory")
            async with await api.create(root=Root.dir(root)) as box:
                info = await box.info()
                self.assertEqual(info.state, State.RUNNING)

    async def scenario_probe(self, api: Any) -> None:
        info = probe()
        self.assertNotEqual(info.engine, Engine.AUTO)
        self.assertTrue(info.receipt)
        with self.assertRaises(MicrosandboxError):
            probe(msb_path="/no/such/msb")
        self.assertEqual(names(), [])
