"""Limits of a sandbox as a whole, of a program's output, and how an outcome names them."""

from __future__ import annotations

from typing import Any

from microsandbox import Cause, LimitHit
from twins import TwinCase

MANY = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; :"


class ResourcesTest(TwinCase):
    async def scenario_sandbox(self, api: Any) -> None:
        async with await api.create(max_processes=8, max_open_files=100, cpu_time_limit=60) as box:
            info = await box.info()
            self.assertEqual((info.max_processes, info.max_open_files, info.cpu_time_limit), (8, 100, 60.0))
            self.assertEqual((info.cpus, info.cpu_weight), (None, None))
            self.assertIn("8 processes", info.receipt["limits"])
            done = await box.run(["sh", "-c", "ulimit -Hn"])
            self.assertEqual((done.text, done.limits_hit), ("100\n", LimitHit(0)))
            done = await box.run(["sh", "-c", f"({MANY}) >/dev/null 2>&1"])
            self.assertEqual(done.limits_hit, LimitHit.PROCESSES)

    async def scenario_output(self, api: Any) -> None:
        async with await api.create() as box:
            done = await box.run(["sh", "-c", "yes; :"], output_limit=5000)
            self.assertEqual((done.cause, done.limits_hit), (Cause.OUTPUT_LIMIT, LimitHit.OUTPUT))
            self.assertEqual(len(done.stdout), 5000)
            self.assertFalse(done.ok)

    async def scenario_processor_time(self, api: Any) -> None:
        async with await api.create(cpu_time_limit=0.3) as box:
            done = await box.run(["sh", "-c", "while :; do :; done"])
            self.assertEqual((done.cause, done.limits_hit), (Cause.CPU_TIME, LimitHit.CPU_TIME))
            self.assertEqual((await box.wait()).cause, Cause.CPU_TIME)

    async def scenario_wrong(self, api: Any) -> None:
        for options in (
            {"cpus": 0}, {"cpus": -1}, {"cpus": float("nan")}, {"cpu_weight": -1}, {"cpu_time_limit": 0},
            {"max_processes": -1}, {"max_open_files": 2**32},
        ):  # fmt: skip
            with self.subTest(str(options)), self.assertRaises(ValueError):
                await api.create(**options)
        async with await api.create() as box:
            with self.assertRaises(ValueError):
                await box.run(["true"], output_limit=-1)
