"""What a node that is behind asks for, proves and imports, whatever its peers do."""

from node.network.identity import PeerId
from node.standing import LIAR_REST_S
from node.sync.core import (
    AHEAD_BYTES_MAX,
    DOUBTFUL_FAILURES,
    IMPORT_BLOCKS,
    MOVING_S,
    PATIENCE_S,
    PAUSE_S,
    QUESTIONS_MAX,
    REST_S,
    SETTLE_S,
    SLOW_S,
    SPAN_FIRST,
    Advanced,
    Announced,
    Answered,
    Ask,
    Failed,
    Import,
    Imported,
    Peers,
    Premature,
    Prove,
    Proved,
    Refused,
    Settle,
    SyncCore,
    Unproved,
)
from node.sync.messages import ANSWER_BYTES, ANSWER_BYTES_MAX, Answer, Run
from primitives.types import BlockNumber
from tests.node.sync.samples import chain_of, run_of

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
BLOCKS = chain_of(40)
LONG = chain_of(2 * IMPORT_BLOCKS)
EPOCHS = chain_of(40, epoch_blocks=10)


def core_at(height: int, patience_blocks: int = 0) -> SyncCore:
    return SyncCore(BlockNumber(height), patience_blocks)


def peers(**heights: int) -> Peers:
    return Peers(tuple((PeerId(name), BlockNumber(height)) for name, height in heights.items()))


def ask(peer: PeerId, first: int, last: int) -> Ask:
    return Ask(peer, BlockNumber(first), BlockNumber(last))


def answered(peer: PeerId, *runs: Run, size_bytes: int = 1000, holds_from: int = 0) -> Answered:
    return Answered(peer, Answer(BlockNumber(40), BlockNumber(holds_from), runs), size_bytes)


def run(first: int, last: int, beyond: int | None = None) -> Run:
    """Blocks `first` to `last`, proved by the certificate of `last`, or of one beyond."""
    return run_of(BLOCKS[first : last + 1], () if beyond is None else BLOCKS[last + 1 : beyond + 1])


def proved(peer: PeerId, first: int) -> Proved:
    return Proved(peer, BlockNumber(first))


def imported(height: int) -> Imported:
    return Imported(BlockNumber(height))


def lie(peer: PeerId, first: int) -> Unproved:
    return Unproved(peer, BlockNumber(first), lied=True)


def test_a_node_that_is_level_asks_nothing() -> None:
    core = core_at(10)
    assert core.handle(peers(a=10, b=9), 0) == []
    assert (core.target, core.is_syncing) == (10, False)


def test_a_node_without_peers_asks_nothing() -> None:
    assert core_at(10).handle(peers(), 0) == []


def test_a_node_that_is_behind_asks_the_most_trusted_peer_that_is_ahead() -> None:
    core = core_at(10)
    assert core.handle(peers(a=10, b=20, c=20), 0) == [ask(B, 11, 20)]
    assert (core.target, core.is_syncing) == (20, True)
    assert core.handle(peers(a=10, b=20, c=20), 1) == []


def test_several_peers_are_asked_for_different_blocks() -> None:
    core = core_at(0)
    names = {f"p{number}": 1000 for number in range(QUESTIONS_MAX + 1)}
    asks = core.handle(peers(**names), 0)
    assert asks == [
        ask(PeerId(f"p{number}"), number * SPAN_FIRST + 1, (number + 1) * SPAN_FIRST)
        for number in range(QUESTIONS_MAX)
    ]


def test_a_peer_is_asked_for_no_more_than_it_says_it_has() -> None:
    core = core_at(0)
    assert core.handle(peers(a=10, b=40), 0) == [ask(A, 1, 10), ask(B, 11, 40)]


def test_what_was_answered_is_proved_and_then_imported() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    assert core.handle(answered(A, run(1, 3), run(4, 40)), 0) == [Prove(A, (run(1, 3), run(4, 40)))]
    assert core.handle(proved(A, 1), 0) == [Import((run(1, 3), run(4, 40)))]
    assert core.handle(imported(40), 0) == [Settle()]
    assert not core.is_syncing


def test_blocks_are_fetched_and_proved_while_others_are_imported() -> None:
    core = core_at(0)
    core.handle(peers(a=20, b=40), 0)
    core.handle(answered(A, run(1, 20)), 0)
    core.handle(proved(A, 1), 0)
    assert core.handle(answered(B, run(21, 40)), 0) == [Prove(B, (run(21, 40),))]
    assert core.handle(proved(B, 21), 0) == []
    assert core.handle(imported(20), 0) == [Import((run(21, 40),))]


