"""Read by pyright alone: what callers see is typed, and what is wrong is refused.

pyright reports an ignore that is not needed, so each of them is a test.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from typing import TYPE_CHECKING, BinaryIO, Optional

from microsandbox import (
    PIPE,
    AsyncSandbox,
    Audit,
    Cause,
    Completed,
    Metrics,
    Mount,
    Outcome,
    Pool,
    PoolInfo,
    Process,
    Root,
    Sandbox,
    audit,
    list_sandboxes,
    metrics,
    remove_sandbox,
)

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
            sandbox.run(["ls"], uid=1, rlimits={"cpu": 1, "as": (1, None)}, wall_limit=0.5)
            sandbox.run(["ls"], rlimits={"files": 1})  # pyright: ignore[reportArgumentType]
            sandbox.run(["ls"], user=1)  # pyright: ignore[reportCallIssue]
            assert_type(sandbox.run(["ls"]).memory_peak, Optional[int])
            sandbox.run([1])  # pyright: ignore[reportArgumentType]
            sandbox.run("ls")  # str is a sequence of str: refused when it runs
        Sandbox(nmae="a")  # pyright: ignore[reportCallIssue]
        Sandbox(memory_bytes="1G")  # pyright: ignore[reportArgumentType]
        Sandbox(detached=True, stored=True, replace=True, replace_grace=0, labels={"a": "b"})
        Sandbox(mounts=[Mount.bind("/s", b"/t", read_only=True), Mount.tmpfs("/t", size=1 << 20)])
        Mount.erofs("/s", "/t", read_only=False)  # pyright: ignore[reportCallIssue]
        with Pool(size=2, memory_bytes=1 << 30, idle_shrink=60) as pool:
            assert_type(pool.take(name="a", labels={"a": "b"}), Sandbox)
            assert_type(pool.info(), PoolInfo)
            pool.take(stored=True)  # pyright: ignore[reportCallIssue]
        Sandbox(idle_timeout=60, max_duration=3600.0)
        Sandbox(labels={"a": 1})  # pyright: ignore[reportArgumentType]
        assert_type(Sandbox.start("a", detached=True), Sandbox)
        Sandbox.start("a", stored=True)  # pyright: ignore[reportCallIssue]
        remove_sandbox("a", state_dir="/s")
        assert_type(audit(), Audit)
        assert_type(audit().lines, list[str])
        assert_type(metrics(), list[Metrics])
        assert_type(metrics()[0].cpu_usage, Optional[float])
        for entry in list_sandboxes(stopped=True, labels={"a": "b"}):
            assert_type(entry.labels, dict[str, str])
            assert_type(entry.last_cause, Optional[Cause])
            assert_type(entry.pid, Optional[int])

    async def loop() -> None:
        async with AsyncSandbox(name="a") as sandbox:
            assert_type(await sandbox.run(["ls"]), Completed)
            async with await sandbox.spawn(["ls"], stdin=PIPE) as process:
                assert_type(process.stdin, Optional[StreamWriter])
                assert_type(process.stdout, Optional[StreamReader])
        assert_type(await AsyncSandbox.start("a"), AsyncSandbox)
        AsyncSandbox(nmae="a")  # pyright: ignore[reportCallIssue]
