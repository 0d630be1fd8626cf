"""What the binding does to its process: Ctrl-C, fork, leaks, warnings, limits."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import time
import warnings
from typing import Any

from microsandbox import (
    PIPE,
    AsyncSandbox,
    ForkedError,
    MicrosandboxError,
    Sandbox,
    library_version,
    list_sandboxes,
)
from support import PATIENCE, LibraryCase, alive, open_fds, python, python_threads, until

# Each waits for ever after it has printed "waiting" and the sandbox's pid.
WAITS = {
    "wait for a program": "box.spawn(['sleep', '1000']).wait()",
    "wait for a sandbox": "box.wait()",
    "run": "box.run(['sleep', '1000'])",
    "run with a timeout": "box.run(['sleep', '1000'], timeout=500)",
    "asyncio": "import asyncio; asyncio.run(sleep())",
}

INTERRUPTED = """
import microsandbox, sys, time
async def sleep():
    async with microsandbox.AsyncSandbox() as other:
        await other.run(["sleep", "1000"])
try:
    with microsandbox.Sandbox() as box:
        print("waiting", box.pid, flush=True)
        {wait}
except KeyboardInterrupt:
    print("left", [entry.name for entry in microsandbox.list_sandboxes()])
"""


# msb is a program that says nothing, so that the sandbox never starts.
CREATING = """
import asyncio, microsandbox, os, sys
print("waiting", os.getpid(), flush=True)
try:
    {create}
except KeyboardInterrupt:
    print("left", [entry.name for entry in microsandbox.list_sandboxes()])
"""

CREATES = {
    "create": "microsandbox.Sandbox(msb_path=sys.argv[1])",
    "create in asyncio": "asyncio.run(microsandbox.AsyncSandbox.create(msb_path=sys.argv[1]))",
}

# Hosts that treat signals and children in their own way; each then says "fine".
HOSTS = {
    "ignores SIGCHLD": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "reaps every child": "threading.Thread(target=reap, daemon=True).start()",
    "SIGPIPE at its default": "signal.signal(signal.SIGPIPE, signal.SIG_DFL)",
    "no standard descriptors": "report = os.dup(1); [os.close(fd) for fd in (0, 1, 2)]",
    "few descriptors": "limit = resource.RLIMIT_NOFILE; "
    "resource.setrlimit(limit, (64, resource.getrlimit(limit)[1]))",
    "odd directory and mask": "os.chdir('/'); os.umask(0o777)",
}

HOST = """
import os, resource, signal, threading, time
report = 1
def reap():
    while True:
        try: os.waitpid(-1, 0)
        except ChildProcessError: time.sleep(0.001)
{peculiarity}
import microsandbox
for _ in range(3):
    with microsandbox.Sandbox() as box:
        assert box.run(["sh", "-c", "exit 7"], input=bytes(1 << 20)).exit_code == 7
        assert box.run(["cat"], input=b"x").stdout == b"x"
        box.kill()
        assert box.wait().cause == microsandbox.Cause.KILLED, box.wait()
