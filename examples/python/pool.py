"""Tenants that get a sandbox which is booted already."""

from microsandbox import Pool

with Pool(size=2, max_sandboxes=8, idle_shrink=60) as pool:
    for tenant in ("ada", "grace", "edsger"):
        with pool.take(name=tenant) as sandbox:  # at once when one is ready
            print(sandbox.run(["sh", "-c", "echo hello, $0", tenant]).check().text, end="")
    print("taken:", pool.info().taken)
