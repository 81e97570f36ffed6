"""A small chain with real signatures, for tests of what proves finality."""

from dataclasses import dataclass

from primitives.block import GENESIS_PARENT, Header, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.committee import Committee, Member, committee_root
from primitives.finality import EpochProof, FinalityProof
from primitives.signing import SigningKey
from primitives.state_proof import EMPTY
from primitives.types import (
    AuthorityIndex,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    Seed,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)
from primitives.vote import Vote, VoteKind, vote_message

KEYS = [SigningKey(Seed(bytes([number]) * 32)) for number in range(1, 5)]
EPOCH_BLOCKS = 4


def committee(epoch: int) -> Committee:
    first = (epoch - 1) * EPOCH_BLOCKS + 1
    members = tuple(Member(key.public_key, Stake(1)) for key in KEYS)
    return Committee(
        EpochIndex(epoch), BlockNumber(first), BlockNumber(first + EPOCH_BLOCKS - 1), SpecVersion(1), members
    )


def header(height: int, parent: BlockHash, state_root: Hash) -> Header:
    epoch = (height + EPOCH_BLOCKS - 1) // EPOCH_BLOCKS
    ends = height % EPOCH_BLOCKS == 0
    return Header(
        EpochIndex(epoch),
        View(height),
        BlockNumber(height),
        parent,
        state_root,
        Hash(bytes(32)),
        Hash(bytes(32)),
        TimestampMs(height),
        PublicKey(bytes(32)),
        committee_root(committee(epoch + 1)) if ends else None,
    )


def finalize(
    block: Header,
    anchor: BlockHash,
    signers: tuple[int, ...] = (0, 1, 2),
    kind: VoteKind = VoteKind.FINALIZE,
) -> Certificate:
    subject = block_hash(block)
    message = vote_message(anchor, kind, block.epoch, block.view, subject)
    return certificate_of(
        Vote(kind, block.epoch, block.view, subject, AuthorityIndex(index), KEYS[index].sign(message))
        for index in signers
    )


@dataclass
class Chain:
    """Headers from the genesis on, and the keys to prove them final."""

    headers: list[Header]

    def anchor(self, epoch: int) -> BlockHash:
        return block_hash(self.headers[(epoch - 1) * EPOCH_BLOCKS])

    def epoch_proof(self, epoch: int) -> EpochProof:
        last = self.headers[epoch * EPOCH_BLOCKS]
        return EpochProof(last, finalize(last, self.anchor(epoch)), committee(epoch + 1))

    def finality_proof(self, first: int, last: int) -> FinalityProof:
        headers = self.headers[first : last + 1]
        return FinalityProof(tuple(headers), finalize(headers[-1], self.anchor(headers[-1].epoch)))


def make_chain(state_root: Hash = EMPTY) -> Chain:
    """Eight blocks in two epochs, all with the same state."""
    headers = [header(0, GENESIS_PARENT, state_root)]
    for height in range(1, 9):
        headers.append(header(height, block_hash(headers[-1]), state_root))
    return Chain(headers)
