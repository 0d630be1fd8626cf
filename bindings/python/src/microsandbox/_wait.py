"""What steps ask for when they have to wait."""

from __future__ import annotations

import math
import time
from typing import NamedTuple, Optional

_LONGEST_MS = 2**31 - 1


class Wait(NamedTuple):
    """Descriptors, on Windows handles that can be waited for."""

    readers: tuple[int, ...]
    writers: tuple[int, ...] = ()
    deadline: Optional[float] = None  # on the clock of time.monotonic

    def remaining(self) -> Optional[float]:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def remaining_ms(self) -> Optional[int]:
        """As long as one system call can wait; rounded up."""
        remaining = self.remaining()
        return None if remaining is None else min(math.ceil(remaining * 1000), _LONGEST_MS)
