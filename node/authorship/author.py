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
    """Builds blocks for the session keys of this node."""

    def __init__(self, chain: Chain, pool: PoolService, sources: Sequence[InherentSource]) -> None:
        """Takes what `sources` have, and then from `pool`."""
        self._chain = chain
        self._pool = pool
        self._sources = sources

    async def build(
        self,
        parent: Header,
        view: View,
        timestamp_ms: TimestampMs,
        *,
        author: PublicKey,
        is_empty: bool = False,
    ) -> Block:
        """A new executed block on an executed parent; without extrinsics if `is_empty`.

        `author`: the session key that the header names.
        Raises InvalidBlock if there can be none, Unable if this node cannot build now.
        """
        included = self._chain.unfinalized_extrinsics(block_hash(parent))
        candidates = () if is_empty else self._pool.core.best(BODY_BYTES_MAX, included)
        plan = Plan(
            parent=parent,
            view=view,
            timestamp_ms=timestamp_ms,
            author=author,
            inherents=self._inherents,
            candidates=candidates,
        )
        return await self._chain.build(plan)

    def _inherents(self, state: StateView) -> Sequence[Call]:
        return [call for source in self._sources for call in source.inherents(state)]


Clock = Callable[[], TimestampMs]
"""The wall clock of the machine, in milliseconds since the Unix epoch."""
