"""Samples of what sandboxes use."""

from __future__ import annotations

import os
from typing import Any

from microsandbox import ClosedError, Metrics, NotFoundError, _ffi, metrics
from microsandbox._info import metrics_of
from support import LibraryCase, until
from twins import TwinCase

FAST: dict[str, Any] = {"metrics_interval": 0.05, "memory_bytes": 256 << 20}


def sampled(box: Any) -> bool:
    try:
        return bool(box.inner.metrics().programs)
    except NotFoundError:
        return False


class MetricsTest(TwinCase):
    async def scenario_of_one_and_of_all(self, api: Any) -> None:
        async with await api.create(name="measured é", **FAST) as box:
            async with await box.spawn(["sleep", "1000"]):
                until(lambda: sampled(box), "a sample with a program")
                sample: Metrics = box.inner.metrics()
                self.assertEqual((sample.name, sample.pid), ("measured é", box.inner.pid))
                self.assertEqual((sample.programs, sample.memory_limit), (1, 256 << 20))
                self.assertEqual(sample.overlay_limit, 128 << 20)
                assert sample.uptime and sample.memory_used and sample.memory_peak
                self.assertGreaterEqual(sample.memory_peak, sample.memory_used)
                self.assertGreater(sample.sampled, 1.7e9)
                (listed,) = metrics()
                self.assertEqual((listed.name, listed.pid), (sample.name, sample.pid))
                self.assertGreaterEqual(listed.sampled, sample.sampled)
            self.assertEqual(metrics(os.path.join(self.state, "other")), [])
        self.assertEqual(metrics(), [])
        with self.assertRaises(ClosedError):
            box.inner.metrics()

    async def scenario_not_wanted(self, api: Any) -> None:
        async with await api.create(metrics_interval=0) as box:
            self.assertTrue((await box.run(["true"])).ok)
            with self.assertRaises(NotFoundError):
                box.inner.metrics()
            self.assertEqual(metrics(), [])


class KnownTest(LibraryCase):
    def test_only_what_has_its_flag_is_known(self) -> None:
        table: list[tuple[int, str, str, Any]] = [
            (0x001, "cpu_time_ns", "cpu_time", 2e-9),
            (0x002, "cpu_permille", "cpu_usage", 0.002),
            (0x004, "memory_used_bytes", "memory_used", 2),
            (0x008, "memory_peak_bytes", "memory_peak", 2),
            (0x010, "overlay_used_bytes", "overlay_used", 2),
            (0x020, "disk_read_bytes", "disk_read", 2),
            (0x040, "disk_written_bytes", "disk_written", 2),
            (0x080, "net_received_bytes", "net_received", 2),
            (0x100, "net_sent_bytes", "net_sent", 2),
            (0x200, "programs", "programs", 2),
            (0x400, "uptime_ns", "uptime", 2e-9),
        ]
        for flag, field, name, value in table:
            with self.subTest(field):
                raw = _ffi.Metrics(name=b"a", known=flag, **{field: 2})
                self.assertEqual(metrics_of(raw), Metrics("a", 0, 0, **{name: value}))
                raw = _ffi.Metrics(name=b"a", known=0x7FF & ~flag, **{field: 2})
                self.assertIsNone(getattr(metrics_of(raw), name))
