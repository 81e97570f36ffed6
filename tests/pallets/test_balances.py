"""Balances: what moves, what is refused, and that nothing is lost."""

from collections.abc import Callable

import pytest

from frame.error import DispatchError
from frame.origin import BadOrigin, Root, Signed
from pallets.balances import pallet as balances
from pallets.balances.pallet import (
    REASONS_MAX,
    BalanceInfo,
    Balances,
    BelowExistentialDeposit,
    InsufficientBalance,
    MustStayAlive,
    TooManyReasons,
)
from primitives.types import Balance
from tests.pallets.world import ALICE, BOB, DAVE, DEPOSIT, EVE, START, World


def amount(value: int) -> Balance:
    return Balance(value)


def test_a_transfer_moves_the_amount(world: World) -> None:
    world.pallets.balances.transfer(Signed(ALICE), BOB, amount(5))
    assert (world.free(ALICE), world.free(BOB)) == (START - 5, START + 5)
    assert world.events() == ["Transferred"]


def test_a_transfer_brings_an_account_to_life(world: World) -> None:
    world.pallets.balances.transfer(Signed(ALICE), DAVE, DEPOSIT)
    assert world.free(DAVE) == DEPOSIT
    assert world.pallets.system.nonce(DAVE) == 1 << 16


def test_a_transfer_to_oneself_changes_nothing(world: World) -> None:
    world.pallets.balances.transfer(Signed(ALICE), ALICE, START)
    assert world.free(ALICE) == START
    assert world.events() == ["Transferred"]


def test_dust_is_burned_with_the_account(world: World) -> None:
    before = world.pallets.balances.issuance()
    world.pallets.balances.transfer(Signed(ALICE), BOB, amount(START - DEPOSIT + 1))
    assert world.pallets.system.account(ALICE) is None
    assert world.pallets.balances.issuance() == before - (DEPOSIT - 1)
    assert world.events() == ["Reaped", "Transferred"]


def test_transfer_all_empties_or_keeps_the_account(world: World) -> None:
    world.pallets.balances.transfer_all(Signed(ALICE), DAVE, True)
    assert (world.free(ALICE), world.free(DAVE)) == (DEPOSIT, START - DEPOSIT)
    world.pallets.balances.transfer_all(Signed(BOB), DAVE, False)
    assert world.pallets.system.account(BOB) is None
    assert world.free(DAVE) == 2 * START - DEPOSIT


def test_transfer_all_leaves_an_account_alive_that_is_needed(world: World) -> None:
    world.pallets.balances.hold("test.hold", ALICE, amount(100))
    world.pallets.balances.transfer_all(Signed(ALICE), BOB, False)
    assert world.pallets.balances.account(ALICE) == BalanceInfo(
        free=DEPOSIT, held=amount(100), frozen=amount(0), spendable=amount(0)
    )


def test_root_moves_money_of_others(world: World) -> None:
    world.pallets.balances.force_transfer(Root(), ALICE, BOB, amount(7))
    assert world.free(BOB) == START + 7


def test_a_hold_is_set_aside_released_and_paid(world: World) -> None:
    pallet = world.pallets.balances
    pallet.hold("test.one", ALICE, amount(100))
    pallet.hold("test.one", ALICE, amount(50))
    pallet.hold("test.two", ALICE, amount(30))
    assert (pallet.held("test.one", ALICE), world.free(ALICE)) == (150, START - 180)
    pallet.release("test.one", ALICE, amount(150))
    pallet.move_held("test.two", ALICE, BOB, amount(20))
    assert (pallet.held("test.one", ALICE), pallet.held("test.two", ALICE)) == (0, 10)
    assert (world.free(ALICE), world.free(BOB)) == (START - 30, START + 20)
    assert world.events() == ["Held", "Held", "Held", "Released", "Released", "Transferred"]


def test_held_money_too_little_for_life_is_burned(world: World) -> None:
    pallet = world.pallets.balances
    before = pallet.issuance()
    pallet.hold("test.one", ALICE, amount(10))
    pallet.move_held("test.one", ALICE, DAVE, amount(10))
    assert pallet.issuance() == before - 10
    assert world.pallets.system.account(DAVE) is None


