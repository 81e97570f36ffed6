"""The `instant` engine, for development: one authority, a block as soon as there is something to put in it.

Nobody votes, but each block gets the certificate that its one authority can make, so that finality proofs and
light clients work as on any other chain. A certificate is seen by nobody before its block is committed, so
that a crash in between takes nothing back.
"""

import logging
from collections.abc import Callable

import trio

from node.consensus.engine import ConsensusHost
from node.consensus.interface import Build, Key, Position
from node.consensus.service import wall_clock_ms
from primitives.block import Block, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.committee import Committee
from primitives.types import AuthorityIndex, TimestampMs, View
from primitives.vote import Vote, VoteKind, vote_message

_log = logging.getLogger(__name__)


class InstantEngine:
    """Seals a block for each arrival of transactions, and one in every interval without."""

    def __init__(
        self,
        host: ConsensusHost,
        key_for: Callable[[Committee], Key | None],
        arrivals: trio.MemoryReceiveChannel[None],
        *,
        interval_ms: int | None,
        clock: Callable[[], TimestampMs] = wall_clock_ms,
    ) -> None:
        """`key_for` has the key of a committee of one; `arrivals`: something came into the pool.

        `interval_ms`: longest time without a block; None: any.
        """
        self._host = host
        self._key_for = key_for
        self._arrivals = arrivals
        self._interval_s = float("inf") if interval_ms is None else interval_ms / 1000
        self._clock = clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Seal blocks until cancelled."""
        task_status.started()
        while True:
            with trio.move_on_after(self._interval_s):
                await self._arrivals.receive()
            await self._seal()

    async def advance(self) -> None:
        """Every block is built from the host's position: nothing to do."""
        await trio.lowlevel.checkpoint()

    async def disagree(self, certificate: Certificate) -> None:
        """There is nobody to disagree with."""
        await trio.lowlevel.checkpoint()

    async def _seal(self) -> None:
        position = await self._host.position()
        key = self._key_for(position.epoch.committee)
        if key is None:
            _log.error("the author of epoch %d has another key than this node", position.epoch.index)
            return
        tip, epoch = position.tip, position.epoch
        view = View(tip.view + 1 if tip.epoch == epoch.index else 1)
        timestamp_ms = TimestampMs(max(self._clock(), tip.timestamp_ms + epoch.settings.block_time_ms))
        block = await self._host.build(Build(epoch.index, view, tip, timestamp_ms, is_empty=False))
        if block is not None:
            await self._host.commit((block,), _certify(position, block, key))


def _certify(position: Position, block: Block, key: Key) -> Certificate:
    """The finalization by the only member. Raises AssertionError if the committee has others."""
    epoch, header, name = position.epoch, block.header, block_hash(block.header)
    assert [member.key for member in epoch.committee.members] == [key.public_key]
    message = vote_message(epoch.anchor_hash, VoteKind.FINALIZE, epoch.index, header.view, name)
    vote = Vote(VoteKind.FINALIZE, epoch.index, header.view, name, AuthorityIndex(0), key.sign(message))
    return certificate_of([vote])
