"""Fees: what is charged, and who gets it."""

import pytest

from frame.error import InvalidTransaction
from frame.weight import Weight
from pallets.fees.pallet import Quote
from primitives.codec import CodecError
from primitives.extrinsic import EXTRINSIC, Call, Extrinsic, Mortality
from primitives.types import Balance, BlockNumber, Nonce, Signature
from runtime.constants import FEES, TREASURY
from tests.pallets.world import ALICE, BOB, DEPOSIT, START, World


def extrinsic(call: Call, tip: int = 0) -> bytes:
    mortality = Mortality(1, BlockNumber(0))
    return EXTRINSIC.encode(Extrinsic(BOB, Nonce(0), mortality, Balance(tip), call, Signature(bytes(64))))


def test_a_fee_is_shared_out_once_a_block(world: World) -> None:
    account = world.pallets.system.account(BOB)
    assert account is not None
    fee = Balance(10 * DEPOSIT + 3)
    world.pallets.fees.charge(BOB, account, fee)
    assert world.events() == ["FeePaid"]
    assert (world.free(BOB), world.free(ALICE), world.free(TREASURY)) == (START - fee, START, 0)
    world.pallets.fees.on_finalize()
    assert (world.free(ALICE), world.free(TREASURY)) == (START + fee // 5, fee - fee // 5)
    assert world.pallets.system.nonce(BOB) == 1


def test_a_treasury_share_too_little_for_life_is_burned(world: World) -> None:
    account = world.pallets.system.account(BOB)
    assert account is not None
    before = world.pallets.balances.issuance()
    world.pallets.fees.charge(BOB, account, Balance(10))
    world.pallets.fees.on_finalize()
    assert world.pallets.balances.issuance() == before - 8


def test_a_quote_is_length_weight_and_tip(world: World) -> None:
    data = extrinsic(Call(0, 0, b"\x91\xc4\x00"), tip=7)
    weight = Weight(65_000_000, 1_000)
    assert world.pallets.fees.quote(data) == Quote(
        length_fee=Balance(len(data) * FEES.per_byte),
        weight_fee=Balance(65_000 * FEES.per_nanosecond + 1_000 * FEES.per_proof_byte),
        tip=Balance(7),
        weight=weight,
    )


def test_a_longer_remark_weighs_more(world: World) -> None:
    short, long = (extrinsic(Call(0, 0, b"\x91\xc4" + bytes([size, *bytes(size)]))) for size in (0, 200))
    quotes = [world.pallets.fees.quote(data) for data in (short, long)]
    assert quotes[1].weight.reference_time_ps > quotes[0].weight.reference_time_ps


def test_nothing_is_quoted_for_what_is_no_extrinsic(world: World) -> None:
    with pytest.raises(CodecError):
        world.pallets.fees.quote(b"\x00")
    with pytest.raises(InvalidTransaction):
        world.pallets.fees.quote(extrinsic(Call(99, 0, b"\x90")))
