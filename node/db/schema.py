"""The tables, and how their rows are spelled. A change to any of it raises `SCHEMA_VERSION`."""

from collections.abc import Callable, Iterator
from enum import Enum, IntEnum
from typing import Final

import msgspec

from frame.state import Changes
from primitives.block import BLOCK, Block, Header, block_hash
from primitives.certificate import CERTIFICATE, Certificate
from primitives.codec import Codec, Record, spell
from primitives.committee import Committee
from primitives.extrinsic import extrinsic_hash
from primitives.hashing import blake2b_256
from primitives.outcome import BlockOutcome
from primitives.types import U32, BlockHash, BlockNumber, Hash

SCHEMA_VERSION: Final = 2


class Table(Enum):
    """One table of the environment; numbers are 8 bytes big-endian, so that rows are in their order."""

    STATE = b"state"
    """path -> length of the key in 2 bytes, key, value."""

    KEYS = b"keys"
    """key -> nothing: every key of the state in its own order; the path follows from it."""

    UNDO = b"undo"
    """height -> what the keys that the block changed were before."""

    BLOCKS = b"blocks"
    """height -> header."""

    HEIGHTS = b"heights"
    """block hash -> height."""

    BODIES = b"bodies"
    """height -> body."""

    EVENTS = b"events"
    """height -> outcome of the block."""

    CERTIFICATES = b"certificates"
    """height -> FINALIZE certificate, for blocks that have one of their own."""

    EXTRINSICS = b"extrinsics"
    """extrinsic hash -> place."""

    EPOCHS = b"epochs"
    """epoch -> its end, once it has one."""

    JOURNAL = b"journal"
    """epoch, view, kind in 1 byte, hash of the block or the row -> block or certificate that is not final."""

    HOLDS = b"holds"
    """height of a state that is kept whole for new nodes -> the nodes of its tree at `HOLD_LEVELS`."""

    HELD = b"held"
    """height of a hold, path -> row of the state after that block, b"" if there was none; only of paths that
    a block has changed since, and not after a newer hold."""

    CHUNKS = b"chunks"
    """start and depth of a range -> height and root of its subtree, while a state is being fetched."""

    META = b"meta"
    """`SCHEMA_KEY` -> version in 4 bytes; `HEAD_KEY` -> head; `JOINED_KEY` -> height in 8 bytes."""


class Head(Record, frozen=True):
    """The newest finalized block; written in every transaction that changes the state."""

    height: BlockNumber
    block: BlockHash
    root: Hash


class Place(Record, frozen=True):
    """Where an extrinsic is."""

    height: BlockNumber
    index: U32
    """Position among the extrinsics of the block."""


class EpochEnd(Record, frozen=True):
    """The last block of an epoch, and the committee that it hands over to."""

    height: BlockNumber
    next_committee: Committee


class JournalKind(IntEnum):
    """What a row of the journal holds."""

    CERTIFICATE = 0
    BLOCK = 1


class Finalized(msgspec.Struct, frozen=True):
    """A block to commit, and what it did."""

    block: Block
    outcome: BlockOutcome
    next_committee: Committee | None = None
    """In the last block of an epoch."""


class Genesis(msgspec.Struct, frozen=True):
    """Block 0, the state after it, and the committee of epoch 1."""

    block: Block
    changes: Callable[[], Changes]
    """To the empty state; asked for when a database begins with it, and for nothing else."""

    committee: Committee


CHANGES: Final = Codec[Changes](Changes)
HEAD: Final = Codec[Head](Head)
HEAD_KEY: Final = b"head"
SCHEMA_KEY: Final = b"schema"
SCHEMA_ROW: Final = SCHEMA_VERSION.to_bytes(4, "big")
JOINED_KEY: Final = b"joined"
"""Where the node joined by snapshot: of older blocks it has the last headers of the epochs, and no more."""

HOLD_LEVELS: Final = 12
"""135 kB for each hold; below, the entries themselves are read."""

PLACE: Final = Codec[Place](Place)
EPOCH_END: Final = Codec[EpochEnd](EpochEnd)


def number_key(number: int) -> bytes:
    """The key of a row by height or epoch."""
    return number.to_bytes(8, "big")


def number_of(key: bytes) -> int:
    """The number that `key` stands for."""
    return int.from_bytes(key, "big")


def state_row(key: bytes, value: bytes) -> bytes:
    """The row of an entry of the state."""
    return len(key).to_bytes(2, "big") + key + value


def row_key(row: bytes) -> bytes:
    """The key in a row of the state."""
    return row[2 : 2 + int.from_bytes(row[:2], "big")]


def row_value(row: bytes) -> bytes:
    """The value in a row of the state."""
    return row[2 + int.from_bytes(row[:2], "big") :]


def journal_row(item: Block | Certificate) -> tuple[bytes, bytes]:
    """Key and row of something that is not final, in the order of views."""
    if isinstance(item, Block):
        row, name, at = BLOCK.encode(item), journal_name(item.header), (item.header.epoch, item.header.view)
    else:
        row, at = CERTIFICATE.encode(item), (item.epoch, item.view)
        name = bytes([JournalKind.CERTIFICATE]) + blake2b_256(row)
    return number_key(at[0]) + number_key(at[1]) + name, row


def journal_name(block: Header | BlockHash) -> bytes:
    """How the key of a block that is not final ends."""
    return bytes([JournalKind.BLOCK]) + (block_hash(block) if isinstance(block, Header) else block)


def journal_item(key: bytes, row: bytes) -> Block | Certificate:
    """Inverse of `journal_row`. Raises CodecError or ValueError for a damaged row."""
    return BLOCK.decode(row) if JournalKind(key[16]) == JournalKind.BLOCK else CERTIFICATE.decode(row)


def extrinsic_places(block: Block) -> Iterator[tuple[bytes, bytes]]:
    """A row for each extrinsic of `block`."""
    for index, extrinsic in enumerate(block.body.extrinsics):
        yield (
            extrinsic_hash(spell(extrinsic)),
            spell(Place(block.header.height, index)),
        )
