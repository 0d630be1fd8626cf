"""Many at once: tasks, threads, cancellation."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from microsandbox import PIPE, AsyncSandbox, MicrosandboxError, Sandbox, list_sandboxes
from support import PATIENCE, LibraryCase

BOXES = 4
PROGRAMS = 24


class TaskTest(LibraryCase):
    def test_many_sandboxes(self) -> None:
        async def one(number: int) -> bytes:
            async with AsyncSandbox() as box:
                return (await box.run(["echo", str(number)])).stdout

        async def main() -> list[bytes]:
            return list(await asyncio.gather(*(one(number) for number in range(BOXES))))

        self.assertEqual(asyncio.run(main()), [b"%d\n" % number for number in range(BOXES)])
        self.assertEqual(list_sandboxes(), [])

    def test_many_programs(self) -> None:
        async def main() -> None:
            async with AsyncSandbox() as box:

                async def talk(number: int) -> None:
                    async with await box.spawn(["cat"], stdin=PIPE, stdout=PIPE) as process:
                        assert process.stdin and process.stdout
                        for round in range(5):
                            word = b"%d %d\n" % (number, round)
                            process.stdin.write(word)
                            self.assertEqual(await process.stdout.readline(), word)

                async def run(number: int) -> None:
                    data = b"%d\n" % number * 20000
                    self.assertEqual((await box.run(["cat"], input=data)).stdout, data)

                half = PROGRAMS // 2
                await asyncio.gather(*map(talk, range(half)), *map(run, range(half)))

        asyncio.run(main())

    def test_cancelled_run_kills(self) -> None:
        async def main() -> None:
            async with AsyncSandbox() as box:
                async with await box.spawn(["cat"], stdin=PIPE, stdout=PIPE):
                    task = asyncio.create_task(box.run(["sleep", "1000"]))
                    while (await box.info()).programs < 2:
                        await asyncio.sleep(0.01)
                    task.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await task
                    self.assertEqual((await box.info()).programs, 1)

        asyncio.run(main())

    def test_cancelled_wait_leaves_program(self) -> None:
        async def main() -> None:
            async with AsyncSandbox() as box:
                async with await box.spawn(["sleep", "1000"]) as process:
                    waits = [asyncio.create_task(process.wait()) for _ in range(3)]
                    await asyncio.sleep(0)
                    waits[0].cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await waits[0]
                    self.assertIsNone(process.poll())
                    process.kill()
                    outcomes = await asyncio.wait_for(asyncio.gather(*waits[1:]), PATIENCE)
                    self.assertEqual({outcome.signal for outcome in outcomes}, {9})

        asyncio.run(main())

    def test_cancelled_create_leaves_nothing(self) -> None:
        async def main() -> None:
            for _ in range(3):
                task = asyncio.create_task(AsyncSandbox.create(name="cancelled"))
                await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual(list_sandboxes(), [])

        asyncio.run(main())

    def test_the_loop_goes_on(self) -> None:
        async def main() -> int:
            beats = 0

            async def heart() -> None:
                nonlocal beats
                while True:
                    beats += 1
                    await asyncio.sleep(0.01)

            task = asyncio.create_task(heart())
            async with AsyncSandbox() as box:
                await box.run(["sleep", "1"])
            task.cancel()
            return beats

        self.assertGreater(asyncio.run(main()), 10)


class ThreadTest(LibraryCase):
    def test_threads_share_a_sandbox(self) -> None:
        failures: list[BaseException] = []

        def work(box: Sandbox, number: int) -> None:
            try:
                for _ in range(3):
                    data = b"%d" % number * 50000
                    assert box.run(["cat"], input=data).stdout == data
            except BaseException as error:
                failures.append(error)

        with Sandbox() as box:
            threads = [threading.Thread(target=work, args=(box, n)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])

    def test_kill_while_another_thread_waits_and_reads(self) -> None:
        results: list[Any] = []
        with Sandbox() as box, box.spawn(["cat"], stdin=PIPE, stdout=PIPE) as process:
            stdout = process.stdout
            assert stdout
            reader = threading.Thread(target=lambda: results.append(stdout.read()))
            waiter = threading.Thread(target=lambda: results.append(process.wait().signal))
            for thread in (reader, waiter):
                thread.start()
            process.kill()
            for thread in (reader, waiter):
                thread.join(PATIENCE)
        self.assertCountEqual(results, [b"", 9])

    def test_close_from_many_threads(self) -> None:
        errors: list[BaseException] = []
        box = Sandbox()

        def work() -> None:
            try:
                for _ in range(50):
                    box.run(["true"])
            except (ValueError, MicrosandboxError):
                pass
            except BaseException as error:
                errors.append(error)

        workers = [threading.Thread(target=work) for _ in range(4)]
        closers = [threading.Thread(target=box.close) for _ in range(4)]
        for thread in workers + closers:
            thread.start()
        for thread in workers + closers:
            thread.join(PATIENCE)
        self.assertEqual(errors, [])
        self.assertFalse(any(thread.is_alive() for thread in workers + closers))
