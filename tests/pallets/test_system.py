"""System: the chain's identity, its recent blocks, and the nonces of accounts."""

import pytest

from frame.error import InvalidBlock, InvalidTransaction, Rejection, TransactionError
from frame.origin import BadOrigin, Root, Signed
from primitives.block import GENESIS_PARENT
from primitives.extrinsic import MORTALITY_PERIOD_MAX, Mortality, SigningContext
from primitives.types import Balance, BlockHash, BlockNumber
from runtime.constants import SPEC_VERSION, TOKEN
from tests.pallets.world import ALICE, BOB, DAVE, World


def test_a_remark_is_reported(world: World) -> None:
    world.pallets.system.remark(Signed(ALICE), b"hello")
    assert world.events() == ["Remarked"]


def test_a_remark_is_signed(world: World) -> None:
    with pytest.raises(BadOrigin):
        world.pallets.system.remark(Root(), b"hello")


def test_an_extrinsic_is_signed_for_its_birth_block(world: World) -> None:
    pallets = world.next_block()
    assert pallets.system.ensure_alive(Mortality(64, BlockNumber(0))) == SigningContext(
        GENESIS_PARENT, "", SPEC_VERSION, GENESIS_PARENT
    )
    assert pallets.system.ensure_alive(Mortality(64, BlockNumber(1))) == SigningContext(
        GENESIS_PARENT, "", SPEC_VERSION, BlockHash((2).to_bytes(32, "big"))
    )
    with pytest.raises(InvalidTransaction) as refused:
        pallets.system.ensure_alive(Mortality(64, BlockNumber(2)))
    assert refused.value.reason is TransactionError.NOT_YET_BORN


def test_as_many_hashes_are_kept_as_an_extrinsic_may_live(world: World) -> None:
    for _ in range(MORTALITY_PERIOD_MAX + 2):
        world.finalize()
        world.next_block()
    system = world.pallets.system
    heights = sorted(height for height, _ in system.block_hashes.items())
    assert heights == list(range(3, MORTALITY_PERIOD_MAX + 3))
    assert system.ensure_alive(Mortality(MORTALITY_PERIOD_MAX, BlockNumber(3)))
    with pytest.raises(InvalidTransaction) as refused:
        system.ensure_alive(Mortality(MORTALITY_PERIOD_MAX, BlockNumber(2)))
    assert refused.value.reason is TransactionError.EXPIRED


def test_a_block_of_another_height_is_invalid(world: World) -> None:
    world.height += 1
    with pytest.raises(InvalidBlock) as rejected:
        world.next_block()
    assert rejected.value.rejection is Rejection.WRONG_HEIGHT


def test_an_account_is_born_with_the_nonce_of_its_height(world: World) -> None:
    assert (world.pallets.system.nonce(ALICE), world.pallets.system.nonce(DAVE)) == (0, 1 << 16)
    pallets = world.next_block()
    assert pallets.system.nonce(DAVE) == 2 << 16


def test_an_account_reborn_later_starts_above_its_earlier_life(world: World) -> None:
    world.pallets.balances.transfer_all(Signed(ALICE), BOB, False)
    pallets = world.next_block()
    pallets.balances.move(BOB, ALICE, Balance(TOKEN))
    assert pallets.system.nonce(ALICE) == 2 << 16
