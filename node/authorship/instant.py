"""The instant engine of a development chain: one author, no votes, a block as soon as one is needed.

A block is final when it is made. Without certificates nobody else can follow such a chain.
"""

import logging
from typing import Final

import trio

from frame.error import InvalidBlock, Unable
from node.authorship.author import Author, Clock
from node.chain import Chain
from node.pool.service import PoolService
from primitives.types import TimestampMs, View

IDLE_S: Final = 1.0
"""Time between blocks when nothing happens, so that what waits for a height gets there."""

_ONLY_VIEW: Final = View(1)
"""No attempt fails, so that every block is made in its first."""

_log = logging.getLogger(__name__)


class InstantEngine:
    """Implements `node.engine.ConsensusEngine`."""

    def __init__(
        self, chain: Chain, pool: PoolService, author: Author, clock: Clock, block_time_ms: int
    ) -> None:
        """`block_time_ms` is the least time between two blocks, a rule of the chain."""
        self._chain = chain
        self._pool = pool
        self._author = author
        self._clock = clock
        self._block_time_ms = block_time_ms

    async def run(self) -> None:
        """Make blocks until cancelled."""
        arrivals = 0
        while True:
            with trio.move_on_after(IDLE_S):
                if self._pool.stats().ready == 0:
                    arrivals = await self._pool.wait_for_arrival(arrivals)
            await self._make_block()

    async def _make_block(self) -> None:
        parent = self._chain.finalized.header
        earliest_ms = parent.timestamp_ms + self._block_time_ms
        await trio.sleep(max(0, earliest_ms - self._clock()) / 1000)
        timestamp_ms = TimestampMs(max(self._clock(), earliest_ms))
        try:
            block = await self._author.build(parent, _ONLY_VIEW, timestamp_ms)
        except (InvalidBlock, Unable) as error:
            _log.error("cannot make block %d: %s", parent.height + 1, error)
            await trio.sleep(IDLE_S)
            return
        await self._chain.commit([block], None)