def test_what_arrives_too_early_waits_for_what_is_below_it() -> None:
    core = core_at(0)
    core.handle(peers(a=20, b=40), 0)
    core.handle(answered(B, run(21, 40)), 0)
    assert core.handle(proved(B, 21), 0) == []
    core.handle(answered(A, run(1, 20)), 0)
    assert core.handle(proved(A, 1), 0) == [Import((run(1, 20), run(21, 40)))]


def test_a_part_that_was_not_sent_is_asked_for_again() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    assert core.handle(answered(A, run(1, 5)), 0) == [Prove(A, (run(1, 5),)), ask(A, 6, 40)]


def test_questions_are_as_long_as_their_answers_may_be() -> None:
    core = core_at(0)
    core.handle(peers(a=1000), 0)
    assert core.handle(answered(A, run(1, 4), size_bytes=ANSWER_BYTES), 0)[1:] == [ask(A, 5, 8)]
    core.handle(answered(A, run(5, 8), size_bytes=40), 0)
    assert core.handle(proved(A, 1), 0)[0] == Import((run(1, 4),))


def test_the_beginning_of_a_run_waits_for_its_end() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answered(A, run(1, 3), run(4, 6, beyond=9)), 0)
    assert core.handle(proved(A, 1), 0) == [Import((run(1, 3),))]
    assert core.handle(proved(A, 4), 0) == []
    assert core.handle(imported(3), 0) == []
    core.handle(answered(A, run(7, 9), run(10, 40)), 0)
    assert core.handle(proved(A, 7), 0) == [Import((run(4, 6, beyond=9), run(7, 9), run(10, 40)))]


def test_an_import_is_bounded() -> None:
    core = core_at(0)
    waiting = core.handle(peers(a=len(LONG) - 1), 0)
    imports: list[Import] = []
    while waiting:
        match waiting.pop(0):
            case Ask(peer, first, last):
                runs = [run_of([block]) for block in LONG[first : last + 1]]
                waiting += core.handle(answered(peer, *runs, size_bytes=1), 0)
            case Prove(peer, runs):
                waiting += core.handle(proved(peer, runs[0].first), 0)
            case Import() as one:
                imports.append(one)
    assert [len(one.runs) for one in imports] == [SPAN_FIRST]
    (second,) = (one for one in core.handle(imported(SPAN_FIRST), 0) if isinstance(one, Import))
    assert IMPORT_BLOCKS <= len(second.runs) < len(LONG) - SPAN_FIRST


def test_later_epochs_are_proved_when_their_turn_comes() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    runs = [run_of(EPOCHS[first : first + 10]) for first in (1, 11, 21, 31)]
    assert core.handle(answered(A, *runs), 0) == [Prove(A, (runs[0],)), Prove(A, (runs[1],))]
    assert core.handle(Premature(A, BlockNumber(11), until=BlockNumber(10)), 0) == []
    assert core.handle(proved(A, 1), 0) == [Import((runs[0],))]
    assert core.handle(imported(10), 0) == [Prove(A, (runs[1],)), Prove(A, (runs[2],))]


def test_an_answer_tells_how_far_its_peer_has_come_meanwhile() -> None:
    core = core_at(0)
    core.handle(peers(a=5), 0)
    assert core.handle(answered(A, run(1, 5)), 0) == [Prove(A, (run(1, 5),)), ask(A, 6, 40)]


def test_news_is_asked_for_at_once() -> None:
    core = core_at(5)
    core.handle(peers(a=5), 0)
    assert core.handle(Announced(A, BlockNumber(6)), 0.5) == [ask(A, 6, 6)]
    assert core.handle(Announced(B, BlockNumber(99)), 0.5) == []


def test_a_silent_peer_is_left_for_another_and_asked_again_later() -> None:
    core = core_at(0)
    core.handle(peers(a=9), 0)
    assert core.handle(Failed(A, lied=False), 0) == []
    assert core.handle(peers(a=9, b=9), 0) == [ask(B, 1, 9)]
    assert core.handle(Failed(B, lied=False), 0) == []
    assert core.handle(peers(a=9, b=9), REST_S) == [ask(A, 1, 9)]


def test_what_a_failing_peer_claims_counts_no_more_until_it_delivers() -> None:
    core = core_at(0)
    now = 0.0
    for _ in range(DOUBTFUL_FAILURES):
        assert core.handle(peers(a=999), now) == [ask(A, 1, SPAN_FIRST)]
        core.handle(Failed(A, lied=False), now)
        now += 100
    assert core.handle(peers(a=999, b=1), now)[0] == ask(B, 1, 1)
    assert core.target == 1


