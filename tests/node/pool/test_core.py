"""The pool's rules: readiness, order, replacement, bounds, and what a finalized block does to it."""

from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.pool.core import (
    REVALIDATED_MAX,
    REVALIDATION_PERIOD,
    Limits,
    PoolCore,
    Pooled,
    PoolRefused,
    Recent,
    Refusal,
    Stats,
)
from primitives.types import AccountId, BlockNumber, ExtrinsicHash, Hash, Nonce
from tests.node.pool.samples import pooled

LARGE = 1 << 30


def pool_of(*extrinsics: Pooled, limits: Limits = Limits()) -> PoolCore:  # noqa: B008 - frozen
    core = PoolCore(limits, BlockNumber(0))
    for extrinsic in extrinsics:
        core.add(extrinsic)
        core.check_state()
    return core


def refusal_of(core: PoolCore, extrinsic: Pooled) -> Refusal:
    before = list(core)
    with pytest.raises(PoolRefused) as caught:
        core.add(extrinsic)
    assert list(core) == before
    core.check_state()
    return caught.value.refusal


def offered(core: PoolCore) -> list[tuple[int, int]]:
    """(signer, nonce) in the order in which an author gets them."""
    return [(each.signer[0], each.nonce) for each in core.best(LARGE)]


def finalize(core: PoolCore, height: int, *included: Pooled) -> Sequence[Pooled]:
    due = core.on_finalized(BlockNumber(height), [(each.hash, each.extrinsic) for each in included])
    core.check_state()
    return [each.pooled for each in due]


def test_the_best_priority_goes_first_and_nonces_in_order() -> None:
    core = pool_of(
        pooled(1, 0, priority=5, is_next=True),
        pooled(1, 1, priority=90),
        pooled(2, 7, priority=50, is_next=True),
    )
    assert offered(core) == [(2, 7), (1, 0), (1, 1)]


def test_of_equal_priorities_the_first_to_come_goes_first() -> None:
    core = pool_of(*(pooled(signer, 0, is_next=True) for signer in (3, 1, 2)))
    assert offered(core) == [(3, 0), (1, 0), (2, 0)]


def test_a_gap_holds_back_what_follows_until_it_is_filled() -> None:
    core = pool_of(pooled(1, 0, is_next=True), pooled(1, 2))
    assert offered(core) == [(1, 0)]
    assert core.stats().future == 1
    core.add(pooled(1, 1))
    assert offered(core) == [(1, 0), (1, 1), (1, 2)]


def test_best_stops_at_its_bounds_and_skips_what_stands_in_unfinalized_blocks() -> None:
    first, second, third = (pooled(1, nonce, is_next=nonce == 0) for nonce in range(3))
    core = pool_of(first, second, third)
    assert core.best(len(second.data) + len(third.data) - 1, {first.hash}) == (second.extrinsic,)
    assert core.best(LARGE, count_max=2) == (first.extrinsic, second.extrinsic)


def test_a_known_extrinsic_is_refused() -> None:
    core = pool_of(pooled(1, 0, is_next=True))
    assert refusal_of(core, pooled(1, 0, is_next=True)) is Refusal.ALREADY_KNOWN


def test_an_included_extrinsic_does_not_come_back() -> None:
    core = pool_of()
    finalize(core, 1, pooled(1, 0))
    assert refusal_of(core, pooled(1, 0, is_next=True)) is Refusal.ALREADY_KNOWN


def test_an_overtaken_nonce_is_refused() -> None:
    core = pool_of(pooled(1, 5, is_next=True))
    assert refusal_of(core, pooled(1, 4, priority=99, is_next=True)) is Refusal.ALREADY_KNOWN


def test_an_expired_extrinsic_is_refused() -> None:
    core = pool_of()
    finalize(core, 10)
    assert refusal_of(core, pooled(1, 0, expires=10)) is Refusal.EXPIRED
    core.add(pooled(1, 0, expires=11))


def test_a_replacement_must_offer_a_tenth_more() -> None:
    core = pool_of(pooled(1, 0, priority=100, is_next=True))
    assert refusal_of(core, pooled(1, 0, priority=109, is_next=True)) is Refusal.UNDERPRICED
    better = pooled(1, 0, priority=110, is_next=True)
    core.add(better)
    core.check_state()
    assert list(core) == [better]


