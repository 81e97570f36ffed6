"""Keeps the files of the models that blocks run: fetched as soon as one is deployed, pinned for ever.

A node that joined by a snapshot, or is behind, may need one before it has it; it cannot go on then, and asks
again until somebody gives it.
"""

import logging
from collections.abc import AsyncIterable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import trio

from frame.state import StateView
from node.blobs.messages import BlobId
from node.blobs.store import BlobError
from node.instant.host import BlockHost
from pallets.instant.types import MODEL_BYTES_MAX
from primitives.block import Block
from primitives.types import Hash
from runtime.pinned import PinnedModel

T = TypeVar("T")

RETRY_S: Final = 1.0
"""A chain that stands still for want of a file waits so long before it asks again."""

_log = logging.getLogger(__name__)


class Chain(Protocol):
    """What is asked of the chain."""

    async def query(self, question: Callable[[StateView], T], /) -> T:
        """What `question` finds in the finalized state, in a worker thread."""
        ...


class Blobs(Protocol):
    """Who gives files."""

    async def get(self, blob: BlobId, /, *, pinned: bool, bytes_max: int) -> bytes:
        """Raises BlobError."""
        ...


class InstantService:
    """Gives the host of blocks what it needs."""

    def __init__(
        self,
        chain: Chain,
        blobs: Blobs,
        host: BlockHost,
        pinned: Callable[[StateView], Sequence[PinnedModel]],
        finalized: AsyncIterable[Block],
    ) -> None:
        """`finalized`: every block from now on as it becomes final."""
        self._chain = chain
        self._blobs = blobs
        self._host = host
        self._pinned = pinned
        self._finalized = finalized
        self._news, self._changed = trio.open_memory_channel[None](1)

    async def run(self) -> None:
        """Serve until cancelled; ends the worker."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                while True:
                    await self._fetch()
                    with trio.move_on_after(RETRY_S):
                        await self._changed.receive()
        finally:
            self._host.close()

    async def _follow(self) -> None:
        """Look again after every block, without ever holding up the chain."""
        async for _ in self._finalized:
            try:
                self._news.send_nowait(None)
            except trio.WouldBlock:
                continue

    async def _fetch(self) -> None:
        """Everything that blocks may run now, and what one needed before that was known."""
        for model in await self._chain.query(self._pinned):
            if not self._host.has(model.blob) and await self._get(model.blob, model.size_bytes):
                await trio.to_thread.run_sync(
                    self._host.warm, model.blob, model.certificate, abandon_on_cancel=True
                )
        for blob in self._host.missing():
            await self._get(blob, MODEL_BYTES_MAX)

    async def _get(self, blob: Hash, bytes_max: int) -> bool:
        """Whether the file is here now."""
        try:
            data = await self._blobs.get(BlobId(blob), pinned=True, bytes_max=bytes_max)
        except BlobError as error:
            _log.warning("a model that blocks run cannot be had yet: %s", error)
            return False
        self._host.give(blob, data)
        return True
