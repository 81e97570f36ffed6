"""What of a sync answer or an announcement is seen to be false without the chain."""

import pytest
from msgspec.structs import replace

from node.sync.messages import (
    ANNOUNCEMENT,
    ANNOUNCEMENT_BYTES_MAX,
    ANSWER,
    Announcement,
    Answer,
    BadAnswer,
    Request,
    Run,
    decode_announcement,
    decode_answer,
)
from primitives.block import Block, Body
from primitives.certificate import Certificate
from primitives.codec import CodecError
from primitives.committee import MEMBERS_MAX
from primitives.extrinsic import Call
from primitives.finality import HEADERS_MAX
from primitives.types import U63_MAX, BlockHash, BlockNumber, EpochIndex, Hash, View
from primitives.vote import VoteKind
from tests.node.sync.samples import GOOD, certificate_of, chain_of, run_of

BLOCKS = chain_of(4)
FIRST, SECOND, THIRD, FOURTH = BLOCKS[1:]
WIDOW = Block(replace(SECOND.header, parent=BlockHash(bytes(32))), SECOND.body)
HONEST = (run_of([FIRST, SECOND]), run_of([THIRD], [FOURTH]))


def encoded(*runs: Run, finalized: int = 4, holds_from: int = 1) -> bytes:
    return ANSWER.encode(Answer(BlockNumber(finalized), BlockNumber(holds_from), runs))


def decoded(data: bytes, first: int = 1, last: int = 4) -> Answer:
    return decode_answer(data, Request(BlockNumber(first), BlockNumber(last)))


def test_an_honest_answer_is_taken_as_it_is() -> None:
    assert decoded(encoded(*HONEST)).runs == HONEST


def test_to_hold_nothing_of_it_any_more_is_honest() -> None:
    assert decoded(encoded(holds_from=3)).runs == ()


@pytest.mark.parametrize(
    "runs",
    [
        (run_of([SECOND]),),
        (run_of([FIRST, THIRD]),),
        (run_of([FIRST, FIRST]),),
        (run_of([FIRST]), run_of([THIRD])),
        (run_of([FIRST], [THIRD]),),
        (run_of([FIRST], [SECOND]), run_of([SECOND])),
        (Run((FIRST,), (), certificate_of(SECOND)),),
        (Run((FIRST,), (), Certificate(VoteKind.NULLIFY, EpochIndex(1), View(1), b"", b"\x01", (GOOD,))),),
        (run_of([Block(FIRST.header, Body((Call(0, 0, b"invented"),), ()))]),),
        (run_of([FIRST, WIDOW]),),
        (run_of([FIRST]), run_of([WIDOW])),
        (run_of([FIRST], [WIDOW]),),
        (run_of([FIRST, SECOND, THIRD, FOURTH]),),
        (),
    ],
    ids=[
        "elsewhere",
        "gap",
        "twice",
        "gap between runs",
        "gap beyond",
        "cut in the middle",
        "certificate of another block",
        "nullify",
        "body",
        "parent",
        "parent of the next run",
        "parent beyond",
        "more than asked for",
        "withheld",
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(runs: tuple[Run, ...]) -> None:
    with pytest.raises(BadAnswer):
        decoded(encoded(*runs), last=3)


def test_who_said_that_it_had_come_further_is_refused() -> None:
    with pytest.raises(BadAnswer, match="announced"):
        decoded(encoded(finalized=2, holds_from=3), first=3)


def test_a_run_longer_than_a_proof_of_finality_is_refused() -> None:
    blocks = chain_of(HEADERS_MAX + 1)
    proof = run_of(blocks[1:3], blocks[3 : HEADERS_MAX + 1])
    assert decoded(encoded(proof)).runs == (proof,)
    with pytest.raises(BadAnswer, match="too long"):
        decoded(encoded(run_of(blocks[1:4], blocks[4:])))


def test_bytes_that_are_no_answer_are_refused() -> None:
    with pytest.raises(CodecError):
        decoded(b"\x91")


def test_news_of_another_block_than_the_certified_one_is_refused() -> None:
    honest = Announcement(FIRST.header, certificate_of(FIRST))
    assert decode_announcement(ANNOUNCEMENT.encode(honest)) == honest
    with pytest.raises(BadAnswer):
        decode_announcement(ANNOUNCEMENT.encode(Announcement(SECOND.header, certificate_of(FIRST))))


def test_the_longest_announcement_fits_its_bound() -> None:
    certificate = replace(
        certificate_of(FIRST),
        epoch=EpochIndex(U63_MAX),
        view=View(U63_MAX),
        bitmap=b"\xff" * (MEMBERS_MAX // 8),
        signatures=(GOOD,) * MEMBERS_MAX,
    )
    header = replace(FIRST.header, height=BlockNumber(U63_MAX), next_set=Hash(bytes(32)))
    assert len(ANNOUNCEMENT.encode(Announcement(header, certificate))) <= ANNOUNCEMENT_BYTES_MAX
