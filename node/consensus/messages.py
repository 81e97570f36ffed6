"""What authorities say to each other: five messages, one canonical tagged union.

Bounds: a message is at most 1 MiB, with at most 64 certificates and 16 blocks. `read_message` checks the size
before it decodes anything.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from primitives.block import BODY, Block
from primitives.certificate import Certificate
from primitives.codec import Codec, CodecError, Record
from primitives.types import BlockHash, BlockNumber, EpochIndex, View
from primitives.vote import Vote

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Largest message on the wire."""

CERTIFICATES_MAX: Final = 64
"""Most certificates in a message; whoever needs more asks again from further below."""

BLOCKS_MAX: Final = 16
"""Most blocks in a message."""

_ENVELOPE_BYTES: Final = 1024
"""More than tags, lengths, hashes and one vote take up in any message, and one header in a block."""

Certificates = Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=CERTIFICATES_MAX)]
Blocks = Annotated[tuple[Block, ...], msgspec.Meta(max_length=BLOCKS_MAX)]


class Propose(Record, frozen=True, tag=0):
    """A leader's block. Only the vote is signed, so a relay can alter everything else: see `Core`."""

    epoch: EpochIndex
    view: View
    block: Block
    vote: Vote
    """The leader's own NOTARIZE, which doubles as the signature of the block."""

    certs: Certificates
    """Why the block extends what it extends: they spare a receiver who lacks them a round trip."""


class Cast(Record, frozen=True, tag=1):
    """One vote."""

    vote: Vote

    @property
    def epoch(self) -> EpochIndex:
        """The epoch in which the vote counts."""
        return self.vote.epoch


class Ask(Record, frozen=True, tag=2):
    """A request for certificates."""

    epoch: EpochIndex
    start: View
    """The highest view below the asker's own that it holds no nullification of."""


class AskBlock(Record, frozen=True, tag=3):
    """A request for a block and its ancestors higher than `above`, answered from the top down."""

    epoch: EpochIndex
    block: BlockHash
    above: BlockNumber


class Bundle(Record, frozen=True, tag=4):
    """Certificates and blocks: an answer, or what a new leader is told."""

    epoch: EpochIndex
    certs: Certificates = ()
    blocks: Blocks = ()


Message = Propose | Cast | Ask | AskBlock | Bundle

MESSAGE: Final = Codec[Message](Message)


def read_message(frame: bytes) -> Message:
    """The message in a frame. Raises CodecError for one too large or not canonical."""
    if len(frame) > MESSAGE_BYTES_MAX:
        raise CodecError("message larger than 1 MiB")
    return MESSAGE.decode(frame)


def certificates_within(certs: Iterable[Certificate], taken_bytes: int) -> tuple[Certificate, ...]:
    """The first of `certs`, without repetition, that fit a message of which `taken_bytes` are taken."""
    room = MESSAGE_BYTES_MAX - _ENVELOPE_BYTES - taken_bytes
    chosen: dict[Certificate, None] = {}
    for cert in certs:
        room -= 128 + 66 * len(cert.signatures)
        if room < 0 or len(chosen) == CERTIFICATES_MAX:
            break
        chosen[cert] = None
    return tuple(chosen)


def blocks_within(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The first of `blocks` that fit one message."""
    room = MESSAGE_BYTES_MAX - _ENVELOPE_BYTES
    chosen: list[Block] = []
    for block in blocks:
        room -= block_bytes(block)
        if room < 0 or len(chosen) == BLOCKS_MAX:
            break
        chosen.append(block)
    return tuple(chosen)


def block_bytes(block: Block) -> int:
    """A little more than the encoded size of `block`."""
    return _ENVELOPE_BYTES + len(BODY.encode(block.body))