def test_a_signer_has_a_bounded_share() -> None:
    core = pool_of(pooled(1, 0), pooled(1, 1), limits=Limits(per_signer_max=2))
    assert refusal_of(core, pooled(1, 2, priority=99)) is Refusal.SIGNER_FULL
    core.add(pooled(1, 1, priority=99))


def test_a_full_pool_gives_up_future_extrinsics_before_ready_ones() -> None:
    core = pool_of(
        pooled(1, 0, priority=1, is_next=True), pooled(2, 5, priority=80), limits=Limits(count_max=2)
    )
    core.add(pooled(3, 0, priority=2, is_next=True))
    core.check_state()
    assert offered(core) == [(3, 0), (1, 0)]
    assert core.stats().evicted == 1


def test_a_full_pool_refuses_what_is_no_better_than_its_worst() -> None:
    core = pool_of(pooled(1, 0, is_next=True), limits=Limits(count_max=1))
    assert refusal_of(core, pooled(2, 0, is_next=True)) is Refusal.POOL_FULL
    assert refusal_of(core, pooled(2, 9, priority=999)) is Refusal.POOL_FULL


def test_a_long_extrinsic_pushes_out_as_many_as_it_needs_or_none() -> None:
    worst, middle, best = (pooled(each, 0, priority=each, is_next=True) for each in (1, 2, 9))
    limits = Limits(size_bytes_max=3 * len(worst.data))
    core = pool_of(worst, middle, best, limits=limits)
    assert refusal_of(core, pooled(4, 0, priority=5, size=220, is_next=True)) is Refusal.POOL_FULL
    core.add(pooled(4, 0, priority=5, size=80, is_next=True))
    core.check_state()
    assert offered(core) == [(9, 0), (4, 0)]


def test_a_finalized_block_removes_what_it_holds_and_what_it_overtakes() -> None:
    core = pool_of(pooled(1, 0, is_next=True), pooled(1, 1), pooled(1, 2))
    rival = pooled(1, 1, priority=77)
    due = finalize(core, 1, rival)
    assert offered(core) == [(1, 2)]
    assert due == [pooled(1, 2)]


def test_what_can_no_longer_be_included_expires() -> None:
    core = pool_of(pooled(1, 0, expires=5, is_next=True), pooled(1, 1, expires=9))
    finalize(core, 4)
    assert len(core) == 2
    finalize(core, 5)
    assert core.stats() == Stats(0, 1, len(pooled(1, 1, expires=9).data), 0)


def test_removing_an_invalid_extrinsic_holds_back_its_followers() -> None:
    core = pool_of(pooled(1, 0, is_next=True), pooled(1, 1))
    core.remove(pooled(1, 0).hash)
    core.remove(pooled(9, 9).hash)
    core.check_state()
    assert (offered(core), len(core)) == ([], 1)


def test_a_new_verdict_changes_readiness() -> None:
    core = pool_of(pooled(1, 3))
    core.revalidated(pooled(1, 3, is_next=True))
    core.revalidated(pooled(2, 0, is_next=True))
    core.check_state()
    assert offered(core) == [(1, 3)]


def test_what_waits_long_is_validated_again_a_bounded_number_at_a_time() -> None:
    waiting = [pooled(each, 0, is_next=True) for each in range(REVALIDATED_MAX + 1)]
    core = pool_of(*waiting)
    assert finalize(core, REVALIDATION_PERIOD - 1) == []
    assert finalize(core, REVALIDATION_PERIOD) == waiting[:-1]
    assert finalize(core, REVALIDATION_PERIOD + 1) == waiting[-1:]
    assert finalize(core, REVALIDATION_PERIOD + 2) == []


def test_the_next_nonce_counts_what_waits() -> None:
    core = pool_of(pooled(1, 4, is_next=True), pooled(1, 5), pooled(1, 7))
    assert core.next_nonce(AccountId(b"\x01" * 32), Nonce(4)) == 6
    assert core.next_nonce(AccountId(b"\x02" * 32), Nonce(3)) == 3