def test_freezes_overlap_and_thaw(world: World) -> None:
    pallet = world.pallets.balances
    pallet.freeze("test.one", ALICE, amount(START - 10))
    pallet.freeze("test.two", ALICE, amount(START - 50))
    assert pallet.spendable(ALICE) == 10
    pallet.freeze("test.one", ALICE, amount(0))
    assert pallet.spendable(ALICE) == 50
    pallet.hold("test.hold", ALICE, amount(40))
    assert pallet.spendable(ALICE) == 50
    pallet.freeze("test.two", ALICE, amount(0))
    assert pallet.spendable(ALICE) == START - 40 - DEPOSIT


def test_withdrawn_money_is_settled(world: World) -> None:
    pallet = world.pallets.balances
    pallet.withdraw(ALICE, amount(100))
    pallet.settle(BOB, amount(100))
    assert (world.free(ALICE), world.free(BOB)) == (START - 100, START + 100)


def too_many_holds(pallet: Balances) -> None:
    for index in range(REASONS_MAX):
        pallet.hold(f"test.{index}", BOB, amount(1))
    pallet.context.take_events()
    before = pallet.context.overlay.changes()
    try:
        pallet.hold("test.more", BOB, amount(1))
    finally:
        assert pallet.context.overlay.changes() == before


REFUSED: list[tuple[type[DispatchError], Callable[[Balances], None]]] = [
    (InsufficientBalance, lambda pallet: pallet.transfer(Signed(ALICE), BOB, amount(START + 1))),
    (InsufficientBalance, lambda pallet: pallet.transfer(Signed(DAVE), BOB, amount(1))),
    (InsufficientBalance, lambda pallet: pallet.transfer_all(Signed(DAVE), BOB, False)),
    (BelowExistentialDeposit, lambda pallet: pallet.transfer(Signed(ALICE), DAVE, amount(DEPOSIT - 1))),
    (BadOrigin, lambda pallet: pallet.transfer(Root(), BOB, amount(1))),
    (BadOrigin, lambda pallet: pallet.force_transfer(Signed(ALICE), BOB, ALICE, amount(1))),
    (InsufficientBalance, lambda pallet: pallet.hold("test.one", ALICE, amount(START - DEPOSIT + 1))),
    (InsufficientBalance, lambda pallet: pallet.hold("test.one", DAVE, amount(1))),
    (InsufficientBalance, lambda pallet: pallet.freeze("test.one", DAVE, amount(1))),
    (MustStayAlive, lambda pallet: pallet.withdraw(ALICE, amount(START - DEPOSIT + 1))),
    (MustStayAlive, lambda pallet: pallet.withdraw(DAVE, amount(1))),
]


@pytest.mark.parametrize(("error", "attempt"), REFUSED)
def test_a_refusal_has_a_name_and_changes_nothing(
    world: World, error: type[DispatchError], attempt: Callable[[Balances], None]
) -> None:
    before = world.pallets.context.overlay.changes()
    with pytest.raises(error):
        attempt(world.pallets.balances)
    assert world.pallets.context.overlay.changes() == before
    assert world.events() == []


def test_a_needed_account_cannot_be_emptied(world: World) -> None:
    world.pallets.balances.hold("test.one", ALICE, amount(10))
    with pytest.raises(MustStayAlive):
        world.pallets.balances.transfer(Signed(ALICE), BOB, amount(START - 10))
    assert world.free(ALICE) == START - 10


def test_frozen_money_cannot_be_spent(world: World) -> None:
    world.pallets.balances.freeze("test.one", ALICE, START)
    with pytest.raises(InsufficientBalance):
        world.pallets.balances.transfer(Signed(ALICE), BOB, amount(1))


def test_there_is_a_most_of_reasons(world: World) -> None:
    with pytest.raises(TooManyReasons):
        too_many_holds(world.pallets.balances)


def test_more_than_is_held_cannot_be_released(world: World) -> None:
    world.pallets.balances.hold("test.one", ALICE, amount(10))
    with pytest.raises(AssertionError):
        world.pallets.balances.release("test.one", ALICE, amount(11))


def test_nobody_has_nothing(world: World) -> None:
    nothing = amount(0)
    assert world.pallets.balances.account(EVE) == balances.BalanceInfo(nothing, nothing, nothing, nothing)
    assert world.pallets.balances.spendable(EVE) == 0
