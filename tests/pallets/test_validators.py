"""Validators: root keeps a set that can be seated at any time."""

import pytest

from frame.error import DispatchError
from frame.origin import BadOrigin, Origin, Root, Signed
from frame.validators import Candidate, Validator
from pallets.session import Consensus, Engine
from pallets.validators.pallet import (
    AlreadyValidator,
    LastValidator,
    NoSessionKey,
    NoStake,
    NotValidator,
    TooManyValidators,
    TooMuchStake,
)
from primitives.committee import MEMBERS_MAX
from primitives.signing import SigningKey
from primitives.types import U63_MAX, AccountId, PublicKey, Seed, Stake
from tests.pallets.test_session import pass_epoch, set_key
from tests.pallets.world import ALICE, AUTHOR_KEY, BOB, CHARLIE, World

BOB_KEY = SigningKey(Seed(b"\xb0" * 32))


@pytest.fixture
def joined(world: World) -> World:
    """Alice and Bob are candidates."""
    set_key(world, BOB, BOB_KEY)
    world.pallets.validators.add(Root(), BOB, Stake(2))
    return world


def refuse(world: World, error: type[DispatchError], name: str, *arguments: object) -> None:
    """The call is refused with `error`, and changes nothing."""
    before = world.pallets.context.overlay.changes()
    with pytest.raises(error):
        getattr(world.pallets.validators, name)(Root(), *arguments)
    assert world.pallets.context.overlay.changes() == before


def test_genesis_validators_are_candidates(world: World) -> None:
    assert world.pallets.validators.elect() == (Candidate(ALICE, Stake(1)),)


def test_who_joins_votes_from_the_next_epoch_on(joined: World) -> None:
    assert joined.events()[-1] == "ValidatorAdded"
    assert [one.account for one in joined.pallets.session.acting()] == [ALICE]
    pass_epoch(joined)
    assert joined.pallets.session.acting() == (
        Validator(ALICE, AUTHOR_KEY, Stake(1)),
        Validator(BOB, BOB_KEY.public_key, Stake(2)),
    )


def test_who_leaves_votes_to_the_end_of_the_epoch(joined: World) -> None:
    pass_epoch(joined)
    joined.pallets.validators.remove(Root(), BOB)
    assert joined.events() == ["ValidatorRemoved"]
    assert len(joined.pallets.session.acting()) == 2
    joined.pallets.session.purge_key(Signed(BOB))
    pass_epoch(joined)
    assert joined.pallets.session.acting() == (Validator(ALICE, AUTHOR_KEY, Stake(1)),)


def test_a_stake_changes_with_the_next_epoch(world: World) -> None:
    world.pallets.validators.set_stake(Root(), ALICE, Stake(9))
    assert world.events() == ["StakeChanged"]
    assert world.pallets.session.acting() == (Validator(ALICE, AUTHOR_KEY, Stake(1)),)
    pass_epoch(world)
    assert world.pallets.session.acting() == (Validator(ALICE, AUTHOR_KEY, Stake(9)),)


def test_a_validator_is_not_added_twice(world: World) -> None:
    refuse(world, AlreadyValidator, "add", ALICE, Stake(1))


def test_who_has_no_key_does_not_join(world: World) -> None:
    refuse(world, NoSessionKey, "add", BOB, Stake(1))


def test_the_last_validator_stays(world: World) -> None:
    refuse(world, LastValidator, "remove", ALICE)


@pytest.mark.parametrize("name", ["remove", "set_stake"])
def test_a_stranger_is_not_changed(world: World, name: str) -> None:
    refuse(world, NotValidator, name, BOB, *([Stake(1)] if name == "set_stake" else []))


def test_nothing_is_no_stake(joined: World) -> None:
    set_key(joined, CHARLIE, SigningKey(Seed(b"\xb1" * 32)))
    refuse(joined, NoStake, "add", CHARLIE, Stake(0))
    refuse(joined, NoStake, "set_stake", BOB, Stake(0))


def test_the_total_stake_is_bounded(joined: World) -> None:
    joined.pallets.validators.set_stake(Root(), BOB, Stake(U63_MAX - 1))
    refuse(joined, TooMuchStake, "set_stake", ALICE, Stake(2))
    set_key(joined, CHARLIE, SigningKey(Seed(b"\xb1" * 32)))
    refuse(joined, TooMuchStake, "add", CHARLIE, Stake(1))
    pass_epoch(joined)
    assert joined.pallets.session.committee.get().total == U63_MAX


def test_a_committee_has_a_bound() -> None:
    full = World(
        tuple(
            Validator(AccountId(index.to_bytes(32, "big")), PublicKey(index.to_bytes(32, "big")), Stake(1))
            for index in range(1, MEMBERS_MAX + 1)
        )
    )
    set_key(full, BOB, BOB_KEY)
    refuse(full, TooManyValidators, "add", BOB, Stake(1))
    full.check_state()


def test_the_instant_engine_has_one_validator(world: World) -> None:
    world.pallets.session.consensus.put(Consensus(Engine.INSTANT, 500, 200, 10))
    set_key(world, BOB, BOB_KEY)
    refuse(world, TooManyValidators, "add", BOB, Stake(1))


@pytest.mark.parametrize("origin", [Signed(ALICE), Signed(BOB)])
def test_only_root_changes_the_set(joined: World, origin: Origin) -> None:
    validators = joined.pallets.validators
    with pytest.raises(BadOrigin):
        validators.add(origin, CHARLIE, Stake(1))
    with pytest.raises(BadOrigin):
        validators.remove(origin, BOB)
    with pytest.raises(BadOrigin):
        validators.set_stake(origin, BOB, Stake(1))
