"""The author of blocks: takes inherents and the best of the pool, and has the chain execute them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from frame.state import StateView
from node.chain import Chain, Plan
from node.pool.service import PoolService
from primitives.block import BODY_BYTES_MAX, Block, Header, block_hash
from primitives.extrinsic import Call
from primitives.types import PublicKey, TimestampMs, View


class InherentSource(Protocol):
    """Who has calls without a signer to put into blocks."""

    def inherents(self, state: StateView) -> Sequence[Call]:
        """What would be valid on `state`, best first; runs in a worker thread."""
        ...


class Author:
    """Builds blocks for one session key."""

    def __init__(
        self, chain: Chain, pool: PoolService, key: PublicKey, sources: Sequence[InherentSource]
    ) -> None:
        """`key` is what headers name as the author."""
        self._chain = chain
        self._pool = pool
        self._key = key
        self._sources = sources

    async def build(
        self, parent: Header, view: View, timestamp_ms: TimestampMs, *, is_empty: bool = False
    ) -> Block:
        """A new executed block on an executed parent; without extrinsics if `is_empty`.

        Raises InvalidBlock if there can be none, Unable if this node cannot build now.
        """
        included = self._chain.unfinalized_extrinsics(block_hash(parent))
        candidates = () if is_empty else self._pool.core.best(BODY_BYTES_MAX, included)
        plan = Plan(
            parent=parent,
            view=view,
            timestamp_ms=timestamp_ms,
            author=self._key,
            inherents=self._inherents,
            candidates=candidates,
        )
        return await self._chain.build(plan)

    def _inherents(self, state: StateView) -> Sequence[Call]:
        return [call for source in self._sources for call in source.inherents(state)]


Clock = Callable[[], TimestampMs]
"""The wall clock of the machine, in milliseconds since the Unix epoch."""
