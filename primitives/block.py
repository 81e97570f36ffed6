"""Blocks: a header that commits to everything, and a body."""

from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record, spell
from primitives.extrinsic import Call, Extrinsic
from primitives.hashing import blake2b_256, domain
from primitives.merkle import list_root
from primitives.types import (
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    TimestampMs,
    View,
)

BODY_BYTES_MAX: Final = 512 * 1024
"""Largest encoded body: with its certificates a proposal stays below the 1 MiB of a message."""

BODY_ITEMS_MAX: Final = 8192
"""Most inherents, and most extrinsics, in a body."""


class Header(Record, frozen=True):
    """What a block is known by, and what its certificate signs."""

    epoch: EpochIndex
    view: View
    """The view of the epoch in which the block was first proposed."""

    height: BlockNumber
    parent: BlockHash
    state_root: Hash
    """Root of the state after this block."""

    body_root: Hash
    """List root over the inherents, then the extrinsics, each encoded."""

    events_root: Hash
    """List root over (result, events) of each of them, then the block's own events."""

    timestamp_ms: TimestampMs
    author: PublicKey
    """Session key of the proposer."""

    next_set: Hash | None
    """Root of the next epoch's committee, in the last block of an epoch only."""


class Body(Record, frozen=True):
    """The calls of a block in the order in which they run."""

    inherents: Annotated[tuple[Call, ...], msgspec.Meta(max_length=BODY_ITEMS_MAX)]
    """Calls without a signer that the author puts in."""

    extrinsics: Annotated[tuple[Extrinsic, ...], msgspec.Meta(max_length=BODY_ITEMS_MAX)]


class Block(Record, frozen=True):
    """A header and its body."""

    header: Header
    body: Body


HEADER: Final = Codec[Header](Header)
BODY: Final = Codec[Body](Body)
BLOCK: Final = Codec[Block](Block)

GENESIS_PARENT: Final = BlockHash(bytes(32))
"""The parent of block 0."""

_DOMAIN: Final = domain("block/1")


def block_hash(header: Header) -> BlockHash:
    """Identity of the block with this header."""
    return BlockHash(blake2b_256(_DOMAIN + HEADER.encode(header)))


def body_root(body: Body) -> Hash:
    """What `Header.body_root` must be. An encoded inherent is never equal to an encoded extrinsic."""
    return list_root([spell(call) for call in (*body.inherents, *body.extrinsics)])
