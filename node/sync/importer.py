"""Finalized blocks of others: proved to be final, executed, and committed, several runs at a time.

Proving needs nothing but the committee, so that it goes on beside the execution of earlier blocks.
"""

from collections.abc import Sequence
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
        assert runs[-1].is_whole
        blocks: list[Block] = []
        certificates: list[Certificate] = []
        extrinsics = 0
        for run in runs:
            for block in run.blocks:
                await self._execute(block, blocks, run.certificate)
                extrinsics += len(block.body.extrinsics)
            if run.is_whole:
                certificates.append(run.certificate)
                if len(blocks) >= COMMIT_BLOCKS or extrinsics >= COMMIT_EXTRINSICS:
                    await self._chain.commit(blocks, *certificates)
                    blocks, certificates, extrinsics = [], [], 0
        await self._chain.commit(blocks, *certificates)

    async def _execute(self, block: Block, before: list[Block], certificate: Certificate) -> None:
        """Execute a block on those `before` it, which are executed, and add it to them."""
        finalized = self._chain.finalized
        if block.header.height <= finalized.height:
            return
        is_next = block.header.height == finalized.height + 1
        if block.header.parent != (finalized.hash if is_next else block_hash(before[-1].header)):
            raise Disagreed(block, certificate, "its parent is not the block that is final before it")
        try:
            await self._chain.execute(block)
        except InvalidBlock as error:
            raise Disagreed(block, certificate, str(error)) from error
        before.append(block)


def _prove(trusted: Trusted, runs: Sequence[Run]) -> None:
    """Raises BadProof."""
    for run in runs:
        if (
            run.last >= trusted.committee.first_height
        ):  # else its epoch has ended, and its heights are final here
            headers = (*(block.header for block in run.blocks), *run.beyond)
            verify_finality(trusted, FinalityProof(headers, run.certificate))