def test_a_liar_is_left_alone_for_long_and_does_not_count_as_ahead() -> None:
    core = core_at(0)
    core.handle(peers(a=99), 0)
    assert core.handle(Failed(A, lied=True), 0) == []
    assert (core.target, core.is_syncing) == (0, False)
    assert core.handle(peers(a=99), LIAR_REST_S - 1) == []
    assert core.handle(peers(a=99), LIAR_REST_S) == [ask(A, 1, SPAN_FIRST)]


def test_false_runs_are_asked_of_another_and_true_ones_above_them_stay() -> None:
    core = core_at(0)
    core.handle(peers(a=20, b=40), 0)
    core.handle(answered(A, run(1, 20)), 0)
    core.handle(answered(B, run(21, 40)), 0)
    core.handle(proved(B, 21), 0)
    assert core.handle(lie(A, 1), 0) == [ask(B, 1, 20)]
    core.handle(answered(B, run(1, 20)), 0)
    assert core.handle(proved(B, 1), 0) == [Import((run(1, 20), run(21, 40)))]


def test_of_a_liar_nothing_is_kept_that_is_not_proved() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answered(A, run(1, 5), run(6, 10, beyond=12)), 0)
    core.handle(proved(A, 1), 0)
    core.handle(answered(A, run(11, 40)), 0)
    assert core.handle(lie(A, 6), 0) == []
    assert core.handle(proved(A, 11), 0) == []
    assert core.handle(peers(a=40, b=40), 0) == [ask(B, 6, 40)]


def test_a_peer_that_holds_old_blocks_no_more_is_not_asked_for_them_and_not_blamed() -> None:
    core = core_at(0)
    assert core.handle(peers(a=40), 0) == [ask(A, 1, 40)]
    assert core.handle(answered(A, holds_from=20), 0) == []
    assert (core.is_starved, core.target) == (True, 40)
    assert core.handle(peers(a=40), 1000) == []
    assert core.handle(peers(a=40, b=40), 1000) == [ask(B, 1, 40)]
    assert (core.is_starved, core.target) == (False, 40)
    assert core.handle(Advanced(BlockNumber(19)), 1000) == []
    assert core.handle(Failed(B, lied=False), 1000) == [ask(A, 20, 40)]


def test_a_chain_that_moves_is_not_behind_what_cannot_be_fetched() -> None:
    """A peer may claim any height, and that it holds nothing of what would prove it."""
    core, far = core_at(5), 1 << 60
    [asked] = core.handle(peers(a=5, b=far), 0)
    assert asked == ask(B, 6, 5 + SPAN_FIRST)
    core.handle(answered(B, holds_from=far), 1)
    assert (core.is_starved, core.is_syncing) == (True, True)
    core.handle(Advanced(BlockNumber(6)), 2)
    assert (core.is_starved, core.is_syncing, core.target) == (False, False, 6)
    core.handle(peers(a=6, b=far), 2 + MOVING_S)
    assert (core.is_starved, core.is_syncing) == (True, True)


def test_who_holds_up_everything_gets_a_rival() -> None:
    core = core_at(0)
    assert core.handle(peers(a=40, b=40), 0) == [ask(A, 1, 40)]
    assert core.handle(peers(a=40, b=40), SLOW_S - 1) == []
    assert core.handle(peers(a=40, b=40, c=40), SLOW_S) == [ask(B, 1, 40)]
    assert core.handle(peers(a=40, b=40, c=40), 3 * SLOW_S) == []
    assert core.handle(answered(B, run(1, 20)), 3 * SLOW_S) == [
        Prove(B, (run(1, 20),)),
        ask(C, 21, 40),
    ]
    assert core.handle(answered(A, run(1, 40)), 4 * SLOW_S) == []


def test_of_equal_peers_the_faster_is_asked() -> None:
    core = core_at(0)
    core.handle(peers(a=20, b=40), 0)
    core.handle(answered(B, run(21, 40)), 0.1)
    core.handle(answered(A, run(1, 20)), 1)
    assert core.handle(peers(a=60, b=60), 1) == [ask(B, 41, 60)]


