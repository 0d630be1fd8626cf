"""What steps ask for when they have to wait."""

from __future__ import annotations

import time
from typing import NamedTuple, Optional

LONGEST_POLL_MS = 2**31 - 1


class Wait(NamedTuple):
    """Descriptors, on Windows handles that can be waited for."""

    readers: tuple[int, ...]
    writers: tuple[int, ...] = ()
    deadline: Optional[float] = None  # on the clock of time.monotonic

    def remaining(self) -> Optional[float]:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
