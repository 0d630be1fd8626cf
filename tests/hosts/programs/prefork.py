"""A preforking server: the parent loads the library and makes a sandbox, then forks
workers. A worker that calls the library gets ForkedError at once; one that starts
a fresh interpreter works; and the sandbox ends with the parent although workers
still hold copies of all its descriptors."""

import os
import subprocess
import sys

from microsandbox import ForkedError, Sandbox

box = Sandbox()
report_r, report_w = os.pipe()
hold_r, hold_w = os.pipe()
for number in range(4):
    if os.fork() == 0:
        os.close(hold_w)
        try:
            box.run(["true"])
            verdict = b"worked\n"
        except ForkedError:
            code = "from microsandbox import Sandbox\nwith Sandbox() as b: print(b.run(['echo', 'fresh']).text, end='')"
            verdict = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
        os.write(report_w, verdict)
        os.read(hold_r, 1)  # until the test lets go: with copies of everything
        os._exit(0)
os.close(report_w)
lines = b""
while lines.count(b"\n") < 4:
    part = os.read(report_r, 100)
    if not part:
        break
    lines += part
print(lines.decode().split(), box.pid, flush=True)
sys.stdin.readline()  # the test kills us here
