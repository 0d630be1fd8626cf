"""One test for two worlds.

A TwinCase writes its tests as `async def scenario_x(self, api)`; each becomes
test_x_sync, where api wraps Sandbox and nothing ever suspends, and test_x_async,
where api wraps AsyncSandbox under an event loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Coroutine, Optional

from microsandbox import (
    AsyncLogs,
    AsyncPool,
    AsyncProcess,
    AsyncSandbox,
    Audit,
    Completed,
    LogEntry,
    Logs,
    Outcome,
    Pool,
    Process,
    Sandbox,
    SandboxEntry,
    audit,
    list_sandboxes,
)
from microsandbox._steps import Steps, run, run_async
from support import LibraryCase, end_all


class SyncProcess:
    """A Process with the verbs of an AsyncProcess."""

    def __init__(self, inner: Process) -> None:
        self.inner = inner

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return self.inner.wait(timeout)

    async def write(self, data: bytes, close: bool = False) -> None:
        assert self.inner.stdin
        self.inner.stdin.write(data)
        self.inner.stdin.flush()
        if close:
            self.inner.stdin.close()

    async def line(self) -> bytes:
        assert self.inner.stdout
        return self.inner.stdout.readline()

    async def rest(self) -> bytes:
        assert self.inner.stdout
        return self.inner.stdout.read()

    async def close(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> SyncProcess:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


class LoopProcess:
    def __init__(self, inner: AsyncProcess) -> None:
        self.inner = inner

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return await self.inner.wait(timeout)

    async def write(self, data: bytes, close: bool = False) -> None:
        assert self.inner.stdin
        self.inner.stdin.write(data)
        await self.inner.stdin.drain()
        if close:
            self.inner.stdin.close()

    async def line(self) -> bytes:
        assert self.inner.stdout
        return await self.inner.stdout.readline()

    async def rest(self) -> bytes:
        assert self.inner.stdout
        return await self.inner.stdout.read()

    async def close(self) -> None:
        await self.inner.close()

    async def __aenter__(self) -> LoopProcess:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


class SyncBox:
    """A Sandbox with the verbs of an AsyncSandbox."""

    def __init__(self, inner: Sandbox) -> None:
        self.inner = inner

    async def run(self, argv: Any, **options: Any) -> Completed:
        return self.inner.run(argv, **options)

    async def spawn(self, argv: Any, **options: Any) -> SyncProcess:
        return SyncProcess(self.inner.spawn(argv, **options))

    async def info(self) -> Any:
        return self.inner.info()

    async def entries(self, logs: Logs) -> list[LogEntry]:
        return list(logs)

    async def disarm(self) -> None:
        self.inner.disarm()

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return self.inner.wait(timeout)

    async def close(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> SyncBox:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


class LoopBox:
    def __init__(self, inner: AsyncSandbox) -> None:
        self.inner = inner

    async def run(self, argv: Any, **options: Any) -> Completed:
        return await self.inner.run(argv, **options)

    async def spawn(self, argv: Any, **options: Any) -> LoopProcess:
        return LoopProcess(await self.inner.spawn(argv, **options))

    async def info(self) -> Any:
        return await self.inner.info()

    async def entries(self, logs: AsyncLogs) -> list[LogEntry]:
        return [entry async for entry in logs]

    async def disarm(self) -> None:
        await self.inner.disarm()

    async def wait(self, timeout: Optional[float] = None) -> Outcome:
        return await self.inner.wait(timeout)

    async def close(self) -> None:
        await self.inner.close()

    async def __aenter__(self) -> LoopBox:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


class SyncPool:
    """A Pool with the verbs of an AsyncPool."""

    def __init__(self, inner: Pool) -> None:
        self.inner = inner

    async def take(self, **options: Any) -> SyncBox:
        return SyncBox(self.inner.take(**options))

    async def close(self) -> None:
        self.inner.close()

    async def __aenter__(self) -> SyncPool:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


class LoopPool:
    def __init__(self, inner: AsyncPool) -> None:
        self.inner = inner

    async def take(self, **options: Any) -> LoopBox:
        return LoopBox(await self.inner.take(**options))

    async def close(self) -> None:
        await self.inner.close()

    async def __aenter__(self) -> LoopPool:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


class SyncApi:
    async def drive(self, steps: Steps[Any]) -> Any:
        return run(steps)

    async def create(self, **options: Any) -> Any:
        return SyncBox(Sandbox(**options))

    async def pool(self, **options: Any) -> Any:
        return SyncPool(Pool(**options))

    async def start(self, name: str, **options: Any) -> Any:
        return SyncBox(Sandbox.start(name, **options))

    async def open(self, name: str, **options: Any) -> Any:
        return SyncBox(Sandbox.open(name, **options))


class LoopApi:
    async def drive(self, steps: Steps[Any]) -> Any:
        return await run_async(steps)

    async def create(self, **options: Any) -> Any:
        return LoopBox(await AsyncSandbox.create(**options))

    async def pool(self, **options: Any) -> Any:
        return LoopPool(await AsyncPool.create(**options))

    async def start(self, name: str, **options: Any) -> Any:
        return LoopBox(await AsyncSandbox.start(name, **options))

    async def open(self, name: str, **options: Any) -> Any:
        return LoopBox(await AsyncSandbox.open(name, **options))


Scenario = Callable[[Any, Any], Coroutine[Any, Any, None]]


def _sync_test(scenario: Scenario) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        coroutine = scenario(self, SyncApi())
        try:
            coroutine.send(None)
        except StopIteration:
            return
        finally:
            coroutine.close()
        self.fail("the synchronous world suspended")

    return test


def _loop_test(scenario: Scenario) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        asyncio.run(scenario(self, LoopApi()))

    return test


class TwinCase(LibraryCase):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, scenario in list(vars(cls).items()):
            if name.startswith("scenario_"):
                test = name.replace("scenario_", "test_", 1)
                setattr(cls, f"{test}_sync", _sync_test(scenario))
                setattr(cls, f"{test}_async", _loop_test(scenario))


NOTHING: tuple[list[SandboxEntry], Audit] = ([], Audit(0, []))


def what_exists() -> tuple[list[SandboxEntry], Audit]:
    return list_sandboxes(stopped=True), audit()


class OutlivingCase(TwinCase):
    """Tests of sandboxes that outlive their objects: they end with the test, failed or not."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.assert_nothing_left)
        self.addCleanup(end_all)

    def assert_nothing_left(self) -> None:
        """What somebody else is sweeping just now goes away; a leak stays, and fails after 10 s."""
        end = time.monotonic() + 10
        while (found := what_exists()) != NOTHING and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(found, NOTHING)
