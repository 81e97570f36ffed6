"""What the consensus engine asks of the node: where it stands, to build, execute, keep and commit blocks."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from frame.error import InvalidBlock, Unable
from node.authorship.author import Author
from node.chain import Chain
from node.consensus.interface import (
    Build,
    Disagreement,
    Epoch,
    Finding,
    ForeignVote,
    Fork,
    Misbehaviour,
    Peer,
    Position,
    Settings,
    Skew,
    Verdict,
)
from node.consensus.leaders import leader_schedule
from node.db.errors import UnknownState
from node.evidence.votes import VoteRecord
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate
from primitives.committee import Committee
from primitives.finality import HEADERS_MAX
from primitives.types import BlockHash, BlockNumber, EpochIndex, PublicKey
from primitives.vote import Evidence, Vote

FINALITY_SAMPLES: Final = 256
"""How many of this node's last proposals the figures are made from."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Who takes what an engine has to say of others."""

    charge: Callable[[Peer, str], None]
    """Lowers the score of a peer, with the reason."""

    found: Callable[[Evidence | Fork], None]
    """Puts misdeeds before the chain."""

    votes: VoteRecord


class ConsensusHost:
    """Implements node.consensus.engine.ConsensusHost on the chain of this node."""

    def __init__(self, chain: Chain, author: Author, reports: Reports) -> None:
        """Stands where `chain` stands."""
        self._reports = reports
        self._chain = chain
        self._author = author
        self._epoch: Epoch | None = None
        """Of the last position that was told."""

        self._proposed: dict[BlockHash, float] = {}
        self.finality_ms: deque[float] = deque(maxlen=FINALITY_SAMPLES)
        """From this node's own proposals, executed, to their durable commit."""

    async def position(self) -> Position:
        """Where the chain stands."""
        position = await self._chain.read(self._position)
        self._epoch = position.epoch
        return position

    async def build(self, request: Build) -> Block | None:
        """A new executed block; None if this node cannot build now."""
        try:
            block = await self._author.build(
                request.parent,
                request.view,
                request.timestamp_ms,
                author=self._author_of(request),
                is_empty=request.is_empty,
            )
        except (InvalidBlock, Unable) as error:
            _log.warning("cannot build block %d now: %s", request.parent.height + 1, error)
            return None
        except Exception:  # noqa: BLE001  # the boundary of what users sent: it may cost this view, not the node
            _log.exception("building block %d failed; report this", request.parent.height + 1)
            return None
        self._proposed[block_hash(block.header)] = time.monotonic()
        return block

    async def verify(self, block: Block) -> Verdict:
        """What executing `block` showed."""
        try:
            await self._chain.execute(block)
        except InvalidBlock as error:
            _log.warning("block %d is invalid: %s", block.header.height, error)
            return Verdict.INVALID
        except Unable as error:
            _log.warning("cannot execute block %d now: %s", block.header.height, error)
            return Verdict.UNABLE
        except Exception:  # noqa: BLE001  # the boundary of what a leader proposed: no vote for it, and life goes on
            _log.exception("executing block %d failed; report this", block.header.height)
            return Verdict.UNABLE
        return Verdict.VALID

    async def persist(self, block: Block) -> None:
        """Keep a block that is not final; durable on return."""
        await self._chain.keep(block)

    async def commit(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        """Make executed blocks final; durable on return."""
        await self._chain.commit(blocks, certificate)
        now = time.monotonic()
        for block in blocks:
            since = self._proposed.pop(block_hash(block.header), None)
            if since is not None:
                self.finality_ms.append((now - since) * 1000)
        self._proposed = {name: since for name, since in self._proposed.items() if now - since < 60}

    async def ancestors(self, name: BlockHash, above: BlockNumber, count: int) -> Sequence[Block]:
        """The block and its ancestors higher than `above`, from the top down; those that are here."""
        return await self._chain.read(self._ancestors, name, above, count)

    async def last_certificate(self, epoch: EpochIndex) -> Certificate | None:
        """What made the last block of a past epoch final."""
        proof = await self._chain.read(self._chain.database.blocks.epoch_proof, epoch)
        return None if proof is None else proof.certificate

    def heard(self, vote: Vote) -> None:
        """Write a verified vote down soon."""
        self._reports.votes.note(vote)

    def votes_heard(self, epoch: EpochIndex) -> Sequence[Vote]:
        """What was written down of an epoch, as far as it is remembered."""
        return self._reports.votes.of(epoch)

    def report(self, finding: Finding) -> None:
        """Tell the operator, and charge a peer that misbehaved."""
        match finding:
            case Misbehaviour(peer=peer, reason=reason):
                self._reports.charge(peer, reason)
            case Evidence():
                self._reports.found(finding)
            case Skew(leader=leader, ahead_ms=ahead_ms):
                _log.warning("authority %d proposes %d ms ahead of this clock", leader, ahead_ms)
            case Fork(theirs=theirs):
                self._reports.found(finding)
                _log.critical(
                    "two blocks are final in epoch %d: more than a third of the stake is Byzantine; "
                    "this node votes no more, and keeps both certificates",
                    theirs.epoch,
                )
            case Disagreement(certificate=certificate):
                _log.critical(
                    "the network certified block %s, which is invalid here; this node votes no more: "
                    "upgrade it, or report this",
                    certificate.block.hex()[:12],
                )
            case ForeignVote(vote=vote):
                _log.critical(
                    "the session key voted in view %d of epoch %d elsewhere: is it on two machines? "
                    "this node votes no more",
                    vote.view,
                    vote.epoch,
                )
            case _:
                assert_never(finding)

    def _author_of(self, request: Build) -> PublicKey:
        """The key that leads the view, and so is the one of this node: engines ask where they stand first."""
        assert self._epoch is not None
        assert self._epoch.index == request.epoch
        return self._epoch.committee.members[self._epoch.leader(request.view)].key

    def _position(self) -> Position:
        """All of it after the same block, whatever sync commits meanwhile."""
        database, blocks = self._chain.database, self._chain.database.blocks
        height, committee, settings = self._rules()
        anchor = blocks.header(BlockNumber(committee.first_height - 1))
        tip = blocks.header(height)
        assert anchor is not None
        assert tip is not None
        pages = range(committee.first_height, tip.height + 1, HEADERS_MAX)
        committed = (header for first in pages for header in blocks.headers(BlockNumber(first), tip.height))
        kept = [item for item in database.journal() if isinstance(item, Block)]
        return Position(
            epoch=Epoch(
                committee=committee,
                anchor=anchor,
                leaders=leader_schedule(committee, database.genesis_hash),
                settings=settings,
            ),
            tip=tip,
            committed=tuple(block_hash(header) for header in committed),
            final=blocks.certificate(tip.height) if tip.height >= committee.first_height else None,
            blocks=tuple(block for block in kept if _is_ahead(block.header, tip, committee)),
        )

    def _rules(self) -> tuple[BlockNumber, Committee, Settings]:
        """A finalized height, with what holds after it."""
        runtime = self._chain.runtime
        while True:
            head = self._chain.database.finalized()
            try:
                with self._chain.database.view(head.block) as state:
                    committee = runtime.committee(state)
                    parameters = runtime.query(state, "session.parameters")
            except UnknownState:
                continue  # another block became final in between
            settings = Settings(block_time_ms=parameters.block_time_ms, delta_ms=parameters.delta_ms)
            return head.height, committee, settings

    def _ancestors(self, name: BlockHash, above: BlockNumber, count: int) -> list[Block]:
        database = self._chain.database
        found: list[Block] = []
        while len(found) < count:
            block = database.blocks.block(name) or database.journal_block(name)
            if block is None or block.header.height <= above:
                break
            found.append(block)
            name = block.header.parent
        return found


def _is_ahead(header: Header, tip: Header, committee: Committee) -> bool:
    return header.epoch == committee.epoch and header.height > tip.height