def test_answers_are_not_piled_up_without_bound() -> None:
    core = core_at(0)
    core.handle(peers(a=10**6, b=10**6), 0)
    asked: list[Ask] = [ask(B, 65, 128)]
    size = 0
    while asked:
        blocks = LONG[asked[0].first : asked[0].last + 1]
        found = Answer(BlockNumber(10**6), asked[0].first, tuple(run_of([block]) for block in blocks))
        size += ANSWER_BYTES
        actions = core.handle(Answered(asked[0].peer, found, ANSWER_BYTES), 0)
        asked = [action for action in actions if isinstance(action, Ask)]
    assert AHEAD_BYTES_MAX - 3 * ANSWER_BYTES_MAX < size <= AHEAD_BYTES_MAX
    assert core.handle(Failed(A, lied=False), 0) == [ask(B, 1, 64)]


def test_trouble_of_our_own_pauses_and_blames_nobody() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answered(A, run(1, 40)), 0)
    core.handle(proved(A, 1), 0)
    assert core.handle(Refused(for_ever=False), 0) == []
    assert core.handle(peers(a=40), PAUSE_S - 1) == []
    assert core.handle(peers(a=40), PAUSE_S) == [Import((run(1, 40),))]


def test_a_proof_that_could_not_be_looked_at_is_looked_at_later() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answered(A, run(1, 40)), 0)
    assert core.handle(Unproved(A, BlockNumber(1), lied=False), 0) == []
    assert core.handle(peers(a=40), PAUSE_S) == [Prove(A, (run(1, 40),))]


def test_who_disagrees_with_the_network_stops_for_good() -> None:
    core = core_at(0)
    core.handle(peers(a=30, b=40), 0)
    core.handle(answered(A, run(1, 30)), 0)
    core.handle(proved(A, 1), 0)
    assert core.handle(Refused(for_ever=True), 0) == []
    assert core.has_stopped
    assert core.handle(answered(B, run(31, 40)), 1) == []
    assert core.handle(peers(a=40), 10 * LIAR_REST_S) == []


def test_what_consensus_commits_meanwhile_is_not_imported_again() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(answered(A, run(1, 10), run(11, 40)), 0)
    core.handle(Advanced(BlockNumber(25)), 0)
    assert core.handle(proved(A, 1), 0) == [Import((run(1, 10), run(11, 40)))]
    assert core.handle(imported(40), 0) == [Settle()]


def test_an_answer_that_consensus_overtook_in_part_is_still_of_use() -> None:
    core = core_at(0)
    core.handle(peers(a=40), 0)
    core.handle(Advanced(BlockNumber(25)), 0)
    assert core.handle(answered(A, run(1, 40)), 0) == [Prove(A, (run(1, 40),))]
    core.handle(Advanced(BlockNumber(40)), 0)
    assert core.handle(proved(A, 1), 0) == []


def test_consensus_is_told_now_and_then_while_the_target_stays_away() -> None:
    core = core_at(0)
    core.handle(peers(a=10, b=40), 0)
    core.handle(answered(A, run(1, 10)), 0)
    core.handle(proved(A, 1), 0)
    assert core.handle(imported(10), 0) == []
    assert Settle() in core.handle(peers(a=10, b=40), SETTLE_S)
    assert Settle() not in core.handle(peers(a=10, b=40), 2 * SETTLE_S)


def test_a_small_gap_is_left_to_consensus_for_a_while() -> None:
    core = core_at(10, patience_blocks=3)
    assert core.handle(peers(a=13), 0) == []
    assert not core.is_syncing
    assert core.handle(peers(a=13), PATIENCE_S - 1) == []
    assert core.handle(peers(a=13), PATIENCE_S) == [ask(A, 11, 13)]


def test_patience_begins_anew_with_every_block() -> None:
    core = core_at(10, patience_blocks=3)
    core.handle(peers(a=13), 0)
    assert core.handle(Advanced(BlockNumber(11)), PATIENCE_S - 1) == []
    assert core.handle(peers(a=13), PATIENCE_S) == []


def test_a_large_gap_is_closed_at_once_and_to_the_end() -> None:
    core = core_at(0, patience_blocks=3)
    assert core.handle(peers(a=9), 0) == [ask(A, 1, 9)]
    assert core.handle(answered(A, run(1, 7)), 0) == [Prove(A, (run(1, 7),)), ask(A, 8, 9)]


def test_the_lowest_blocks_are_asked_for_however_much_is_held() -> None:
    core = core_at(0)
    core.handle(peers(a=20, b=40), 0)
    core.handle(answered(B, run(21, 40), size_bytes=AHEAD_BYTES_MAX), 0)
    assert core.handle(Failed(A, lied=False), 0) == [ask(B, 1, 1)]  # blocks so long come one by one
