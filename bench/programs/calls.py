"""Nanoseconds for one call of msb_sandbox_pid from Python, one batch a line:
python3 calls.py STATE-DIRECTORY NAME BATCHES CALLS
"""

import sys
import time

from microsandbox import Sandbox


def batch(sandbox: Sandbox, count: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(count):
        sandbox.pid
    return (time.perf_counter_ns() - start) / count


state_dir, name = sys.argv[1:3]
batches, calls = map(int, sys.argv[3:5])
with Sandbox.open(name, state_dir=state_dir) as sandbox:
    batch(sandbox, calls)
    for _ in range(batches):
        print(batch(sandbox, calls))
