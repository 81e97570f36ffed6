"""A leader that proposes twice: `python -m tests.chaos.byzantine.equivocator node run ...`, like `consil`.

In each view that it leads it builds two valid blocks on the same parent, and proposes each to half of the
others, with its vote.
"""

from dataclasses import replace
from typing import Any

from node.consensus.interface import Build, Built
from node.consensus.messages import Message, Propose
from primitives.block import Block, block_hash
from primitives.types import BlockHash, TimestampMs
from primitives.vote import VoteKind
from tests.chaos.byzantine.two_faced import TwoFaced, run


class Equivocator(TwoFaced):
    """Proposes two blocks in each of its views."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._twins: dict[BlockHash, Block] = {}
        """The other block of the view, by the first one's hash."""

    async def _build(self, action: Build) -> None:
        block = await self._host.build(action)
        later = TimestampMs(action.timestamp_ms + 1)
        twin = await self._host.build(replace(action, timestamp_ms=later))
        if block is not None and twin is not None:
            self._twins = {block_hash(block.header): twin}
        await self._send_input.send(Built(self._clock(), action.epoch, action.view, block))

    def _other_word(self, message: Message) -> Message | None:
        if not isinstance(message, Propose):
            return None
        twin = self._twins.get(block_hash(message.block.header))
        if twin is None:
            return None
        vote = self._sign(VoteKind.NOTARIZE, message.view, block_hash(twin.header))
        return Propose(message.epoch, message.view, twin, vote, message.certs)


if __name__ == "__main__":
    run(Equivocator)
