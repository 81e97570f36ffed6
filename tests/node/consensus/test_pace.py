from node.consensus.pace import Pace, expiries_before_nullify
from primitives.types import AuthorityIndex, TimestampMs, View
from tests.node.consensus.engine import EPOCH

MEMBERS = len(EPOCH.committee.members)
LEADER = EPOCH.leader(View(9))
KEY = EPOCH.committee.members[LEADER].key
PERIOD_MS = EPOCH.settings.period_ms


def at(ms: int) -> TimestampMs:
    return TimestampMs(ms)


def test_patience_grows_slowly_with_views_without_finality() -> None:
    assert [expiries_before_nullify(View(view), View(0)) for view in (1, 5, 6, 10, 14)] == [1, 1, 2, 3, 4]
    assert expiries_before_nullify(View(10**6), View(0)) == 64


def test_member_is_silent_after_as_many_views_as_members_and_a_period() -> None:
    pace = Pace(EPOCH, frozenset())
    pace.start(View(1), at(0))
    for view in range(2, 1 + MEMBERS):
        pace.enter(View(view), at(PERIOD_MS), is_jump=False)
        assert not pace.is_silent(LEADER)
    pace.enter(View(1 + MEMBERS), at(PERIOD_MS - 1), is_jump=False)
    assert not pace.is_silent(LEADER)
    pace.enter(View(2 + MEMBERS), at(PERIOD_MS), is_jump=False)
    assert pace.is_silent(LEADER)
    assert KEY in pace.silent


def test_any_vote_ends_silence() -> None:
    pace = Pace(EPOCH, frozenset({KEY}))
    assert pace.is_silent(LEADER)
    pace.hear(LEADER, View(1), at(0))
    assert not pace.is_silent(LEADER)


def test_jump_says_nothing_about_anybody() -> None:
    pace = Pace(EPOCH, frozenset())
    pace.start(View(1), at(0))
    pace.enter(View(100), at(10 * PERIOD_MS), is_jump=True)
    assert pace.silent == frozenset()


def test_silent_leader_gets_until_its_block_is_due() -> None:
    pace = Pace(EPOCH, frozenset({KEY}))
    delta, block_time = EPOCH.settings.delta_ms, EPOCH.settings.block_time_ms
    assert pace.first_delay_ms(View(9), None, at(0)) == block_time + delta
    assert pace.first_delay_ms(View(9), at(1000), at(1100)) == block_time - 100 + delta
    assert pace.first_delay_ms(View(9), at(1000), at(9000)) == delta
    pace.hear(AuthorityIndex(LEADER), View(1), at(0))
    assert pace.first_delay_ms(View(9), None, at(0)) == PERIOD_MS


def test_leader_that_speaks_while_its_time_is_short_has_the_rest_of_the_period_once() -> None:
    pace = Pace(EPOCH, frozenset({KEY}))
    first_ms = pace.first_delay_ms(View(9), None, at(0))
    assert pace.rest_ms(View(9)) == 0
    assert pace.first_delay_ms(View(9), None, at(0)) == first_ms
    pace.hear(LEADER, View(9), at(1))
    assert pace.rest_ms(View(9)) == PERIOD_MS - first_ms
    assert pace.rest_ms(View(9)) == 0


def test_leader_that_was_not_silent_has_no_more_than_the_period() -> None:
    pace = Pace(EPOCH, frozenset({KEY}))
    pace.first_delay_ms(View(9), None, at(0))
    pace.hear(LEADER, View(9), at(1))
    assert pace.first_delay_ms(View(9), None, at(0)) == PERIOD_MS
    assert pace.rest_ms(View(9)) == 0
