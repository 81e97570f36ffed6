"""Sealing keys: registered by whoever validates, replaced, and given back with their deposit."""

import pytest

from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from frame.sealing import Reader, SealingKey
from frame.validators import Validator
from pallets.balances.pallet import InsufficientBalance
from pallets.sealing.pallet import KEY, Config, NoKey
from primitives.types import Balance, PublicKey, Stake
from runtime.constants import SEALING
from tests.pallets.world import ALICE, BOB, DAVE, World

ONE, TWO = SealingKey(b"\x01" * 32), SealingKey(b"\x02" * 32)


@pytest.fixture
def panel() -> World:
    return World(
        (
            Validator(ALICE, PublicKey(b"\xa1" * 32), Stake(3)),
            Validator(BOB, PublicKey(b"\xa2" * 32), Stake(1)),
        )
    )


def test_a_key_is_registered_replaced_and_removed(world: World) -> None:
    sealing, free = world.pallets.sealing, world.free(ALICE)
    sealing.set_key(Signed(ALICE), ONE)
    sealing.set_key(Signed(ALICE), TWO)
    assert sealing.key_of(ALICE) == TWO
    assert world.pallets.balances.held(KEY, ALICE) == SEALING.key_deposit
    assert world.events() == ["Held", "KeySet", "KeySet"]
    sealing.remove_key(Signed(ALICE))
    assert (sealing.key_of(ALICE), world.free(ALICE)) == (None, free)
    assert world.events() == ["Released", "KeyRemoved"]


def test_what_was_deposited_is_what_is_given_back(world: World) -> None:
    sealing, free = world.pallets.sealing, world.free(ALICE)
    sealing.set_key(Signed(ALICE), ONE)
    sealing.config = Config(key_deposit=Balance(2 * SEALING.key_deposit))
    sealing.set_key(Signed(ALICE), TWO)
    world.check_state()
    sealing.remove_key(Signed(ALICE))
    assert (world.free(ALICE), world.pallets.balances.held(KEY, ALICE)) == (free, 0)


def test_the_readers_are_the_validators_of_the_epoch(panel: World) -> None:
    panel.pallets.sealing.set_key(Signed(BOB), ONE)
    assert panel.pallets.sealing.readers() == (Reader(ALICE, Stake(3), None), Reader(BOB, Stake(1), ONE))
    panel.check_state()


def test_what_is_not_there_cannot_be_removed_and_who_cannot_pay_registers_nothing(world: World) -> None:
    before = world.pallets.context.overlay.changes()
    with pytest.raises(NoKey):
        world.pallets.sealing.remove_key(Signed(ALICE))
    with pytest.raises(InsufficientBalance):
        world.pallets.sealing.set_key(Signed(DAVE), ONE)
    assert world.pallets.context.overlay.changes() == before


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_keys_are_of_accounts(world: World, origin: Origin) -> None:
    with pytest.raises(BadOrigin):
        world.pallets.sealing.set_key(origin, ONE)
    with pytest.raises(BadOrigin):
        world.pallets.sealing.remove_key(origin)
