"""Ctrl-C ends every wait, and leaves nothing."""

from __future__ import annotations

import os
import signal
import time

from support import PATIENCE, LibraryCase, alive, children, python, sleeps, until


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


class InterruptTest(LibraryCase):
    def test_ctrl_c(self) -> None:
        for what, wait in WAITS.items():
            with self.subTest(what), python(INTERRUPTED.format(wait=wait)) as child:
                assert child.stdout and child.stderr
                word, pid = child.stdout.readline().split()
                self.assertEqual(word, "waiting")
                until(lambda: sleeps(child.pid), "the wait")
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
                until(lambda: sleeps(child.pid), "the wait")
                (supervisor,) = children(child.pid)
                begin = time.monotonic()
                child.send_signal(signal.SIGINT)
                out, err = child.communicate(timeout=PATIENCE)
                self.assertLess(time.monotonic() - begin, 20)
                self.assertEqual((out, child.returncode), ("left []\n", 0), err)
                self.assertFalse(alive(int(supervisor)))
