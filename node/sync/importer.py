"""Finalized blocks of others: proved to be final, executed, and committed, several runs at a time.

Proving needs nothing but the committee, so that it goes on beside the execution of earlier blocks.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import trio

from frame.error import InvalidBlock
from node.chain import Chain
from node.sync.messages import Run
from primitives.block import Block, block_hash
from primitives.certificate import Certificate
from primitives.finality import FinalityProof, Trusted, verify_finality
from primitives.types import BlockNumber

COMMIT_BLOCKS: Final = 32
"""Blocks that share one write to the disk, and about as many layers of state that a read looks through."""

COMMIT_EXTRINSICS: Final = 2048
"""Or as many extrinsics: the write costs little beside them, and progress shows."""

TURN_EXTRINSICS: Final = 256
"""Extrinsics after which the chain is free for others, at the end of a block; so many take 60 ms."""


class TooEarly(Exception):
    """The committee that judges these blocks is not known before block `until` is final here."""

    def __init__(self, until: BlockNumber) -> None:
        super().__init__(f"not before block {until}")
        self.until = until


class Disagreed(Exception):
    """The network made a block final that does not extend the chain of this node, or is invalid on it."""

    def __init__(self, block: Block, certificate: Certificate, reason: str) -> None:
        super().__init__(reason)
        self.block = block
        self.certificate = certificate


class Importer:
    """Takes finalized blocks into the chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._proving = trio.CapacityLimiter(1)

    async def prove(self, runs: Sequence[Run]) -> None:
        """Verify that the blocks of `runs`, one after the other, are final.

        Nothing is said of what is final here anyway. Raises TooEarly, BadProof.
        """
        trusted = await self._chain.trusted()
        committee = trusted.committee
        if runs[0].first > committee.last_height:
            raise TooEarly(committee.last_height)
        await trio.to_thread.run_sync(_prove, trusted, runs, limiter=self._proving)

    async def take(self, runs: Sequence[Run]) -> None:
        """Execute and commit `runs`, which were proved; durable on return. What is final here is passed over.

        The last of them is whole. Raises Disagreed, Unable, DatabaseError.
        """
        for portion in _portions(runs):
            tip = self._chain.finalized
            new = [
                (block, run.certificate)
                for run in portion
                for block in run.blocks
                if block.header.height > tip.height
            ]
            parent = tip.hash
            for block, certificate in new:
                if block.header.parent != parent:
                    raise Disagreed(block, certificate, "its parent is not the block that is final before it")
                parent = block_hash(block.header)
            for turn in _turns(new):
                await self._execute(turn)
            certificates = (run.certificate for run in portion if run.is_whole)
            await self._chain.commit([block for block, _ in new], *certificates)

    async def _execute(self, proved: Sequence[tuple[Block, Certificate]]) -> None:
        """Execute blocks in one turn. Raises Disagreed, Unable."""
        try:
            await self._chain.execute(*(block for block, _ in proved))
        except InvalidBlock:
            for block, certificate in proved:  # those that are executed are passed over
                try:
                    await self._chain.execute(block)
                except InvalidBlock as error:
                    raise Disagreed(block, certificate, str(error)) from error


def _portions(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """`runs` as they are committed, each portion up to a certified block."""
    assert runs[-1].is_whole
    portion: list[Run] = []
    blocks = extrinsics = 0
    for run in runs:
        portion.append(run)
        blocks += len(run.blocks)
        extrinsics += sum(len(block.body.extrinsics) for block in run.blocks)
        is_enough = blocks >= COMMIT_BLOCKS or extrinsics >= COMMIT_EXTRINSICS
        if run.is_whole and (is_enough or run is runs[-1]):
            yield portion
            portion, blocks, extrinsics = [], 0, 0


def _turns(proved: Sequence[tuple[Block, Certificate]]) -> Iterator[list[tuple[Block, Certificate]]]:
    """Blocks as they are executed in one go."""
    turn: list[tuple[Block, Certificate]] = []
    extrinsics = 0
    for block, certificate in proved:
        turn.append((block, certificate))
        extrinsics += len(block.body.extrinsics)
        if extrinsics >= TURN_EXTRINSICS or len(turn) >= COMMIT_BLOCKS or block is proved[-1][0]:
            yield turn
            turn, extrinsics = [], 0


def _prove(trusted: Trusted, runs: Sequence[Run]) -> None:
    """Raises BadProof. The heights of an epoch that has ended are final here."""
    for run in runs:
        if run.last >= trusted.committee.first_height:
            headers = (*(block.header for block in run.blocks), *run.beyond)
            verify_finality(trusted, FinalityProof(headers, run.certificate))
