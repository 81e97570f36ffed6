from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from node.consensus.leaders import deal_turns, leader_schedule
from primitives.committee import Committee, Member
from primitives.types import BlockHash, BlockNumber, EpochIndex, PublicKey, SpecVersion, Stake

GENESIS = BlockHash(bytes(32))


def committee(stakes: list[int], epoch: int = 1) -> Committee:
    members = tuple(
        Member(PublicKey(index.to_bytes(32, "big")), Stake(stake)) for index, stake in enumerate(stakes)
    )
    return Committee(EpochIndex(epoch), BlockNumber(1), BlockNumber(10), SpecVersion(1), members)


def test_equal_stakes_get_equal_turns() -> None:
    assert deal_turns(committee([5, 5, 5, 5])) == [8, 8, 8, 8]


def test_turns_follow_stake_by_largest_remainder() -> None:
    assert deal_turns(committee([1, 2, 4])) == [3, 7, 14]


def test_smallest_stake_gets_a_turn_from_the_largest() -> None:
    assert deal_turns(committee([10**9, 1, 1])) == [22, 1, 1]


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=12))
def test_every_member_gets_a_turn_and_the_deck_is_full(stakes: list[int]) -> None:
    turns = deal_turns(committee(stakes))
    assert sum(turns) == 8 * len(stakes)
    assert min(turns) >= 1
    schedule = leader_schedule(committee(stakes), GENESIS)
    assert Counter(schedule) == Counter(dict(enumerate(turns)))


def test_order_changes_with_epoch_and_genesis() -> None:
    stakes = [1, 1, 1, 1]
    schedule = leader_schedule(committee(stakes), GENESIS)
    assert schedule == leader_schedule(committee(stakes), GENESIS)
    assert schedule != leader_schedule(committee(stakes, epoch=2), GENESIS)
    assert schedule != leader_schedule(committee(stakes), BlockHash(b"x" * 32))
