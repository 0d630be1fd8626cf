"""Sandboxes that live on without their owner, what ends them, and how lists find them."""

from __future__ import annotations

import asyncio
import select
import subprocess
import threading
from typing import Any

from microsandbox import (
    AsyncSandbox,
    Cause,
    ClosedError,
    ExistsError,
    MicrosandboxError,
    Sandbox,
    _ffi,
    audit,
    list_sandboxes,
    probe,
)
from support import DETACHED, PATIENCE, ROOT, alive, python, sleeps, until
from twins import OutlivingCase

OWNER = """
import asyncio, microsandbox, os, sys
from microsandbox import AsyncSandbox, Sandbox
options = dict(name=sys.argv[1], detached=True, max_duration=120)
def say(box): print(box.pid, flush=True)
async def loop():
    async with AsyncSandbox(**options) as box:
        await box.spawn(["sleep", "300"])
        say(box)
{create}
"""

# How owners part with a sandbox in which a program runs; none of them may end it.
OWNERS = {
    "leaves its block": """
with Sandbox(**options) as box: box.spawn(["sleep", "300"]); say(box)""",
    "leaves its block in asyncio": "asyncio.run(loop())",
    "forgets it": "box = Sandbox(**options); box.spawn(['sleep', '300']); say(box)",
    "dies": """
box = Sandbox(**options); box.spawn(["sleep", "300"]); say(box); os.kill(os.getpid(), 9)""",
}


