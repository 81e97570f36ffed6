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
    Run,
    decode_announcement,
    decode_answer,
)
from primitives.block import Block, Body
from primitives.certificate import Certificate
from primitives.codec import CodecError
from primitives.committee import MEMBERS_MAX
from primitives.extrinsic import Call
from primitives.types import U63_MAX, BlockHash, BlockNumber, EpochIndex, Hash, View
from primitives.vote import VoteKind
from tests.node.sync.samples import GOOD, certificate_of, chain_of

BLOCKS = chain_of(4)
FIRST, SECOND, THIRD, FOURTH = BLOCKS[1:]
HONEST = Answer(
    BlockNumber(4),
    (
        Run((FIRST, SECOND), certificate_of(SECOND)),
        Run((THIRD,), certificate_of(THIRD)),
        Run((FOURTH,), None),
    ),
)


def decoded(*runs: Run, first: int = 1) -> Answer:
    return decode_answer(ANSWER.encode(Answer(BlockNumber(4), runs)), BlockNumber(first))


def test_an_honest_answer_is_taken_as_it_is() -> None:
    assert decoded(*HONEST.runs) == HONEST
    assert decoded().runs == ()


@pytest.mark.parametrize(
    "runs",
    [
        (Run((SECOND,), certificate_of(SECOND)),),
        (Run((FIRST, THIRD), certificate_of(THIRD)),),
        (Run((FIRST, FIRST), certificate_of(FIRST)),),
        (Run((FIRST,), None), Run((SECOND,), certificate_of(SECOND))),
        (Run((FIRST,), certificate_of(SECOND)),),
        (Run((FIRST,), Certificate(VoteKind.NULLIFY, EpochIndex(1), View(1), b"", b"\x01", (GOOD,))),),
        (Run((Block(FIRST.header, Body((Call(0, 0, b"invented"),), ())),), certificate_of(FIRST)),),
        (
            Run(
                (FIRST, Block(replace(SECOND.header, parent=BlockHash(bytes(32))), SECOND.body)),
                certificate_of(Block(replace(SECOND.header, parent=BlockHash(bytes(32))), SECOND.body)),
            ),
        ),
    ],
    ids=["elsewhere", "gap", "twice", "cut", "other block", "nullify", "body", "parent"],
)
def test_an_answer_that_contradicts_itself_is_refused(runs: tuple[Run, ...]) -> None:
    with pytest.raises(BadAnswer):
        decoded(*runs)


def test_bytes_that_are_no_answer_are_refused() -> None:
    with pytest.raises(CodecError):
        decode_answer(b"\x91", BlockNumber(1))


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
