"""Sandboxes that are booted ahead."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from typing import Any

from microsandbox import (
    AsyncPool,
    Audit,
    Cause,
    ClosedError,
    ExistsError,
    HandleError,
    InvalidError,
    NotFoundError,
    Pool,
    PoolInfo,
    Root,
    Sandbox,
    TimedOutError,
    _arguments,
    _base,
    _ffi,
    audit,
    list_sandboxes,
)
from microsandbox._steps import Steps, Wait
from support import DETACHED, PATIENCE, LibraryCase, open_fds, until
from twins import OutlivingCase


def interrupted(steps: Steps[Any]) -> Steps[Any]:
    """The steps, with Ctrl-C in their first wait."""
    next(steps)
    wait: Wait = steps.throw(KeyboardInterrupt())
    while True:
        wait = steps.send((yield wait))


class PoolTest(OutlivingCase):
    async def scenario_take_run_close(self, api: Any) -> None:
        async with await api.pool(labels={"pool": "1"}) as pool:
            self.assertEqual(list_sandboxes(), [])
            (waiting,) = list_sandboxes(pooled=True)
            self.assertTrue(waiting.pooled)
            async with await pool.take(name="tenant", labels={"a": "b"}) as box:
                self.assertEqual(box.inner.name, "tenant")
                self.assertEqual((await box.run(["echo", "hi"])).check().text, "hi\n")
                (entry,) = list_sandboxes()
                self.assertEqual((entry.name, entry.pooled), ("tenant", False))
                self.assertEqual(entry.labels, {"pool": "1", "a": "b"})
                self.assertEqual(entry.pid, box.inner.pid)
                self.assertNotEqual(entry.name, waiting.name)
                info: PoolInfo = pool.inner.info()
                self.assertEqual((info.size, info.taken, info.taken_at_once), (1, 1, 1))
                self.assertIsNone(info.last_error)
            until(lambda: pool.inner.info().ready == 1, "the next one")
        self.assertTrue(pool.inner.closed)
        self.assertEqual(audit(), Audit(0, []))

    async def scenario_taken_one_outlives_its_pool(self, api: Any) -> None:
        async with await api.pool() as pool:
            box = await pool.take(name="free", **DETACHED)
        self.assertEqual((await box.run(["echo", "still"])).text, "still\n")
        await box.close()
        self.assertEqual([entry.name for entry in list_sandboxes()], ["free"])

    async def scenario_times_of_the_take(self, api: Any) -> None:
        async with await api.pool(max_duration=0.3) as pool:
            async with await pool.take() as box:
                self.assertEqual((await box.wait(PATIENCE)).cause, Cause.MAX_DURATION)
            async with await pool.take(max_duration=0, idle_timeout=0.2) as box:
                self.assertEqual((await box.wait(PATIENCE)).cause, Cause.IDLE_TIMEOUT)

    async def scenario_names(self, api: Any) -> None:
        async with await api.create(name="one"), await api.pool() as pool:
            with self.assertRaises(ExistsError):
                await pool.take(name="one")
            self.assertEqual(pool.inner.info().ready, 1, "it went back")
            async with await pool.take(name="one", replace=True, replace_grace=0) as box:
                self.assertTrue((await box.run(["true"])).ok)

    async def scenario_refused(self, api: Any) -> None:
        for wrong in ({"name": "a"}, {"stored": True, "name": "a"}, {"detached": True}, {"size": 1025}):
            with self.assertRaises(InvalidError):
                await api.pool(**wrong)
        with self.assertRaises(ValueError):
            await api.pool(size=-1)
        with self.assertRaises(NotFoundError):
            await api.pool(root=Root.erofs("/nonexistent"))
        self.assertEqual(audit(), Audit(0, []))

    async def scenario_waiting_ends(self, api: Any) -> None:
        async with await api.pool(max_sandboxes=1) as pool, await pool.take():
            with self.assertRaises(TimedOutError):
                await pool.take(timeout=0.05)
            arguments = _arguments.take()
            with self.assertRaises(KeyboardInterrupt):
                await api.drive(interrupted(_base.take(pool.inner._handle, arguments)))
            until(lambda: pool.inner.info().waiting == 0, "nobody waits")
        with self.assertRaises(ClosedError):
            await pool.take()
        await pool.close()

    async def scenario_resize_and_shrink(self, api: Any) -> None:
        async with await api.pool(idle_shrink=0.3) as pool:
            pool.inner.resize(2)
            until(lambda: pool.inner.info().shrunken, "nobody came")
            self.assertEqual(pool.inner.info().ready, 0)
            async with await pool.take() as box:
                self.assertTrue((await box.run(["true"])).ok)


class PoolInThreadsTest(LibraryCase):
    def test_threads_take(self) -> None:
        results: list[bool] = []

        def tenant(pool: Pool) -> None:
            with pool.take() as box:
                results.append(box.run(["mkdir", "/tmp/mine"]).ok)

        with Pool(size=2, max_sandboxes=6) as pool:
            threads = [threading.Thread(target=tenant, args=(pool,)) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(results, [True] * 12)

    def test_tasks_take_and_are_cancelled(self) -> None:
        async def main() -> None:
            async with AsyncPool(size=1, max_sandboxes=1) as pool:
                box = await pool.take()
                waiting = [asyncio.create_task(pool.take()) for _ in range(4)]
                until_loop = asyncio.get_running_loop().time() + PATIENCE
                while pool.info().waiting < 4:
                    self.assertLess(asyncio.get_running_loop().time(), until_loop)
                    await asyncio.sleep(0.01)
                for task in waiting[:3]:
                    task.cancel()
                await asyncio.wait(waiting[:3])
                await box.close()
                async with await waiting[3] as last:
                    self.assertTrue((await last.run(["true"])).ok)

        asyncio.run(main())
        self.assertEqual(audit(), Audit(0, []))

    def test_nothing_is_left_in_this_process(self) -> None:
        with Sandbox():
            pass  # what the library keeps for good
        before = open_fds()
        for _ in range(3):
            with Pool() as pool, pool.take() as box:
                box.run(["true"])
        until(lambda: len(open_fds()) <= len(before), "descriptors are closed")

    def test_forgotten_pool_is_closed_with_a_warning(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pool = Pool()
            del pool
            gc.collect()
        self.assertIn("unclosed pool", [str(w.message) for w in caught])
        until(lambda: list_sandboxes(pooled=True) == [], "nothing waits")

    def test_a_pool_is_no_sandbox(self) -> None:
        handle = _ffi.pool_create(_arguments.pool())
        with self.assertRaises(HandleError):
            _ffi.kill(handle, 9)
        _ffi.close(handle)
        until(lambda: audit() == Audit(0, []), "nothing is left")
