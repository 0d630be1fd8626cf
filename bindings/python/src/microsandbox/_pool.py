"""Pool and AsyncPool: sandboxes that are booted ahead."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from . import _arguments, _ffi, _steps
from ._async import AsyncSandbox
from ._base import take
from ._closing import AsyncClosing, Closing
from ._handle import Handle
from ._info import last_error_of, pool_info_of
from ._steps import Steps
from ._sync import Sandbox
from .types import PoolInfo, PoolOptions, TakeOptions

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


def _fill(arguments: _ffi.PoolArguments) -> Steps[Handle]:
    """Makes a pool and waits until it is full; when a boot fails, nothing is left."""
    handle = Handle(_ffi.pool_create(arguments), "pool", ends=True)
    try:
        yield from handle.until(_ffi.EVENT_READY)
        info = _ffi.pool_info(handle.raw())
        failure = last_error_of(info) if info.flags & _ffi.POOL_UNFILLED else None
        if failure is not None:
            raise failure
    except GeneratorExit:
        handle.release()
        raise
    except BaseException:
        yield from handle.close()
        raise
    return handle


class PoolBase:
    """Everything about a pool that does not wait."""

    _handle: Handle
    _arguments: _ffi.PoolArguments

    def _hold(self, handle: Handle) -> None:
        self._handle = handle
        weakref.finalize(self, handle.abandon)

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def info(self) -> PoolInfo:
        """What the pool has and has done."""
        return pool_info_of(_ffi.pool_info(self._handle.raw()))

    def resize(self, size: int) -> None:
        """Sets how many sandboxes to have ready; what that means is done in the background."""
        _ffi.pool_resize(self._handle.raw(), _arguments.count(size, "size"))

    def _take(self, options: TakeOptions) -> Steps[Handle]:
        return take(self._handle, _arguments.take(**options))


class Pool(PoolBase, Closing):
    """Keeps sandboxes booted for whoever takes one; full once this call returns.

    Leaving its `with` block, as close(), ends those that nobody has taken and
    waits until nothing of them is left. See PoolOptions for the arguments.
    """

    def __init__(self, **options: Unpack[PoolOptions]) -> None:
        self._arguments = _arguments.pool(**options)
        self._hold(_steps.run(_fill(self._arguments)))

    def take(self, **options: Unpack[TakeOptions]) -> Sandbox:
        """A sandbox of one's own: at once when one is ready, else when one has booted.

        It is like any other from now on, outlives the pool, and is not given back.
        See TakeOptions for the arguments.
        """
        handle = _steps.run(self._take(options))
        return Sandbox.taken(handle, self._arguments.sandbox.state_dir)

    def close(self) -> None:
        """Ends what nobody has taken and waits until nothing of it is left."""
        _steps.run(self._handle.close())


class AsyncPool(PoolBase, AsyncClosing):
    """Pool for asyncio: `async with AsyncPool() as pool`, or create()."""

    def __init__(self, **options: Unpack[PoolOptions]) -> None:
        self._arguments = _arguments.pool(**options)
        self._handle = Handle(0, "pool")  # closed until it is filled
        self._entered = False

    @classmethod
    async def create(cls, **options: Unpack[PoolOptions]) -> Self:
        return await cls(**options).__aenter__()

    async def take(self, **options: Unpack[TakeOptions]) -> AsyncSandbox:
        """As Pool.take. When it is cancelled, nothing is taken."""
        handle = await _steps.run_async(self._take(options))
        return AsyncSandbox.taken(handle, self._arguments.sandbox.state_dir)

    async def close(self) -> None:
        """Ends what nobody has taken and waits until nothing of it is left."""
        await _steps.run_async(self._handle.close())

    async def __aenter__(self) -> Self:
        if not self._entered:
            self._entered = True
            self._hold(await _steps.run_async(_fill(self._arguments)))
        return self