def test_recent_hashes_are_kept_for_one_generation_at_least_and_two_at_most() -> None:
    recent = Recent(generation_max=2)
    first, second, third = (ExtrinsicHash(Hash(bytes([each]) * 32)) for each in range(3))
    recent.add(first)
    recent.add(second)
    recent.add(third)
    assert all(each in recent for each in (first, second, third))
    recent.age()
    assert [each in recent for each in (first, second, third)] == [False, False, True]


def test_of_equals_the_youngest_gives_way() -> None:
    core = pool_of(*(pooled(each, 0, is_next=True) for each in (1, 2)), limits=Limits(count_max=2))
    core.add(pooled(3, 0, priority=11, is_next=True))
    assert offered(core) == [(3, 0), (1, 0)]


def test_a_replacement_in_a_full_pool_takes_the_place_of_what_it_replaces() -> None:
    core = pool_of(
        pooled(1, 0, priority=1, is_next=True),
        pooled(2, 0, priority=2, is_next=True),
        limits=Limits(count_max=2),
    )
    core.add(pooled(1, 0, priority=3, is_next=True))
    core.check_state()
    assert offered(core) == [(1, 0), (2, 0)]


def test_a_long_replacement_pushes_out_others_too() -> None:
    long = pooled(1, 0, priority=4, size=150, is_next=True)
    rivals = (pooled(each, 0, priority=each, is_next=True) for each in (1, 2))
    core = pool_of(*rivals, limits=Limits(size_bytes_max=len(long.data)))
    core.add(long)
    core.check_state()
    assert core.stats() == Stats(1, 0, len(long.data), 1)


def test_a_block_that_the_pool_learns_of_late_does_not_set_an_account_back() -> None:
    core = pool_of(pooled(1, 5, is_next=True))
    finalize(core, 1, pooled(1, 3))
    assert offered(core) == [(1, 5)]


def test_a_verdict_given_twice_does_not_count_twice_when_room_is_made() -> None:
    long = pooled(3, 0, priority=3, size=250, is_next=True)
    rivals = (pooled(each, 0, priority=each, is_next=True) for each in (1, 2))
    core = pool_of(*rivals, limits=Limits(size_bytes_max=len(long.data)))
    core.revalidated(pooled(1, 0, priority=1, is_next=True))
    core.add(long)
    core.check_state()
    assert list(core) == [long]


class AnySequence(RuleBasedStateMachine):
    """Every operation in any order, on a pool small enough to be full."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(count_max=6, size_bytes_max=1200, per_signer_max=3)
        self.core = PoolCore(self.limits, BlockNumber(0))

    extrinsics = st.builds(
        pooled,
        st.integers(0, 3),
        st.integers(0, 5),
        priority=st.integers(0, 20),
        expires=st.integers(1, 30),
        size=st.sampled_from([0, 0, 300]),
        is_next=st.booleans(),
    )

    @rule(extrinsic=extrinsics)
    def add(self, extrinsic: Pooled) -> None:
        before = list(self.core)
        try:
            self.core.add(extrinsic)
        except PoolRefused:
            assert list(self.core) == before
        else:
            assert self.core.get(extrinsic.hash) == extrinsic

    @rule(extrinsic=extrinsics)
    def remove(self, extrinsic: Pooled) -> None:
        self.core.remove(extrinsic.hash)
        assert extrinsic.hash not in self.core

    @rule(extrinsic=extrinsics)
    def validate_again(self, extrinsic: Pooled) -> None:
        if extrinsic.expires > self.core.height:
            self.core.revalidated(extrinsic)

    @rule(included=st.lists(extrinsics, max_size=3))
    def finalize(self, included: list[Pooled]) -> None:
        block = [(each.hash, each.extrinsic) for each in included]
        due = self.core.on_finalized(BlockNumber(self.core.height + 1), block)
        assert len(due) <= REVALIDATED_MAX
        assert all(each.hash not in self.core for each in included)

    @invariant()
    def holds_together(self) -> None:
        self.core.check_state()
        best = self.core.best(LARGE)
        assert len(best) == self.core.stats().ready
        for position, extrinsic in enumerate(best):
            assert all(
                other.nonce > extrinsic.nonce
                for other in best[position + 1 :]
                if other.signer == extrinsic.signer
            )


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
