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

ANSWER_BYTES: Final = 2 * 1024 * 1024
"""Blocks in one answer: four of the longest, which take longer to execute than to fetch."""

ANSWER_BYTES_MAX: Final = ANSWER_BYTES + 1024 * 1024
"""Longest answer: its blocks, the first of which may be a long one, and headers up to a certified block."""

ANSWER_BLOCKS_MAX: Final = 512
"""Blocks in one answer; a chain of empty blocks is small but not free to read."""

REQUEST_BYTES_MAX: Final = 32
ANNOUNCEMENT_BYTES_MAX: Final = 16 * 1024
"""Longest announcement: a header, and the certificate of the largest committee."""


class Request(Record, frozen=True):
    """A question for the finalized blocks from `first` to `last`, or as many of the first as fit."""

    first: BlockNumber
    last: BlockNumber


class Run(Record, frozen=True):
    """Blocks, each the parent of the next, and what proves that they are final.

    An answer may end between two certified blocks and is still proved by itself, so that it is always known
    whose fault a false one is.
    """

    blocks: Annotated[tuple[Block, ...], Meta(min_length=1, max_length=ANSWER_BLOCKS_MAX)]
    beyond: Annotated[tuple[Header, ...], Meta(max_length=HEADERS_MAX - 1)]
    """Headers of the blocks that follow, up to the certified one; none if that is the last of `blocks`."""

    certificate: Certificate
    """FINALIZE for the last of all these."""

    @property
    def first(self) -> BlockNumber:
        """Height of the first block."""
        return self.blocks[0].header.height

    @property
    def last(self) -> BlockNumber:
        """Height of the last whole block."""
        return self.blocks[-1].header.height

    @property
    def is_whole(self) -> bool:
        """Whether the last block is the certified one."""
        return not self.beyond


class Answer(Record, frozen=True):
    """Runs that follow one another; only the last may have headers beyond its blocks."""

    finalized: BlockNumber
    """How far the answerer has come; at least to the block asked for, or it would not have been asked."""

    holds_from: BlockNumber
    """The lowest block, not below the first one asked for, that the answerer still holds."""

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


def decode_answer(data: bytes, request: Request) -> Answer:
    """The answer to `request`. Raises CodecError, BadAnswer.

    Bodies are held against their headers here, so that once the certificates are verified too, nothing in a
    block can be the peer's invention.
    """
    answer = ANSWER.decode(data)
    _ensure(answer.finalized >= request.first, "it does not hold what it announced")
    _ensure(bool(answer.runs) == (answer.holds_from <= request.first), "it withholds what it holds")
    _ensure(all(run.is_whole for run in answer.runs[:-1]), "a run ends in the middle of the answer")
    parent: Header | None = None
    for run in answer.runs:
        for block in run.blocks:
            _ensure(block.header.height <= request.last, "a block was not asked for")
            _ensure(block.header.body_root == body_root(block.body), "a body is not the one of its header")
        headers = (*(block.header for block in run.blocks), *run.beyond)
        _ensure(len(headers) <= HEADERS_MAX, "a run is too long")
        for header in headers:
            height = request.first if parent is None else parent.height + 1
            _ensure(header.height == height, "a block is not the next one")
            _ensure(parent is None or header.parent == block_hash(parent), "blocks do not follow one another")
            parent = header
        _ensure(is_about(run.certificate, headers[-1]), "a certificate is of another block")
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
