"""`with` and `async with` for what is closed at the end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from typing_extensions import Self


class Closing:
    def close(self) -> None:
        raise NotImplementedError

    def _leave(self) -> None:
        """At the end of the block."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._leave()


class AsyncClosing:
    async def close(self) -> None:
        raise NotImplementedError

    async def _leave(self) -> None:
        """At the end of the block."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self._leave()
