"""Sandboxes whose configuration is kept under their name."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable

from microsandbox import (
    Audit,
    Cause,
    ExistsError,
    InvalidError,
    NotFoundError,
    SandboxEntry,
    State,
    StateError,
    _arguments,
    _base,
    audit,
    list_sandboxes,
    remove_sandbox,
)
from microsandbox._steps import Steps, Wait
from support import DETACHED, PATIENCE, alive, until
from twins import OutlivingCase


def stopped() -> list[SandboxEntry]:
    return list_sandboxes(stopped=True)


def running() -> bool:
    return [entry.state for entry in list_sandboxes()] == [State.RUNNING]


def interrupted(steps: Steps[Any], when: Callable[[], object]) -> Steps[Any]:
    """The steps, with Ctrl-C in their first wait."""
    next(steps)
    when()
    wait: Wait = steps.throw(KeyboardInterrupt())
    while True:
        wait = steps.send((yield wait))


class StoredTest(OutlivingCase):
    async def scenario_stop_list_start_remove(self, api: Any) -> None:
        options: dict[str, Any] = {"memory_bytes": 128 << 20, "labels": {"a": "1"}}
        async with await api.create(name="kept", stored=True, **options) as box:
            self.assertTrue((await box.run(["touch", "/tmp/file"])).ok)
            (entry,) = list_sandboxes()
            self.assertEqual((entry.stored, entry.attached), (True, True))
            with self.assertRaises(StateError):
                remove_sandbox("kept")
            box.inner.stop()
            self.assertEqual((await box.wait(PATIENCE)).cause, Cause.STOPPED)

        self.assertEqual(list_sandboxes(), [])
        (entry,) = stopped()
        expected = SandboxEntry(
            name="kept",
            state=State.STOPPED,
            engine=None,
            attached=False,
            stored=True,
            pid=None,
            last_cause=Cause.STOPPED,
            labels={"a": "1"},
            created=entry.created,
        )
        self.assertEqual(entry, expected)
        self.assertEqual(list_sandboxes(stopped=True, labels={"a": "1"}), [entry])
        self.assertEqual(list_sandboxes(stopped=True, labels={"a": "2"}), [])
        found = audit()
        self.assertEqual((found.orphans, len(found.lines)), (0, 1))
        self.assertRegex(found.lines[0], '^stored: "kept"')

        async with await api.start("kept") as again:
            pid = again.inner.pid
            info = await again.info()
            self.assertEqual((info.attached, info.owner), (True, True))
            self.assertEqual(info.memory_bytes, 128 << 20)
            done = await again.run(["test", "-e", "/tmp/file"])
            self.assertEqual(done.exit_code, 1, "its files are not kept")
            with self.assertRaises(ExistsError):
                await api.start("kept")
        self.assertFalse(alive(pid))

        remove_sandbox("kept")
        with self.assertRaises(NotFoundError):
            remove_sandbox("kept")
        with self.assertRaises(NotFoundError):
            await api.start("kept")
        self.assert_nothing_left()

    async def scenario_start_detached(self, api: Any) -> None:
        await (await api.create(name="again", stored=True, max_duration=120)).close()
        async with await api.start("again", detached=True) as box:
            pid = box.inner.pid
        self.assertTrue(alive(pid))
        (entry,) = stopped()
        self.assertEqual((entry.pid, entry.attached, entry.stored), (pid, False, True))

    async def scenario_last_cause(self, api: Any) -> None:
        table: list[tuple[str, Callable[[Any], None], State, Cause]] = [
            ("kill", lambda box: box.inner.kill(), State.STOPPED, Cause.KILLED),
            (
                "SIGKILL from elsewhere",
                lambda box: os.kill(box.inner.pid, signal.SIGKILL),
                State.CRASHED,
                Cause.CRASHED,
            ),
        ]
        for what, end, state, cause in table:
            with self.subTest(what):
                async with await api.create(name="ended", stored=True, **DETACHED) as box:
                    end(box)
                    self.assertEqual((await box.wait(PATIENCE)).cause, Cause.KILLED)
                (entry,) = stopped()
                self.assertEqual((entry.state, entry.last_cause, entry.pid), (state, cause, None))
                remove_sandbox("ended")
                self.assert_nothing_left()

    async def scenario_replace(self, api: Any) -> None:
        first = await api.create(name="renewed", stored=True, labels={"of": "the first"})
        async with await api.create(name="renewed", stored=True, replace=True):
            self.assertEqual((await first.wait(PATIENCE)).cause, Cause.STOPPED)
        await first.close()
        self.assertEqual([entry.labels for entry in stopped()], [{}])

    async def scenario_failed_creation(self, api: Any) -> None:
        await (await api.create(name="taken", stored=True, labels={"of": "the first"})).close()
        with self.assertRaises(ExistsError):
            await api.create(name="taken", stored=True)
        self.assertEqual([entry.labels for entry in stopped()], [{"of": "the first"}])

    async def scenario_interrupted_creation(self, api: Any) -> None:
        moments: list[tuple[str, Callable[[], object]]] = [
            ("at once", lambda: None),
            ("when it had come up", lambda: until(running, "a running sandbox")),
        ]
        for what, moment in moments:
            for stored in (False, True):
                with self.subTest(what, stored=stored):
                    arguments = _arguments.sandbox(name="cut", stored=stored, **DETACHED)
                    with self.assertRaises(KeyboardInterrupt):
                        await api.drive(interrupted(_base.create(arguments), moment))
                    self.assert_nothing_left()

    async def scenario_interrupted_start(self, api: Any) -> None:
        await (await api.create(name="unstarted", stored=True)).close()
        steps = _base.start(_arguments.start("unstarted", detached=True))
        with self.assertRaises(KeyboardInterrupt):
            await api.drive(interrupted(steps, lambda: until(running, "a running sandbox")))
        self.assertEqual(list_sandboxes(), [])
        self.assertEqual([entry.name for entry in stopped()], ["unstarted"])

    async def scenario_state_dir(self, api: Any) -> None:
        other = os.path.join(self.state, "other")
        await (await api.create(name="elsewhere", stored=True, state_dir=other)).close()
        self.assertEqual(stopped(), [])
        (entry,) = list_sandboxes(other, stopped=True)
        self.assertEqual(entry.name, "elsewhere")
        self.assertEqual(len(audit(other).lines), 1)
        with self.assertRaises(NotFoundError):
            await api.start("elsewhere")
        async with await api.start("elsewhere", state_dir=other):
            pass
        with self.assertRaises(NotFoundError):
            remove_sandbox("elsewhere")
        remove_sandbox("elsewhere", state_dir=other)
        self.assertEqual(audit(other), Audit(0, []))

    async def scenario_refused(self, api: Any) -> None:
        for option in ("memory_bytes", "stored", "labels", "name"):
            with self.subTest(option), self.assertRaises(TypeError):
                await api.start("any", **{option: 1})
        table: list[tuple[str, type[Exception]]] = [
            ("", ValueError),
            ("a\0b", ValueError),
            ("a/b", InvalidError),
            ("n" * 129, InvalidError),
        ]
        for name, error in table:
            with self.subTest(name[:10]):
                with self.assertRaises(error):
                    await api.start(name)
                with self.assertRaises(error):
                    remove_sandbox(name)
        with self.assertRaises(ValueError):
            await api.start("any", start_timeout=0)
