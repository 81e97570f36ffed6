"""What a node keeps: a database and a vote journal that survive a crash, and executed state that does not.

The same rules as `node.db`, `node.chain` and `node.consensus.journal`: each call is durable when it returns,
blocks commit in order with the certificate of the last, kept blocks go with the commit that passes their
view, and what sync committed is passed over.
"""

from collections.abc import Iterator, Sequence
from copy import copy

from node.consensus.interface import Build, Memory, Position, Stop, Verdict
from node.consensus.journal import EPOCHS_KEPT
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate
from primitives.types import BlockHash, EpochIndex, PublicKey, View
from primitives.vote import Vote, VoteKind
from tests.simulation.chain import Chain

Subject = tuple[VoteKind, View, bytes]
"""What a certificate says."""


class VoteJournal:
    """Votes and certificates; in no backup. Loses nothing, and forgets old epochs if it is `forgetful`, as a
    large one does."""

    def __init__(self, *, is_forgetful: bool = False) -> None:
        self.complete_from = EpochIndex(0)
        self._is_forgetful = is_forgetful
        self._votes: dict[EpochIndex, dict[Vote, None]] = {}
        self._certificates: dict[EpochIndex, dict[Subject, Certificate]] = {}
        self._heard: dict[EpochIndex, list[Vote]] = {}
        self._stop: Stop | None = None

    def hear(self, vote: Vote) -> None:
        """Remember a vote of somebody else."""
        self._heard.setdefault(vote.epoch, []).append(vote)

    def append(self, item: Vote | Certificate | Stop) -> None:
        """Make durable."""
        if isinstance(item, Stop):
            self._stop = item
        elif isinstance(item, Vote):
            self._votes.setdefault(item.epoch, {})[item] = None
        else:
            held = self._certificates.setdefault(item.epoch, {})
            held.setdefault((item.kind, item.view, item.block), item)

    def holds(self, item: Vote) -> bool:
        """Whether a vote is durable."""
        return item in self._votes.get(item.epoch, {})

    def has(self, epoch: EpochIndex, subject: Subject) -> bool:
        """Whether a certificate of it is durable."""
        return subject in self._certificates.get(epoch, {})

    def explains(self, vote: Vote) -> bool:
        """Whether it says how the voter came to this view: by a certificate, or as it voted there before."""
        subjects = self._certificates.get(vote.epoch, {})
        return any(view == vote.view - 1 for _, view, _ in reversed(subjects)) or any(
            other.view == vote.view for other in reversed(self._votes.get(vote.epoch, {}))
        )

    def memory(self, epoch: EpochIndex) -> Memory:
        """What was cast and accepted in an epoch."""
        return Memory(
            votes=tuple(self._votes.get(epoch, ())),
            certificates=tuple(self._certificates.get(epoch, {}).values()),
            heard=tuple(self._heard.get(epoch, ())),
            stop=self._stop,
        )

    def compact(self, epoch: EpochIndex) -> None:
        """Drop epochs that are too old for evidence, at the start of `epoch`."""
        if not self._is_forgetful:
            return
        self.complete_from = EpochIndex(max(self.complete_from, epoch + 1 - EPOCHS_KEPT))
        self._heard = {epoch: kept for epoch, kept in self._heard.items() if epoch >= self.complete_from}
        self._votes = {epoch: kept for epoch, kept in self._votes.items() if epoch >= self.complete_from}
        self._certificates = {
            epoch: kept for epoch, kept in self._certificates.items() if epoch >= self.complete_from
        }


