"""A process that was forked after the library was loaded is refused, and harms nobody."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from typing import Any

from microsandbox import ForkedError, MicrosandboxError, Sandbox, library_version, list_sandboxes
from support import PATIENCE, LibraryCase


def in_child(verb: str, queue: Any) -> None:
    verbs: dict[str, Any] = {
        "create": Sandbox,
        "open": lambda: Sandbox.open("x"),
        "list": list_sandboxes,
        "version": library_version,
    }
    try:
        queue.put(repr(verbs[verb]()))
    except MicrosandboxError as error:
        queue.put(type(error).__name__)


def wait_in_child(queue: Any) -> None:
    with Sandbox() as box:
        queue.put(box.run(["echo", "spawned"]).stdout)


class ForkTest(LibraryCase):
    def test_forked_after_load_is_refused(self) -> None:
        with Sandbox() as box:
            context = multiprocessing.get_context("fork")
            for verb, expected in [
                ("create", "ForkedError"),
                ("open", "ForkedError"),
                ("list", "ForkedError"),
                ("version", repr(library_version())),
            ]:
                with self.subTest(verb), warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
                    queue = context.Queue()
                    child = context.Process(target=in_child, args=(verb, queue))
                    child.start()
                    self.assertEqual(queue.get(timeout=PATIENCE), expected)
                    child.join(PATIENCE)
                    self.assertEqual(child.exitcode, 0)
                    queue.close()
                    queue.join_thread()
            self.assertTrue(box.run(["true"]).ok, "the parent was harmed")

    def test_a_forked_child_does_not_end_its_parents_sandbox(self) -> None:
        with Sandbox() as box:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    try:
                        box.run(["true"])
                    except ForkedError:
                        box.close()
                        code = 0
                finally:
                    os._exit(code)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertTrue(box.run(["true"]).ok)

    def test_spawned(self) -> None:
        with Sandbox():
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            child = context.Process(target=wait_in_child, args=(queue,))
            child.start()
            self.assertEqual(queue.get(timeout=PATIENCE), b"spawned\n")
            child.join(PATIENCE)
            self.assertEqual(child.exitcode, 0)
            queue.close()
            queue.join_thread()
