"""What travels on the sync and announce protocols, and what of it can be checked without the chain."""

from typing import Annotated, Final

from msgspec import Meta

from primitives.block import Block, Header, block_hash, body_root
from primitives.certificate import Certificate
from primitives.codec import Codec, Record
from primitives.finality import HEADERS_MAX
from primitives.types import BlockNumber
from primitives.vote import VoteKind

PROTOCOL: Final = "/consilience/sync/1"
ANNOUNCE_PROTOCOL: Final = "/consilience/announce/1"

ANSWER_BYTES: Final = 8 * 1024 * 1024
"""Blocks in one answer: a second of a fast connection, and sixteen of the longest blocks."""

ANSWER_BYTES_MAX: Final = ANSWER_BYTES + 64 * 1024
"""Longest answer: its blocks and the records around them."""

ANSWER_BLOCKS_MAX: Final = 512
"""Blocks in one answer; a chain of empty blocks is small but not free to read."""

REQUEST_BYTES_MAX: Final = 16
ANNOUNCEMENT_BYTES_MAX: Final = 16 * 1024
"""Longest announcement: a header, and the certificate of the largest committee."""


class Request(Record, frozen=True):
    """A question for finalized blocks, upwards from `first`."""

    first: BlockNumber


class Run(Record, frozen=True):
    """Blocks, each the parent of the next, up to one that is certified."""

    blocks: Annotated[tuple[Block, ...], Meta(min_length=1, max_length=HEADERS_MAX)]
    certificate: Certificate | None
    """FINALIZE for the last of them; None if the answer is cut off before the next certified block."""


class Answer(Record, frozen=True):
    """Runs that follow one another; only the last may be cut off."""

    finalized: BlockNumber
    """How far the answerer has come."""

    runs: Annotated[tuple[Run, ...], Meta(max_length=ANSWER_BLOCKS_MAX)]


class Announcement(Record, frozen=True):
    """News of a finalized block."""

    header: Header
    certificate: Certificate


REQUEST: Final = Codec[Request](Request)
ANSWER: Final = Codec[Answer](Answer)
ANNOUNCEMENT: Final = Codec[Announcement](Announcement)


class BadAnswer(ValueError):
    """The peer's message is no honest one, whatever the chain looks like."""


def decode_answer(data: bytes, first: BlockNumber) -> Answer:
    """The answer to a request for blocks from `first`. Raises CodecError, BadAnswer.

    Bodies are held against their headers here, so that once the certificate is verified too, nothing in a
    block can be the peer's invention.
    """
    answer = ANSWER.decode(data)
    height = first
    for position, run in enumerate(answer.runs):
        is_last = position == len(answer.runs) - 1
        _ensure(is_last or run.certificate is not None, "a run is cut off in the middle")
        for block in run.blocks:
            _ensure(block.header.height == height, "a block is not the next one")
            _ensure(block.header.body_root == body_root(block.body), "a body is not the one of its header")
            height = BlockNumber(height + 1)
        for parent, child in zip(run.blocks, run.blocks[1:], strict=False):
            _ensure(child.header.parent == block_hash(parent.header), "blocks do not follow one another")
        if run.certificate is not None:
            _ensure(is_about(run.certificate, run.blocks[-1].header), "a certificate is of another block")
    return answer


def decode_announcement(data: bytes) -> Announcement:
    """A peer's news. Raises CodecError, BadAnswer. The signatures are not verified here."""
    news = ANNOUNCEMENT.decode(data)
    _ensure(is_about(news.certificate, news.header), "the certificate is of another block")
    return news


def is_about(certificate: Certificate, header: Header) -> bool:
    """Whether a certificate says that this block is final."""
    return certificate.kind == VoteKind.FINALIZE and certificate.block == block_hash(header)


def _ensure(condition: bool, reason: str) -> None:
    if not condition:
        raise BadAnswer(reason)
