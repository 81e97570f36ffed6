"""Session: epochs follow their heights, and the hand-over goes through whoever elects."""

import pytest

from frame.error import InvalidBlock, Rejection
from frame.validators import Validator
from pallets.session import Session
from primitives.types import EpochIndex, PublicKey, Stake
from runtime.constants import SPEC_VERSION
from tests.pallets.world import ALICE, AUTHOR_KEY, BOB, World

BOB_KEY = PublicKey(b"\xb0" * 32)
TWO = (Validator(BOB, BOB_KEY, Stake(3)), Validator(ALICE, AUTHOR_KEY, Stake(5)))


class Elects:
    """Somebody else each time. Implements frame.validators.Validators."""

    def elect(self, acting: tuple[Validator, ...]) -> tuple[Validator, ...]:
        """Two, then one."""
        return TWO if len(acting) == 1 else TWO[1:]


class Told:
    """Implements frame.hooks.OnNewEpoch."""

    def __init__(self) -> None:
        self.epochs: list[tuple[EpochIndex, tuple[Validator, ...]]] = []

    def on_new_epoch(self, epoch: EpochIndex, validators: tuple[Validator, ...]) -> None:
        """Remember."""
        self.epochs.append((epoch, validators))


def test_the_elected_are_seated_by_the_last_block_of_an_epoch(world: World) -> None:
    told = Told()
    for _ in range(9):
        world.finalize()
        assert world.pallets.session.next_committee is None
        world.next_block()
    session = Session(world.pallets.context, SPEC_VERSION, validators=Elects(), on_new_epoch=[told])
    session.on_finalize()
    committee = session.next_committee
    assert committee is not None
    assert (committee.epoch, committee.first_height, committee.last_height) == (2, 11, 20)
    assert [(member.key, member.stake) for member in committee.members] == [(BOB_KEY, 3), (AUTHOR_KEY, 5)]
    assert told.epochs == [(EpochIndex(2), TWO)]
    pallets = world.next_block(author=BOB_KEY)
    assert pallets.session.author() == BOB
    assert pallets.session.acting() == TWO


def test_the_same_validators_carry_over_without_elections(world: World) -> None:
    for _ in range(10):
        world.finalize()
        world.next_block()
    assert world.pallets.session.committee.get().epoch == 2
    assert world.pallets.session.acting() == (Validator(ALICE, AUTHOR_KEY, Stake(1)),)


def test_a_stranger_authors_no_block(world: World) -> None:
    with pytest.raises(InvalidBlock) as rejected:
        world.next_block(author=BOB_KEY)
    assert rejected.value.rejection is Rejection.WRONG_AUTHOR


def test_the_pace_is_that_of_genesis(world: World) -> None:
    assert world.pallets.session.block_time_ms() == 500
    assert world.pallets.session.parameters().epoch_length == 10
