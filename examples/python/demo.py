"""A tour: the host's Python and a shell pipeline in a sandbox, output line by
line, a signal, an exit status, an error, and nothing left at the end."""

from __future__ import annotations

import os
import signal

from microsandbox import PIPE, ExecError, Sandbox, list_sandboxes

PRIMES = b"""
import sys
print("python", sys.version.split()[0], "computes:",
      [n for n in range(2, 40) if all(n % d for d in range(2, n))])
"""

COUNTDOWN = 'for n in 3 2 1; do echo "$n"; sleep 0.2; done; echo liftoff'

WAITER = 'trap "echo caught SIGUSR1; exit 7" USR1; echo ready; while :; do sleep 0.1; done'


def main() -> None:
    with Sandbox() as sandbox:
        name, pid = sandbox.name, sandbox.pid
        print(f"sandbox {name}: engine {sandbox.info().engine.name.lower()}, pid {pid}")

        done = sandbox.run(["python3", "-"], input=PRIMES).check()
        print(done.text, end="")

        words = b"pear\napple\npear\nfig\napple\npear\n"
        done = sandbox.run(["sh", "-c", "sort | uniq -c | sort -rn | head -1"], input=words)
        print("pipeline:", " ".join(done.text.split()))

        with sandbox.spawn(["sh", "-c", COUNTDOWN], stdout=PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print("line:", line.decode().rstrip())
            print("it ended with", process.wait())

        with sandbox.spawn(["sh", "-c", WAITER], stdout=PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGUSR1)
            print("signal:", process.stdout.readline().decode().rstrip())
            print("it ended with", process.wait(timeout=30))

        try:
            sandbox.run(["no-such-program"])
        except ExecError as error:
            print("not started:", error.message, f"(errno {error.errno}, {error.stage.name})")

    left = [entry for entry in list_sandboxes() if entry.name == name]
    if left or os.path.exists(f"/proc/{pid}"):
        raise SystemExit(f"left: {left}, pid {pid}")
    print("left: nothing")


if __name__ == "__main__":
    main()
