"""Sudo: one account calls as root, and sees why root was refused."""

import pytest
from msgspec import msgpack

from frame.error import InnerFailure, InvalidTransaction, TransactionError
from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from pallets.sudo.pallet import RequireSudo
from primitives.extrinsic import Call
from primitives.outcome import Failure
from primitives.types import AccountId
from runtime.constants import CALL_DEPTH_MAX, EXTRINSIC_WEIGHT
from tests.pallets.world import ALICE, BOB, CHARLIE, START, World


def call(pallet: int, function: int, *arguments: object) -> Call:
    """A call with its arguments."""
    return Call(pallet, function, msgpack.encode(arguments))


def sudo(inner: Call) -> Call:
    """The call `sudo.sudo`."""
    return call(9, 0, inner)


SET_STAKE = call(8, 2, ALICE, 7)
FORCE_TRANSFER = call(2, 2, BOB, CHARLIE, 5)


def test_the_sudo_account_calls_as_root(world: World) -> None:
    world.pallets.sudo.sudo(Signed(ALICE), FORCE_TRANSFER)
    assert (world.free(BOB), world.free(CHARLIE)) == (START - 5, START + 5)
    assert world.events() == ["Transferred", "Sudid"]


@pytest.mark.parametrize(
    ("origin", "error"), [(Signed(BOB), RequireSudo), (Root(), BadOrigin), (Nobody(), BadOrigin)]
)
def test_nobody_else_does(world: World, origin: Origin, error: type[Exception]) -> None:
    before = world.pallets.context.overlay.changes()
    with pytest.raises(error):
        world.pallets.sudo.sudo(origin, FORCE_TRANSFER)
    with pytest.raises(error):
        world.pallets.sudo.set_key(origin, BOB)
    assert world.pallets.context.overlay.changes() == before


def test_what_root_is_refused_is_refused_by_name(world: World) -> None:
    before = world.pallets.context.overlay.changes()
    with pytest.raises(InnerFailure) as refused:
        world.pallets.sudo.sudo(Signed(ALICE), call(8, 1, ALICE))
    assert refused.value.failure() == Failure("validators", "LastValidator")
    assert world.pallets.context.overlay.changes() == before
    assert world.events() == []


def test_sudo_is_handed_over(world: World) -> None:
    world.pallets.sudo.set_key(Signed(ALICE), BOB)
    assert world.events() == ["KeyChanged"]
    assert world.pallets.sudo.account() == BOB
    with pytest.raises(RequireSudo):
        world.pallets.sudo.sudo(Signed(ALICE), SET_STAKE)
    world.pallets.sudo.sudo(Signed(BOB), SET_STAKE)


def test_a_chain_may_have_no_sudo(world: World) -> None:
    world.pallets.sudo.key.remove()
    for who in (ALICE, AccountId(bytes(32))):
        with pytest.raises(RequireSudo):
            world.pallets.sudo.sudo(Signed(who), SET_STAKE)
    assert world.pallets.sudo.account() is None


def test_it_weighs_as_much_as_what_it_runs(world: World) -> None:
    inner = world.pallets.weight_of(SET_STAKE)
    outer, twice = world.pallets.weight_of(sudo(SET_STAKE)), world.pallets.weight_of(sudo(sudo(SET_STAKE)))
    assert inner.fits(outer)
    assert outer.fits(twice)
    assert (
        twice.reference_time_ps - outer.reference_time_ps == outer.reference_time_ps - inner.reference_time_ps
    )
    assert EXTRINSIC_WEIGHT.fits(inner)


def nested(depth: int) -> Call:
    """A call that `depth` calls stand around."""
    found = SET_STAKE
    for _ in range(depth):
        found = sudo(found)
    return found


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (call(99, 0), TransactionError.UNKNOWN_CALL),
        (call(8, 9), TransactionError.UNKNOWN_CALL),
        (call(10, 0), TransactionError.BAD_ARGUMENTS),
        (call(8, 1), TransactionError.BAD_ARGUMENTS),
        (call(8, 1, ALICE, ALICE), TransactionError.BAD_ARGUMENTS),
        (nested(CALL_DEPTH_MAX - 1), TransactionError.BAD_ARGUMENTS),
        (nested(200), TransactionError.BAD_ARGUMENTS),
    ],
    ids=["pallet", "function", "bad inherent", "too few", "too many", "deep", "very deep"],
)
def test_what_is_no_call_never_enters_a_block(world: World, inner: Call, reason: TransactionError) -> None:
    with pytest.raises(InvalidTransaction) as refused:
        world.pallets.find_signed(sudo(inner))
    assert refused.value.reason is reason


def test_calls_stand_in_one_another_up_to_the_bound(world: World) -> None:
    world.pallets.find_signed(nested(CALL_DEPTH_MAX - 1))


def test_an_inherent_is_no_call_for_root(world: World) -> None:
    message = (bytes(32), bytes(32), bytes(32), bytes(64))
    inherent = call(5, 0, message)
    world.pallets.find(inherent)
    with pytest.raises(InvalidTransaction) as refused:
        world.pallets.find_signed(sudo(inherent))
    assert refused.value.reason is TransactionError.UNKNOWN_CALL
    with pytest.raises(InvalidTransaction):
        world.pallets.dispatch(Root(), inherent)
