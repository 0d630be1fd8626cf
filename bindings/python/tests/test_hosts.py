"""Hosts of many kinds: each works, and is afterwards as it was."""

from __future__ import annotations

import os
import resource
import signal
from typing import Any

from microsandbox import Sandbox
from support import PATIENCE, LibraryCase, python


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
