"""spawn(): streams, signals, waits, given descriptors."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from microsandbox import DEVNULL, PIPE, Cause, ClosedError, DoneError, TimedOutError
from support import PATIENCE
from twins import TwinCase

ECHO = ["sh", "-c", 'while read -r line; do echo "got $line"; done; echo end']
TRAP = ["sh", "-c", 'trap "echo usr1; exit 5" USR1; echo ready; while :; do sleep 0.05; done']


class SpawnTest(TwinCase):
    async def scenario_conversation(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(ECHO, stdin=PIPE, stdout=PIPE) as process:
                for word in (b"one", b"two \xff"):
                    await process.write(word + b"\n")
                    self.assertEqual(await process.line(), b"got " + word + b"\n")
                self.assertIsNone(process.inner.poll())
                await process.write(b"three\n", close=True)
                self.assertEqual(await process.rest(), b"got three\nend\n")
                outcome = await process.wait(PATIENCE)
                self.assertEqual((outcome.cause, outcome.exit_code), (Cause.EXITED, 0))
                self.assertEqual(await process.wait(0), outcome)
                self.assertEqual(process.inner.poll(), outcome)

    async def scenario_signal(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(TRAP, stdout=PIPE) as process:
                self.assertEqual(await process.line(), b"ready\n")
                process.inner.send_signal(10)
                self.assertEqual(await process.line(), b"usr1\n")
                self.assertEqual((await process.wait(PATIENCE)).exit_code, 5)
                for late in (process.inner.kill, process.inner.terminate):
                    with self.assertRaises(DoneError) as caught:
                        late()
                    self.assertIsInstance(caught.exception, ProcessLookupError)

    async def scenario_kill_and_bad_signals(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(["sleep", "1000"]) as process:
                for signo in (0, -1, 65):
                    with self.assertRaises(ValueError):
                        process.inner.send_signal(signo)
                process.inner.kill()
                outcome = await process.wait(PATIENCE)
                self.assertEqual((outcome.cause, outcome.signal), (Cause.SIGNALED, 9))

    async def scenario_wait_timeout(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(["sleep", "1000"]) as process:
                for timeout in (0, 0.05, -1):
                    with self.assertRaises(TimedOutError):
                        await process.wait(timeout)
                self.assertIsNone(process.inner.poll())

    async def scenario_block_ends_program(self, api: Any) -> None:
        async with await api.create() as box:
            async with await box.spawn(["cat"], stdin=PIPE, stdout=PIPE) as process:
                self.assertEqual((await box.info()).programs, 1)
            self.assertEqual((await box.info()).programs, 0)
            with self.assertRaises(ClosedError):
                process.inner.poll()

    async def scenario_close_leaves_program(self, api: Any) -> None:
        async with await api.create() as box:
            process = await box.spawn(["sleep", "1000"])
            await process.close()
            await process.close()
            self.assertEqual((await box.info()).programs, 1)
            with self.assertRaises(ValueError):
                process.inner.send_signal(9)

    async def scenario_given_descriptor(self, api: Any) -> None:
        async with await api.create() as box:
            with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as source:
                source.write(b"from a file")
                source.flush()
                source.seek(0)
                before = [os.get_blocking(file.fileno()) for file in (out, source)]
                process = await box.spawn(["cat"], stdin=source.fileno(), stdout=out)
                async with process:
                    self.assertIsNone(process.inner.stdout)
                    self.assertTrue((await process.wait(PATIENCE)).ok)
                out.seek(0)
                self.assertEqual(out.read(), b"from a file")
                after = [os.get_blocking(file.fileno()) for file in (out, source)]
                self.assertEqual(after, before)

    async def scenario_given_pipe(self, api: Any) -> None:
        async with await api.create() as box:
            reader, writer = os.pipe()
            try:
                process = await box.spawn(["echo", "piped"], stdout=writer)
                os.close(writer)
                writer = -1
                async with process:
                    await process.wait(PATIENCE)
                self.assertEqual(os.read(reader, 100), b"piped\n")
                self.assertTrue(os.get_blocking(reader))
            finally:
                os.close(reader)
                if writer >= 0:
                    os.close(writer)

    async def scenario_bad_stdio(self, api: Any) -> None:
        async with await api.create() as box:
            for bad in ("pipes", -1, -3):
                with self.assertRaises(ValueError):
                    await box.spawn(["true"], stdout=bad)
            reader, writer = os.pipe()
            os.close(reader)
            os.close(writer)
            with self.assertRaises(OSError):
                await box.spawn(["true"], stdout=writer)
            async with await box.spawn(["true"], stdout=DEVNULL) as process:
                self.assertTrue((await process.wait(PATIENCE)).ok)

    async def scenario_unread_output_and_input(self, api: Any) -> None:
        async with await api.create() as box:
            options = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
            async with await box.spawn(["yes"], **options) as process:
                self.assertEqual(await process.line(), b"y\n")
            async with await box.spawn(["true"], **options) as process:
                self.assertTrue((await process.wait(PATIENCE)).ok)

    async def scenario_close_with_input_that_nobody_takes(self, api: Any) -> None:
        async with await api.create() as box:
            # The child keeps the pipe open after the program has been killed.
            script = "sleep 1000 <&0 & echo ready; exec sleep 1000"
            process = await box.spawn(["sh", "-c", script], stdin=PIPE, stdout=PIPE)
            async with process:
                self.assertEqual(await process.line(), b"ready\n")
                stdin: Any = process.inner.stdin
                if hasattr(stdin, "fileno"):
                    os.set_blocking(stdin.fileno(), False)
                    try:
                        while stdin.write(b"x" * 4096):
                            pass
                    except BlockingIOError:
                        pass
                else:
                    stdin.write(b"x" * (1 << 20))
