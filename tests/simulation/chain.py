"""A chain with everything that consensus looks at and nothing else: state is a hash of what came before."""

from dataclasses import dataclass, field
from functools import cached_property

from msgspec.structs import replace

from node.consensus.interface import Build, Epoch, Settings, Verdict
from node.consensus.leaders import leader_schedule
from primitives.block import GENESIS_PARENT, Block, Body, Header, block_hash, body_root
from primitives.committee import Committee, committee_root
from primitives.extrinsic import Call
from primitives.hashing import blake2b_256
from primitives.types import BlockHash, BlockNumber, EpochIndex, Hash, PublicKey, TimestampMs, View

ZERO = Hash(bytes(32))


@dataclass(frozen=True)
class Chain:
    """What the runtime would decide."""

    settings: Settings
    committees: tuple[Committee, ...]
    """Of epochs 1, 2, ...; the last serves for ever."""

    in_a_row: frozenset[PublicKey] = frozenset()
    """Members whose turns of a round come first, one after the other."""

    turns: tuple[PublicKey, ...] = ()
    """Who leads the first views of every epoch, with a turn of its own of the round."""

    _later: dict[EpochIndex, Committee] = field(default_factory=dict)
    _epochs: dict[tuple[EpochIndex, BlockHash], Epoch] = field(default_factory=dict)

    @cached_property
    def genesis(self) -> Header:
        """Header 0."""
        return Header(
            epoch=EpochIndex(0),
            view=View(0),
            height=BlockNumber(0),
            parent=GENESIS_PARENT,
            state_root=ZERO,
            body_root=body_root(Body((), ())),
            events_root=ZERO,
            timestamp_ms=TimestampMs(0),
            author=PublicKey(bytes(32)),
            next_set=Hash(committee_root(self.committee(EpochIndex(1)))),
        )

    def committee(self, epoch: EpochIndex) -> Committee:
        """C_e."""
        if epoch <= len(self.committees):
            return self.committees[epoch - 1]
        if epoch not in self._later:
            last = self.committees[-1]
            length = last.last_height - last.first_height + 1
            first = BlockNumber(self.first_height(epoch))
            self._later[epoch] = replace(
                last, epoch=epoch, first_height=first, last_height=BlockNumber(first + length - 1)
            )
        return self._later[epoch]

    def first_height(self, epoch: EpochIndex) -> int:
        """Of an epoch; those past the named ones are as long as the last of them."""
        known = self.committees[min(epoch, len(self.committees)) - 1]
        length = known.last_height - known.first_height + 1
        return known.first_height + (epoch - known.epoch) * length

    def epoch(self, index: EpochIndex, anchor: Header) -> Epoch:
        """Epoch `index` on top of `anchor`."""
        known = index, block_hash(anchor)
        if known not in self._epochs:
            self._epochs[known] = self._epoch(index, anchor)
        return self._epochs[known]

    def _epoch(self, index: EpochIndex, anchor: Header) -> Epoch:
        committee = self.committee(index)
        leaders = leader_schedule(committee, block_hash(self.genesis))
        row = [turn for turn in leaders if committee.members[turn].key in self.in_a_row]
        later = [turn for turn in leaders if committee.members[turn].key not in self.in_a_row]
        for key in reversed(self.turns):
            turn = committee.index_of(key)
            if turn in later:
                later.remove(turn)
                row.insert(0, turn)
        return Epoch(committee=committee, anchor=anchor, leaders=(*row, *later), settings=self.settings)

    def build(self, request: Build, author: PublicKey, salt: bytes) -> Block:
        """A valid block; `salt` tells blocks apart that are otherwise equal."""
        body = Body((Call(0, 0, salt),), ())
        height = BlockNumber(request.parent.height + 1)
        committee = self.committee(request.epoch)
        is_last = height == committee.last_height
        header = Header(
            epoch=request.epoch,
            view=request.view,
            height=height,
            parent=block_hash(request.parent),
            state_root=self.state_after(request.parent, body),
            body_root=body_root(body),
            events_root=ZERO,
            timestamp_ms=request.timestamp_ms,
            author=author,
            next_set=self.next_set(request.epoch) if is_last else None,
        )
        return Block(header, body)

    def execute(self, block: Block, parent: Header) -> Verdict:
        """Whether the block follows the rules."""
        header = block.header
        is_last = header.height == self.committee(header.epoch).last_height
        is_right = (
            header.state_root == self.state_after(parent, block.body)
            and header.parent == block_hash(parent)
            and header.height == parent.height + 1
            and header.next_set == (self.next_set(header.epoch) if is_last else None)
        )
        return Verdict.VALID if is_right else Verdict.INVALID

    def next_set(self, epoch: EpochIndex) -> Hash:
        """What the last block of `epoch` commits to."""
        return committee_root(self.committee(EpochIndex(epoch + 1)))

    def state_after(self, parent: Header, body: Body) -> Hash:
        """State root of a block with this body on this parent."""
        return Hash(blake2b_256(block_hash(parent) + body_root(body)))


def descends(block: BlockHash, ancestor: BlockHash, blocks: dict[BlockHash, Header]) -> bool:
    """Whether `ancestor` is `block` or lies below it; headers above it must all be known."""
    while block != ancestor:
        header = blocks.get(block)
        if header is None or header.height == 0:
            return False
        block = header.parent
    return True
