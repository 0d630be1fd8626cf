"""Read by pyright alone: what callers see is typed, and what is wrong is refused.

pyright reports an ignore that is not needed, so each of them is a test.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from typing import TYPE_CHECKING, BinaryIO, Optional

from microsandbox import PIPE, AsyncSandbox, Completed, Outcome, Process, Root, Sandbox

if TYPE_CHECKING:
    from typing_extensions import assert_type

    def sync() -> None:
        with Sandbox(name="a", root=Root.dir("/r"), memory_bytes=1 << 30) as sandbox:
            assert_type(sandbox, Sandbox)
            assert_type(sandbox.run(["ls", b"\xff"]).check(), Completed)
            assert_type(sandbox.run(["ls"]).exit_code, Optional[int])
            with sandbox.spawn(["ls"], stdout=PIPE) as process:
                assert_type(process, Process)
                assert_type(process.stdout, Optional[BinaryIO])
                assert_type(process.poll(), Optional[Outcome])
            sandbox.run(["ls"], input="text")  # pyright: ignore[reportArgumentType]
            sandbox.run([1])  # pyright: ignore[reportArgumentType]
            sandbox.run("ls")  # str is a sequence of str: refused when it runs
        Sandbox(nmae="a")  # pyright: ignore[reportCallIssue]
        Sandbox(memory_bytes="1G")  # pyright: ignore[reportArgumentType]

    async def loop() -> None:
        async with AsyncSandbox(name="a") as sandbox:
            assert_type(await sandbox.run(["ls"]), Completed)
            async with await sandbox.spawn(["ls"], stdin=PIPE) as process:
                assert_type(process.stdin, Optional[StreamWriter])
                assert_type(process.stdout, Optional[StreamReader])
        AsyncSandbox(nmae="a")  # pyright: ignore[reportCallIssue]
