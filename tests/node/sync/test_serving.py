"""What others are given, and how much of it."""

import pytest

from node.network.identity import PeerId
from node.sync.messages import (
    ANSWER_BLOCKS_MAX,
    ANSWER_BYTES,
    ANSWER_BYTES_MAX,
    Answer,
    Request,
    decode_answer,
)
from node.sync.serving import BURST_BYTES, BYTES_PER_S, PEERS_MAX, QUESTION_BYTES, Budget, collect
from primitives.types import BlockNumber
from tests.node.sync.samples import Source, chain_of, run_of

BLOCKS = chain_of(40)
A, B = PeerId("a"), PeerId("b")


def asked(source: Source, first: int, last: int, finalized: int = 40) -> Answer:
    """What a peer reads in the answer."""
    request = Request(BlockNumber(first), BlockNumber(last))
    return decode_answer(collect(source, request, BlockNumber(finalized)), request)


def test_an_answer_holds_what_was_asked_for_and_proves_all_of_it() -> None:
    assert asked(Source(BLOCKS, every=3), 1, 8) == Answer(
        BlockNumber(40),
        BlockNumber(1),
        (run_of(BLOCKS[1:4]), run_of(BLOCKS[4:7]), run_of(BLOCKS[7:9], BLOCKS[9:10])),
    )


def test_an_answer_may_begin_and_end_within_one_run() -> None:
    assert asked(Source(BLOCKS, every=10), 12, 15).runs == (run_of(BLOCKS[12:16], BLOCKS[16:21]),)


def test_an_answer_ends_where_the_answerer_does() -> None:
    assert asked(Source(BLOCKS), 39, 99).runs == (run_of(BLOCKS[39:40]), run_of(BLOCKS[40:]))


def test_who_holds_old_blocks_no_more_says_from_where_on() -> None:
    assert asked(Source(BLOCKS, lowest=20), 1, 30) == Answer(BlockNumber(40), BlockNumber(20), ())
    assert asked(Source(BLOCKS, lowest=41), 1, 30) == Answer(BlockNumber(40), BlockNumber(41), ())


def test_an_answer_is_bounded_in_blocks() -> None:
    many = Source(chain_of(ANSWER_BLOCKS_MAX + 10), every=10)
    found = asked(many, 1, ANSWER_BLOCKS_MAX + 10, finalized=ANSWER_BLOCKS_MAX + 10)
    assert found.runs[-1].last == ANSWER_BLOCKS_MAX


@pytest.mark.parametrize("every", [1, 100])
def test_an_answer_is_bounded_in_bytes(every: int) -> None:
    source = Source(chain_of(20, body_bytes=500_000), every)
    request = Request(BlockNumber(1), BlockNumber(20))
    data = collect(source, request, BlockNumber(20))
    assert ANSWER_BYTES - 600_000 < len(data) <= ANSWER_BYTES_MAX
    assert decode_answer(data, request).runs[-1].is_whole == (every == 1)


def test_a_peer_may_have_much_at_once_and_then_waits() -> None:
    budget = Budget()
    budget.charge(A, BURST_BYTES, 0)
    assert budget.delay_s(A, 0) == 0
    budget.charge(A, BYTES_PER_S, 0)
    assert budget.delay_s(A, 0) == 1
    assert budget.delay_s(A, 0.5) == 0.5
    assert budget.delay_s(B, 0) == 0
    assert budget.delay_s(A, 2) == 0


def test_what_was_not_used_is_not_saved_up() -> None:
    budget = Budget()
    budget.charge(A, BURST_BYTES + BYTES_PER_S, 10_000)
    assert budget.delay_s(A, 10_000) == 1


def test_questions_for_nothing_count_too() -> None:
    budget = Budget()
    for _ in range(BURST_BYTES // QUESTION_BYTES + 1):
        budget.charge(A, 1, 0)
    assert budget.delay_s(A, 0) > 0


def test_few_peers_are_remembered() -> None:
    budget = Budget()
    budget.charge(A, 2 * BURST_BYTES, 0)
    for number in range(PEERS_MAX):
        assert budget.delay_s(PeerId(str(number)), 0) == 0
    assert budget.delay_s(A, 0) == 0
