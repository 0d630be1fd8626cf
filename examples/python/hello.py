"""Runs a program in a sandbox and prints what it wrote."""

from microsandbox import Sandbox

with Sandbox() as sandbox:
    done = sandbox.run(["python3", "-c", "print('hello from', __import__('os').uname().sysname)"])
    print(done.text, end="")
    print("exit code", done.exit_code)