os.write(report, b"fine")
"""


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


class InterruptTest(LibraryCase):
    def test_ctrl_c(self) -> None:
        for what, wait in WAITS.items():
            with self.subTest(what), python(INTERRUPTED.format(wait=wait)) as child:
                assert child.stdout and child.stderr
                word, pid = child.stdout.readline().split()
                self.assertEqual(word, "waiting")
                until(lambda: _sleeps(child.pid), "the wait")
                begin = time.monotonic()
                child.send_signal(signal.SIGINT)
                out, err = child.communicate(timeout=PATIENCE)
                self.assertLess(time.monotonic() - begin, 30)
                self.assertEqual((out, child.returncode), ("left []\n", 0), err)
                self.assertNotIn("Traceback", err)
                until(lambda: not alive(int(pid)), "the end of the supervisor")


    def test_ctrl_c_while_creating(self) -> None:
        msb = os.path.join(self.state, "silent")
        with open(msb, "w") as file:
            file.write("#!/bin/sh\nexec sleep 1000\n")
        os.chmod(msb, 0o755)
        for what, create in CREATES.items():
            with self.subTest(what), python(CREATING.format(create=create), msb) as child:
                assert child.stdout
                child.stdout.readline()
                until(lambda: _sleeps(child.pid), "the wait")
                (supervisor,) = _children(child.pid)
                begin = time.monotonic()
                child.send_signal(signal.SIGINT)
                out, err = child.communicate(timeout=PATIENCE)
                self.assertLess(time.monotonic() - begin, 20)
                self.assertEqual((out, child.returncode), ("left []\n", 0), err)
                self.assertFalse(alive(int(supervisor)))


def _sleeps(pid: int) -> bool:
    """Whether the main thread is inside poll or epoll_wait."""
    with open(f"/proc/{pid}/wchan") as file:
        where = file.read()
    with open(f"/proc/{pid}/syscall") as file:
        number = file.read().split()[0]
    # x86-64: poll 7, epoll_wait 232, ppoll 271, epoll_pwait 281.
    return "poll" in where or number in ("7", "232", "271", "281")


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


class LeakTest(LibraryCase):
    CYCLES = 50

    def cycle(self) -> None:
        with Sandbox() as box:
            box.run(["cat"], input=b"x")
            with box.spawn(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
                process.kill()
                process.wait()

    async def async_cycle(self) -> None:
        async with AsyncSandbox() as box:
            await box.run(["cat"], input=b"x")
            async with await box.spawn(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
                process.kill()
                await process.wait()

    def test_fds_and_threads(self) -> None:
        import asyncio

        async def many(count: int) -> None:
            for _ in range(count):
                await self.async_cycle()

        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            self.cycle()
            asyncio.run(many(1))
            gc.collect()
            before, children = open_fds(), _children(os.getpid())
            threads = os.listdir("/proc/self/task")
            for _ in range(self.CYCLES // 2):
                self.cycle()
            asyncio.run(many(self.CYCLES // 2))
            gc.collect()
        until(lambda: not open_fds() - before, "the end of the descriptors")
        self.assertEqual(python_threads(), 1)
        # The Go runtime starts threads as it needs them; their number has a bound.
        self.assertLess(len(os.listdir("/proc/self/task")), len(threads) + 12)
        self.assertEqual(list_sandboxes(), [])
        self.assertEqual(_children(os.getpid()), children)

    def test_failed_starts_leave_nothing(self) -> None:
        with Sandbox() as box:
            with self.assertRaises(MicrosandboxError):
                box.run(["no-such-program"])
            before = open_fds()
            for _ in range(20):
                with self.assertRaises(MicrosandboxError):
                    box.run(["no-such-program"], input=b"x")
                with self.assertRaises(MicrosandboxError):
                    box.spawn(["no-such-program"], stdin=PIPE, stdout=PIPE)
            until(lambda: not open_fds() - before, "the end of the descriptors")

    def test_unclosed_sandbox_warns_and_ends(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            box = Sandbox(name="forgotten")
            pid = box.pid
            del box
            gc.collect()
        messages = [str(item.message) for item in caught if item.category is ResourceWarning]
        self.assertEqual(messages, ["unclosed sandbox forgotten"])
        until(lambda: not alive(pid), "the end of the supervisor")

    def test_closed_sandbox_does_not_warn(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with Sandbox(name="closed"):
                pass
            gc.collect()
        self.assertEqual(caught, [])


def _children(pid: int) -> set[str]:
    found: set[str] = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            found.update(file.read().split())
    return found


class HostTest(LibraryCase):
    def test_the_process_is_as_it_was(self) -> None:
        def state() -> list[Any]:
            signals = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)
            mask = os.umask(0)
            os.umask(mask)
            return [
                resource.getrlimit(resource.RLIMIT_NOFILE),
                signal.pthread_sigmask(signal.SIG_BLOCK, []),
                [signal.getsignal(number) for number in signals],
                os.getcwd(),
                mask,
                dict(os.environ),
                [os.get_blocking(fd) for fd in (0, 1, 2)],
            ]

        before = state()
        with Sandbox() as box:
            box.run(["true"])
        self.assertEqual(state(), before)

    def test_hosts_of_their_own_mind(self) -> None:
        for what, peculiarity in HOSTS.items():
            with self.subTest(what), python(HOST.format(peculiarity=peculiarity)) as child:
                out, err = child.communicate(timeout=PATIENCE)
                self.assertEqual((out, child.returncode), ("fine", 0), err)
