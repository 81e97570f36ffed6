"""What a node that is behind asks for and imports, whatever its peers do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.network.identity import PeerId
from node.sync.core import (
    LIAR_REST_S,
    PATIENCE_S,
    PAUSE_S,
    REST_S,
    RUN_ANSWERS_MAX,
    Action,
    Advanced,
    Announced,
    Answered,
    Ask,
    Failed,
    Import,
    Imported,
    Peers,
    Refused,
    SyncCore,
    collect,
)
from node.sync.messages import ANSWER, ANSWER_BLOCKS_MAX, ANSWER_BYTES_MAX, Answer, Run
from primitives.types import BlockNumber
from tests.node.sync.samples import Source, certificate_of, chain_of

A, B = PeerId("a"), PeerId("b")
BLOCKS = chain_of(40)


def core_at(height: int, patience_blocks: int = 0) -> SyncCore:
    return SyncCore(BlockNumber(height), patience_blocks)


def peers(**heights: int) -> Peers:
    return Peers(tuple((PeerId(name), BlockNumber(height)) for name, height in heights.items()))


def answer(first: int, last: int, finalized: int = 40, *, cut: bool = False) -> Answered:
    """Blocks `first` to `last` as one run."""
    blocks = tuple(BLOCKS[first : last + 1])
    return Answered(
        Answer(BlockNumber(finalized), (Run(blocks, None if cut else certificate_of(blocks[-1])),))
    )


def import_of(peer: PeerId, first: int, last: int) -> Import:
    return Import(peer, tuple(BLOCKS[first : last + 1]), certificate_of(BLOCKS[last]))


def imported(height: int) -> Imported:
    return Imported(BlockNumber(height))


def ask(peer: PeerId, first: int) -> Ask:
    return Ask(peer, BlockNumber(first))


def test_a_node_that_is_level_asks_nothing() -> None:
    core = core_at(10)
    assert core.handle(peers(a=10, b=9), 0) == []
    assert (core.target, core.is_syncing) == (10, False)


def test_a_node_without_peers_asks_nothing() -> None:
    assert core_at(10).handle(peers(), 0) == []


def test_a_node_that_is_behind_asks_the_most_trusted_peer_that_is_ahead() -> None:
    core = core_at(10)
    assert core.handle(peers(a=10, b=20), 0) == [ask(B, 11)]
    assert (core.target, core.is_syncing) == (20, True)
    assert core.handle(peers(a=30, b=20), 1) == []


def test_the_next_answer_is_asked_for_while_one_is_imported() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    assert core.handle(answer(1, 10), 0) == [import_of(A, 1, 10), ask(A, 11)]
    assert core.handle(answer(11, 20), 0) == [ask(A, 21)]
    assert core.handle(answer(21, 30), 0) == []
    assert core.handle(imported(10), 0) == [import_of(A, 11, 20), ask(A, 31)]


def test_the_runs_of_one_answer_are_imported_in_order() -> None:
    runs = tuple(Run((BLOCKS[each],), certificate_of(BLOCKS[each])) for each in (1, 2))
    core = core_at(0)
    core.handle(peers(a=2), 0)
    assert core.handle(Answered(Answer(BlockNumber(2), runs)), 0) == [import_of(A, 1, 1)]
    assert core.handle(imported(1), 0) == [import_of(A, 2, 2)]
    assert core.handle(imported(2), 0) == []


def test_an_answer_tells_how_far_its_peer_has_come_meanwhile() -> None:
    core = core_at(0)
    core.handle(peers(a=5), 0)
    assert core.handle(answer(1, 5, finalized=8), 0) == [import_of(A, 1, 5), ask(A, 6)]


def test_news_is_asked_for_at_once() -> None:
    core = core_at(5)
    core.handle(peers(a=5), 0)
    assert core.handle(Announced(A, BlockNumber(6)), 0.5) == [ask(A, 6)]
    assert core.handle(Announced(B, BlockNumber(99)), 0.5) == []


def test_a_silent_peer_is_left_for_another_and_asked_again_later() -> None:
    core = core_at(0)
    core.handle(peers(a=9, b=9), 0)
    assert core.handle(Failed(lied=False), 0) == [ask(B, 1)]
    assert core.handle(Failed(lied=False), 0) == []
    assert core.handle(peers(a=9, b=9), REST_S) == [ask(A, 1)]
    assert core.handle(Failed(lied=False), REST_S) == [ask(B, 1)]
    assert core.handle(Answered(Answer(BlockNumber(0), ())), REST_S) == []
    assert core.handle(peers(a=9, b=9), 2 * REST_S) == []
    assert core.handle(peers(a=9, b=9), 3 * REST_S) == [ask(A, 1)]


def test_a_liar_is_left_alone_for_long_and_does_not_count_as_ahead() -> None:
    core = core_at(0)
    core.handle(peers(a=99), 0)
    assert core.handle(Failed(lied=True), 0) == []
    assert (core.target, core.is_syncing) == (0, False)
    assert core.handle(peers(a=99), LIAR_REST_S - 1) == []
    assert core.handle(peers(a=99), LIAR_REST_S) == [ask(A, 1)]


def test_a_false_run_voids_what_followed_it_and_another_peer_is_asked() -> None:
    core = core_at(0)
    core.handle(peers(a=40, b=40), 0)
    core.handle(answer(1, 10), 0)
    core.handle(answer(11, 20), 0)
    assert core.handle(Refused(lied=True), 0) == []
    assert core.handle(answer(21, 30), 0) == [ask(B, 1)]


def test_trouble_of_our_own_pauses_and_blames_nobody() -> None:
    core = core_at(0)
    core.handle(peers(a=9), 0)
    core.handle(answer(1, 9, finalized=9), 0)
    assert core.handle(Refused(lied=False), 0) == []
    assert core.handle(peers(a=9), PAUSE_S - 1) == []
    assert core.handle(peers(a=9), PAUSE_S) == [ask(A, 1)]


def test_what_consensus_commits_meanwhile_is_not_imported_again() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answer(1, 10), 0)
    core.handle(answer(11, 20), 0)
    core.handle(answer(21, 30), 0)
    core.handle(Advanced(BlockNumber(25)), 0)
    assert core.handle(imported(25), 0) == [import_of(A, 26, 30), ask(A, 31)]


def test_a_run_that_does_not_fit_one_answer_is_put_together_from_one_peer() -> None:
    core = core_at(0)
    core.handle(peers(a=40, b=40), 0)
    assert core.handle(answer(1, 4, cut=True), 0) == [ask(A, 5)]
    assert core.handle(answer(5, 9, cut=True), 0) == [ask(A, 10)]
    assert core.handle(answer(10, 12), 0) == [import_of(A, 1, 12), ask(A, 13)]


def test_a_run_whose_peer_goes_silent_half_way_is_begun_again_with_another() -> None:
    core = core_at(0)
    core.handle(peers(a=40, b=40), 0)
    assert core.handle(answer(1, 4, cut=True), 0) == [ask(A, 5)]
    assert core.handle(Failed(lied=False), 0) == [ask(B, 1)]


def test_a_run_whose_peer_leaves_half_way_is_begun_again_with_another() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answer(1, 4, cut=True), 0)
    core.handle(peers(b=40), 0)
    assert core.handle(answer(5, 6, cut=True), 0) == [ask(B, 1)]


def test_a_run_without_an_end_is_given_up() -> None:
    core = core_at(0)
    actions: list[Action] = core.handle(peers(a=40, b=40), 0)
    for turn in range(RUN_ANSWERS_MAX):
        assert actions == [ask(A, turn + 1)]
        actions = core.handle(answer(turn + 1, turn + 1, cut=True), 0)
    assert actions == [ask(A, RUN_ANSWERS_MAX + 1)]
    assert core.handle(answer(RUN_ANSWERS_MAX + 1, RUN_ANSWERS_MAX + 1, cut=True), 0) == [ask(B, 1)]


def test_a_small_gap_is_left_to_consensus_for_a_while() -> None:
    core = core_at(10, patience_blocks=3)
    assert core.handle(peers(a=13), 0) == []
    assert not core.is_syncing
    assert core.handle(peers(a=13), PATIENCE_S - 1) == []
    assert core.handle(peers(a=13), PATIENCE_S) == [ask(A, 11)]


def test_patience_begins_anew_with_every_block() -> None:
    core = core_at(10, patience_blocks=3)
    core.handle(peers(a=13), 0)
    assert core.handle(Advanced(BlockNumber(11)), PATIENCE_S - 1) == []
    assert core.handle(peers(a=13), PATIENCE_S) == []


def test_a_large_gap_is_closed_at_once_and_to_the_end() -> None:
    core = core_at(0, patience_blocks=3)
    assert core.handle(peers(a=9), 0) == [ask(A, 1)]
    assert core.handle(answer(1, 7, finalized=9), 0) == [import_of(A, 1, 7), ask(A, 8)]


@given(
    every=st.integers(1, 12),
    turns=st.lists(st.sampled_from(["tick", "answer", "import"]), max_size=60),
    moods=st.lists(st.sampled_from(["honest", "silent", "lying"]), max_size=20),
)
def test_sync_reaches_the_target_as_long_as_one_peer_is_honest(
    every: int, turns: list[str], moods: list[str]
) -> None:
    source, core, now = Source(BLOCKS, every), core_at(0), 0.0
    order, mood = iter(turns), iter(moods)
    open_ask: Ask | None = None
    running: Import | None = None
    while core.height < 40:
        turn = next(order, "answer" if open_ask else "import" if running else "tick")
        actions: list[Action] = []
        if turn == "tick":
            now += 60
            assert now < 60 * 300
            actions = core.handle(peers(b=50, a=40), now)
        elif turn == "answer" and open_ask is not None:
            temper = next(mood, "silent") if open_ask.peer == B else "honest"
            found = collect(source, open_ask.first, BlockNumber(40))
            open_ask = None
            honest = Answered(found) if temper == "honest" else Failed(lied=temper == "lying")
            actions = core.handle(honest, now)
        elif turn == "import" and running is not None:
            assert running.blocks[0].header.height == core.height + 1
            height, running = running.blocks[-1].header.height, None
            actions = core.handle(imported(height), now)
        for action in actions:
            if isinstance(action, Ask):
                assert open_ask is None
                open_ask = action
            else:
                assert running is None
                running = action


def test_an_answer_holds_whole_runs() -> None:
    found = collect(Source(BLOCKS, every=3), BlockNumber(1), BlockNumber(40))
    assert [len(run.blocks) for run in found.runs] == [3] * 13 + [1]
    assert found == Answer(BlockNumber(40), found.runs)


def test_an_answer_ends_where_the_answerer_does() -> None:
    assert collect(Source(BLOCKS), BlockNumber(41), BlockNumber(40)).runs == ()
    assert len(collect(Source(BLOCKS), BlockNumber(40), BlockNumber(40)).runs) == 1


def test_an_answer_is_bounded_in_blocks() -> None:
    many = Source(chain_of(ANSWER_BLOCKS_MAX + 10), every=10)
    found = collect(many, BlockNumber(1), BlockNumber(ANSWER_BLOCKS_MAX + 10))
    assert sum(len(run.blocks) for run in found.runs) == ANSWER_BLOCKS_MAX // 10 * 10


@pytest.mark.parametrize("every", [1, 100])
def test_an_answer_is_bounded_in_bytes_and_cuts_a_run_only_if_it_must(every: int) -> None:
    found = collect(Source(chain_of(20, body_bytes=500_000), every), BlockNumber(1), BlockNumber(20))
    assert 7_000_000 < len(ANSWER.encode(found)) <= ANSWER_BYTES_MAX
    assert [run.certificate is None for run in found.runs] == ([True] if every == 100 else [False] * 16)