class Database:
    """The finalized chain, its certificates, and blocks that are not final."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._committed: list[Block] = []
        self._heights: dict[BlockHash, int] = {}
        self._certificates: dict[int, Certificate] = {}
        self._kept: dict[BlockHash, Block] = {}

    def backup(self) -> "Database":
        """A copy."""
        other = copy(self)
        other._committed, other._heights = list(self._committed), dict(self._heights)
        other._certificates, other._kept = dict(self._certificates), dict(self._kept)
        return other

    @property
    def height(self) -> int:
        """Of the newest final block."""
        return len(self._committed)

    @property
    def tip(self) -> Header:
        """The newest final header."""
        return self._committed[-1].header if self._committed else self._chain.genesis

    def block(self, name: BlockHash) -> Block | None:
        """A block, final or kept."""
        height = self._heights.get(name)
        return self._kept.get(name) if height is None else self._committed[height - 1]

    def final_header(self, height: int) -> Header:
        """The final header at a height up to the newest."""
        return self._committed[height - 1].header if height else self._chain.genesis

    def is_final(self, name: BlockHash) -> bool:
        """Whether a block is committed."""
        return name in self._heights

    def is_kept(self, name: BlockHash) -> bool:
        """Whether a block that is not final is here."""
        return name in self._kept

    def certificate(self, height: int) -> Certificate | None:
        """The finalization of the block at a height, if it has one of its own."""
        return self._certificates.get(height)

    def explains(self, vote: Vote) -> bool:
        """Whether it says how a voter came to this view, by the certificate of a final block."""
        first = self._chain.first_height(vote.epoch)
        heights = range(self.height, first - 1, -1)
        held = (self._certificates.get(height) for height in heights)
        return vote.view == 1 or any(cert is not None and cert.view == vote.view - 1 for cert in held)

    def keep(self, block: Block) -> None:
        """Store a block that is not final."""
        self._kept[block_hash(block.header)] = block

    def commit(self, blocks: Sequence[Block], certificate: Certificate) -> tuple[Block, ...]:
        """Make blocks final; returns those that were not."""
        fresh = tuple(block for block in blocks if block.header.height > self.height)
        for block in fresh:
            header = block.header
            assert header.parent == block_hash(self.tip), "a commit that does not continue the chain"
            assert header.height == self.height + 1, "a commit out of order"
            self._committed.append(block)
            self._heights[block_hash(header)] = header.height
        if fresh:
            self._certificates[self.height] = certificate
            passed = (self.tip.epoch, self.tip.view)
            self._kept = {
                name: block
                for name, block in self._kept.items()
                if (block.header.epoch, block.header.view) > passed
            }
        return fresh

    def descend(self, name: BlockHash, above: int) -> Iterator[Block]:
        """A block and its ancestors higher than `above`, from the top down; those that are here."""
        block = self.block(name)
        while block is not None and block.header.height > above:
            yield block
            block = self.block(block.header.parent)

    def run_from(self, height: int, blocks_max: int) -> tuple[tuple[Block, ...], Certificate] | None:
        """Blocks of one epoch from `height` up to one that has a certificate, for somebody's sync."""
        run = self._committed[height - 1 : height - 1 + blocks_max]
        own = [block for block in run if block.header.epoch == run[0].header.epoch]
        while own:
            certificate = self.certificate(own[-1].header.height)
            if certificate is not None:
                return tuple(own), certificate
            own.pop()
        return None

    def last_certificate(self, epoch: EpochIndex) -> Certificate | None:
        """What ended an epoch."""
        return self.certificate(self._chain.committee(epoch).last_height if epoch else 0)

    def position(self) -> Position:
        """Where the node stands: in the next epoch, if the tip is the last block of its own."""
        tip = self.tip
        index = EpochIndex(tip.epoch + (tip.next_set is not None))
        first = self._chain.first_height(index)
        own = [block_hash(block.header) for block in self._committed[first - 1 :]]
        anchor = self._committed[first - 2].header if first > 1 else self._chain.genesis
        return Position(
            epoch=self._chain.epoch(index, anchor),
            tip=tip,
            committed=tuple(own),
            final=self.certificate(tip.height) if own else None,
            blocks=tuple(
                block
                for block in self._kept.values()
                if block.header.epoch == index and block.header.height > tip.height
            ),
        )


class Executed:
    """States after blocks that are not final: in memory only."""

    def __init__(self, chain: Chain, database: Database) -> None:
        self._chain = chain
        self._database = database
        self._headers: dict[BlockHash, Header] = {}

    def parent(self, name: BlockHash) -> Header | None:
        """The header of a block whose state is known."""
        tip = self._database.tip
        return tip if block_hash(tip) == name else self._headers.get(name)

    def headers(self) -> list[Header]:
        """Of every executed block that is not final."""
        return list(self._headers.values())

    def execute(self, block: Block) -> Verdict:
        """Execute a block; one that is final or executed is valid."""
        name = block_hash(block.header)
        if name in self._headers or self._database.is_final(name):
            return Verdict.VALID
        parent = self.parent(block.header.parent)
        if parent is None:
            return Verdict.UNABLE
        verdict = self._chain.execute(block, parent)
        if verdict == Verdict.VALID:
            self._headers[name] = block.header
        return verdict

    def build(self, request: Build, author: PublicKey, salt: bytes) -> Block | None:
        """A block, executed; None if the parent's state is not known."""
        if self.parent(block_hash(request.parent)) is None:
            return None
        block = self._chain.build(request, author, salt)
        self._headers[block_hash(block.header)] = block.header
        return block

    def commit(self, blocks: Sequence[Block], certificate: Certificate) -> tuple[Block, ...]:
        """Make executed blocks final, and forget whatever does not descend from them."""
        for block in blocks:
            name = block_hash(block.header)
            is_known = name in self._headers or block.header.height <= self._database.height
            assert is_known, "asked to commit what is not executed"
        fresh = self._database.commit(blocks, certificate)
        alive = {block_hash(self._database.tip)}
        for name, header in list(self._headers.items()):
            if header.parent in alive:
                alive.add(name)
            else:
                del self._headers[name]
        return fresh