class DetachedTest(OutlivingCase):
    async def scenario_owner_ends(self, api: Any) -> None:
        for what, create in OWNERS.items():
            with self.subTest(what), python(OWNER.format(create=create), "orphan") as owner:
                out, err = owner.communicate(timeout=PATIENCE)
                # In asyncio's debug mode a busy machine shows as slow callbacks.
                complaints = [line for line in err.splitlines() if not line.startswith("Executing <")]
                self.assertEqual((owner.returncode, complaints), (-9 if what == "dies" else 0, []))
                pid = int(out)
                async with await api.open("orphan") as box:
                    self.assertEqual(box.inner.pid, pid)
                    info = await box.info()
                    self.assertEqual((info.attached, info.owner, info.programs), (False, False, 1))
                    self.assertEqual((await box.run(["echo", "still here"])).text, "still here\n")
                    box.inner.kill()
                    self.assertEqual((await box.wait(PATIENCE)).cause, Cause.KILLED)
                until(lambda: not alive(pid), "the end of the supervisor")
                self.assert_nothing_left()

    async def scenario_close_releases(self, api: Any) -> None:
        async with await api.create(name="left", **DETACHED) as box:
            pid = box.inner.pid
            info = await box.info()
            self.assertEqual((info.attached, info.owner), (False, True))
            done = _ffi.event_fd(box.inner._handle.raw(), _ffi.EVENT_DONE)
            with open(done, "rb"):
                poller = select.poll()
                poller.register(done, select.POLLIN)
                self.assertTrue((await box.run(["true"])).ok)
                self.assertEqual(poller.poll(0), [])
                await box.close()
                self.assertTrue(poller.poll(PATIENCE * 1000))
        self.assertTrue(alive(pid))
        with self.assertRaises(ClosedError):
            box.inner.kill()
        (entry,) = list_sandboxes()
        self.assertEqual((entry.pid, entry.attached, entry.stored), (pid, False, False))
        self.assertIsNone(entry.last_cause)
        found = audit()
        self.assertEqual(found.orphans, 0)
        self.assertIn("left", "\n".join(line for line in found.lines if "supervisor: " in line))

    async def scenario_detached_by_the_user(self, api: Any) -> None:
        async with await api.create(name="taken over", max_duration=120) as box:
            pid = box.inner.pid
            subprocess.run([ROOT / "build" / "bin" / "msb", "detach", "taken over"], check=True)
        self.assertTrue(alive(pid))

    def test_close_ends_a_wait_in_a_thread(self) -> None:
        caught: list[Exception] = []
        with Sandbox(name="waited for", **DETACHED) as box:

            def wait() -> None:
                try:
                    box.wait(PATIENCE)
                except Exception as error:
                    caught.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            number = thread.native_id
            assert number
            until(lambda: sleeps(number), "the wait")
        thread.join(PATIENCE)
        self.assertEqual([type(error) for error in caught], [ClosedError])

    def test_close_ends_a_wait_in_asyncio(self) -> None:
        async def main() -> None:
            async with AsyncSandbox(name="waited for", **DETACHED) as box:
                waiting = asyncio.ensure_future(box.wait(PATIENCE))
                await asyncio.sleep(0)
            with self.assertRaises(ClosedError):
                await waiting

        asyncio.run(main())

    async def scenario_lifetimes(self, api: Any) -> None:
        table: list[tuple[str, dict[str, Any], Cause]] = [
            ("idle", {"idle_timeout": 1.5}, Cause.IDLE_TIMEOUT),
            ("long", {"max_duration": 3, "stop_grace": 0}, Cause.MAX_DURATION),
        ]
        for name, options, cause in table:
            with self.subTest(name):
                async with await api.create(name=name, stored=True, **options) as box:
                    if cause == Cause.IDLE_TIMEOUT:
                        # Longer than the timeout: a program that runs is not idleness.
                        self.assertTrue((await box.run(["sleep", "2.5"])).ok)
                        self.assertEqual((await box.wait(PATIENCE)).cause, cause)
                    else:
                        async with await box.spawn(["sleep", "300"]) as process:
                            self.assertEqual((await box.wait(PATIENCE)).cause, cause)
                            outcome = await process.wait(PATIENCE)
                            self.assertEqual(outcome.cause, Cause.SANDBOX_ENDED)
                (entry,) = (e for e in list_sandboxes(stopped=True) if e.name == name)
                self.assertEqual(entry.last_cause, cause)

    async def scenario_replace(self, api: Any) -> None:
        async with await api.create(name="single", **DETACHED) as first:
            pid = first.inner.pid
            with self.assertRaises(ExistsError):
                await api.create(name="single")
            self.assertTrue(alive(pid))
            async with await api.create(name="single", replace=True, replace_grace=0) as second:
                self.assertEqual((await first.wait(PATIENCE)).cause, Cause.STOPPED)
                self.assertFalse(alive(pid))
                self.assertEqual([entry.pid for entry in list_sandboxes()], [second.inner.pid])
        self.assert_nothing_left()

    async def scenario_labels(self, api: Any) -> None:
        # U+2028 is no control character, and yet str.splitlines ends a line there.
        one = {"app": "web", "ключ": "a=b=", "split": "a\u2028b"}
        two = {"app": "web", "tier": ""}
        table: list[tuple[Any, list[str]]] = [
            (None, ["one", "two"]),
            ({}, ["one", "two"]),
            ({"app": "web"}, ["one", "two"]),
            ({"app": "web", "tier": ""}, ["two"]),
            ({"ключ": "a=b="}, ["one"]),
            ({"app": "other"}, []),
            ({"app": ""}, []),
        ]
        async with await api.create(name="one", labels=one):
            async with await api.create(name="two", labels=two):
                for labels, names in table:
                    with self.subTest(labels=labels):
                        found = list_sandboxes(labels=labels)
                        self.assertEqual([entry.name for entry in found], names)
                self.assertEqual([entry.labels for entry in list_sandboxes()], [one, two])

    async def scenario_probe_changes_nothing(self, api: Any) -> None:
        probe(name="trial", stored=True, detached=True)
        self.assert_nothing_left()
        async with await api.create(name="present") as box:
            probe(name="present", replace=True)
            self.assertEqual([entry.pid for entry in list_sandboxes()], [box.inner.pid])
            self.assertTrue((await box.run(["true"])).ok)

    async def scenario_refused(self, api: Any) -> None:
        table: list[dict[str, Any]] = [
            {"stored": True},
            {"replace": True},
            {"labels": {"a": "\n"}},
            {"labels": {"a": "x" * 1000}},
        ]
        for options in table:
            with self.subTest(str(options)[:40]), self.assertRaises(ValueError) as caught:
                await api.create(**options)
            self.assertIsInstance(caught.exception, MicrosandboxError)
        with self.assertRaises(ValueError):
            list_sandboxes(labels={"a": "\n"})
