"""The runtime, asked as a node asks it."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from frame.error import InvalidBlock, InvalidQuery, InvalidTransaction, Rejection, TransactionError
from frame.state import DictState
from primitives.codec import Codec
from primitives.committee import committee_root
from primitives.extrinsic import EXTRINSIC, Call, Extrinsic
from primitives.outcome import Failure
from primitives.types import AccountId, Balance, BlockNumber, EpochIndex, Nonce, Signature
from runtime.constants import TOKEN, TREASURY
from runtime.runtime import Runtime, Validity
from tests.runtime.chain import (
    ALICE,
    BLOCK_TIME_MS,
    BOB,
    CHARLIE,
    EPOCH_LENGTH,
    GENESIS_HASH,
    START_MS,
    Chain,
    account,
    call,
    genesis_config,
    transfer,
)


@pytest.fixture
def chain() -> Chain:
    return Chain()


def fee_of(chain: Chain, extrinsic: Extrinsic) -> int:
    quote = chain.runtime.query(chain.state, "fees.quote", EXTRINSIC.encode(extrinsic))
    return int(quote.length_fee + quote.weight_fee + quote.tip)


def test_genesis_is_a_pure_function_of_its_configuration() -> None:
    changes = Runtime().build_genesis(genesis_config())
    assert changes == Runtime().build_genesis(genesis_config())
    assert [key for key, _ in changes] == sorted({key for key, _ in changes})


def test_a_transfer_moves_the_amount_and_shares_out_the_fee(chain: Chain) -> None:
    extrinsic = chain.sign(ALICE, transfer(account(CHARLIE), TOKEN), tip=5)
    fee = fee_of(chain, extrinsic)
    executed = chain.grow(extrinsic)
    assert [(event.pallet, event.event) for event in executed.outcome.calls[0].events] == [
        ("fees", "FeePaid"),
        ("balances", "Transferred"),
    ]
    reward = fee // 5
    assert chain.free(account(CHARLIE)) == TOKEN
    assert chain.free(account(ALICE)) == 999 * TOKEN - fee + reward
    assert chain.free(TREASURY) == fee - reward


def test_a_refused_call_keeps_its_fee_and_nothing_else(chain: Chain) -> None:
    extrinsic = chain.sign(BOB, transfer(account(CHARLIE), 2000 * TOKEN))
    executed = chain.grow(extrinsic)
    outcome = executed.outcome.calls[0]
    assert outcome.failure == Failure("balances", "InsufficientBalance")
    assert [event.event for event in outcome.events] == ["FeePaid"]
    assert chain.free(account(BOB)) == 1000 * TOKEN - fee_of(chain, extrinsic)
    assert chain.runtime.query(chain.state, "system.nonce", account(BOB)) == 1


def test_building_skips_what_is_invalid_and_takes_the_rest(chain: Chain) -> None:
    good = chain.sign(ALICE, transfer(account(BOB), 1))
    again = chain.sign(ALICE, transfer(account(BOB), 2))
    gap = chain.sign(BOB, transfer(account(ALICE), 1), nonce=3)
    block, _ = chain.block([good, again, gap], inherents=[call(2, 0), call(77, 0)])
    assert block.body.extrinsics == (good,)
    assert block.body.inherents == ()


def test_an_account_reborn_in_the_same_block_goes_on_with_its_nonce(chain: Chain) -> None:
    birth = 1 << 16
    come = chain.sign(ALICE, transfer(account(CHARLIE), TOKEN))
    leave = chain.sign(CHARLIE, call(2, 1, account(BOB), False), nonce=birth)
    back = chain.sign(ALICE, transfer(account(CHARLIE), TOKEN), nonce=1)
    block, _ = chain.block([come, leave, back, leave])
    assert block.body.extrinsics == (come, leave, back)
    chain.grow(come, leave, back)
    assert chain.runtime.query(chain.state, "system.nonce", account(CHARLIE)) == birth + 1


def test_an_account_reborn_later_starts_above_its_earlier_nonces(chain: Chain) -> None:
    chain.grow(chain.sign(ALICE, transfer(account(CHARLIE), TOKEN)))
    leave = chain.sign(CHARLIE, call(2, 1, account(BOB), False))
    chain.grow(leave, chain.sign(ALICE, transfer(account(CHARLIE), TOKEN)))
    assert chain.runtime.query(chain.state, "system.nonce", account(CHARLIE)) == 2 << 16
    with pytest.raises(InvalidTransaction) as refused:
        chain.runtime.validate_transaction(chain.state, leave, chain.parent)
    assert refused.value.reason is TransactionError.STALE_NONCE


def changed(**fields: Any) -> Callable[[Extrinsic], Extrinsic]:
    return lambda extrinsic: replace(extrinsic, **fields)


INVALID: list[tuple[TransactionError, Callable[[Extrinsic], Extrinsic]]] = [
    (TransactionError.UNKNOWN_CALL, changed(call=Call(77, 0, b"\x90"))),
    (TransactionError.UNKNOWN_CALL, changed(call=Call(2, 77, b"\x90"))),
    (TransactionError.BAD_ARGUMENTS, changed(call=Call(2, 0, b"\x90"))),
    (TransactionError.BAD_ARGUMENTS, changed(call=Call(2, 0, b"\xff"))),
    (TransactionError.BAD_SIGNATURE, changed(signature=Signature(bytes(64)))),
    (TransactionError.BAD_SIGNATURE, changed(tip=Balance(1))),
    (TransactionError.FUTURE_NONCE, changed(nonce=Nonce(65))),
    (TransactionError.CANNOT_PAY, changed(tip=Balance(1000 * TOKEN))),
    (TransactionError.CANNOT_PAY, changed(signer=AccountId(bytes(32)))),
]


@pytest.mark.parametrize(("reason", "change"), INVALID)
def test_an_invalid_extrinsic_is_refused_by_name(
    chain: Chain, reason: TransactionError, change: Callable[[Extrinsic], Extrinsic]
) -> None:
    extrinsic = change(chain.sign(ALICE, transfer(account(BOB), 1)))
    with pytest.raises(InvalidTransaction) as refused:
        chain.runtime.validate_transaction(chain.state, extrinsic, chain.parent)
    assert refused.value.reason is reason


def test_mortality_is_from_after_the_birth_to_the_end_of_the_period(chain: Chain) -> None:
    def reason(**options: int) -> TransactionError | None:
        extrinsic = chain.sign(ALICE, transfer(account(BOB), 1), **options)
        try:
            chain.runtime.validate_transaction(chain.state, extrinsic, chain.parent)
        except InvalidTransaction as refused:
            return refused.reason
        return None

    for _ in range(3):
        chain.grow()
    assert reason(birth=4, period=1) is TransactionError.NOT_YET_BORN
    assert reason(birth=3, period=1) is None
    assert reason(birth=2, period=1) is TransactionError.EXPIRED
    assert reason(birth=2, period=2) is None
    assert reason(birth=0, period=3) is TransactionError.EXPIRED


def test_a_used_nonce_is_stale(chain: Chain) -> None:
    extrinsic = chain.sign(ALICE, transfer(account(BOB), 1))
    chain.grow(extrinsic)
    with pytest.raises(InvalidTransaction) as refused:
        chain.runtime.validate_transaction(chain.state, extrinsic, chain.parent)
    assert refused.value.reason is TransactionError.STALE_NONCE


def test_validity_tells_the_pool_what_to_wait_for(chain: Chain) -> None:
    waiting = chain.sign(ALICE, transfer(account(BOB), 1), nonce=2, period=9)
    tag = [account(ALICE) + nonce.to_bytes(8, "big") for nonce in range(3)]
    fee = fee_of(chain, waiting)
    assert chain.runtime.validate_transaction(chain.state, waiting, chain.parent) == Validity(
        priority=fee * 1_000_000 // 100_000_000,
        requires=(tag[1],),
        provides=(tag[2],),
        expires=BlockNumber(9),
    )


def test_a_signature_for_another_fork_is_refused(chain: Chain) -> None:
    other = Chain()
    other.hashes = [type(GENESIS_HASH)(b"\x68" * 32)]
    extrinsic = other.sign(ALICE, transfer(account(BOB), 1))
    with pytest.raises(InvalidTransaction) as refused:
        chain.runtime.validate_transaction(chain.state, extrinsic, chain.parent)
    assert refused.value.reason is TransactionError.BAD_SIGNATURE


HEADERS: list[tuple[Rejection, dict[str, Any]]] = [
    (Rejection.WRONG_HEIGHT, {"height": 2}),
    (Rejection.WRONG_EPOCH, {"epoch": 2}),
    (Rejection.WRONG_AUTHOR, {"author": BOB.public_key}),
    (Rejection.TOO_EARLY, {"timestamp_ms": START_MS + BLOCK_TIME_MS - 1}),
    (Rejection.BAD_BODY_ROOT, {"body_root": bytes(32)}),
    (Rejection.BAD_EVENTS_ROOT, {"events_root": bytes(32)}),
    (Rejection.BAD_NEXT_SET, {"next_set": bytes(32)}),
]


@pytest.mark.parametrize(("rejection", "fields"), HEADERS)
def test_a_wrong_header_is_rejected_by_name(
    chain: Chain, rejection: Rejection, fields: dict[str, Any]
) -> None:
    block, _ = chain.block([chain.sign(ALICE, transfer(account(BOB), 1))])
    wrong = replace(block, header=replace(block.header, **fields))
    before = dict(chain.state.entries)
    with pytest.raises(InvalidBlock) as rejected:
        chain.runtime.execute_block(chain.state, wrong)
    assert rejected.value.rejection is rejection
    assert chain.state.entries == before


def test_an_invalid_extrinsic_or_inherent_makes_the_block_invalid(chain: Chain) -> None:
    extrinsic = chain.sign(ALICE, transfer(account(BOB), 1))
    block, executed = chain.block([extrinsic])
    for body, rejection in (
        (replace(block.body, extrinsics=(extrinsic, extrinsic)), Rejection.BAD_EXTRINSIC),
        (replace(block.body, inherents=(transfer(account(BOB), 1),)), Rejection.BAD_INHERENT),
    ):
        wrong = chain.seal(chain.context(), body, executed)
        with pytest.raises(InvalidBlock) as rejected:
            chain.runtime.execute_block(chain.state, wrong)
        assert rejected.value.rejection is rejection


def test_normal_calls_leave_a_quarter_of_the_block(chain: Chain) -> None:
    remark = call(0, 0, bytes(60_000))
    candidates = [chain.sign(ALICE, remark, nonce=nonce) for nonce in range(9)]
    block, executed = chain.block(candidates)
    assert len(block.body.extrinsics) == 6
    full = chain.seal(chain.context(), replace(block.body, extrinsics=tuple(candidates)), executed)
    with pytest.raises(InvalidBlock) as rejected:
        chain.runtime.execute_block(chain.state, full)
    assert rejected.value.rejection is Rejection.TOO_HEAVY


def test_the_last_block_of_an_epoch_hands_over(chain: Chain) -> None:
    committees = []
    for height in range(1, 2 * EPOCH_LENGTH + 1):
        acting = chain.runtime.committee(chain.state)
        assert acting.first_height <= height <= acting.last_height
        executed = chain.grow()
        assert (executed.next_committee is not None) == (height % EPOCH_LENGTH == 0)
        if executed.next_committee is not None:
            committees.append(executed.next_committee)
            assert chain.runtime.committee(chain.state) == executed.next_committee
    first = Runtime().committee(Chain().state)
    assert committees == [
        replace(first, epoch=EpochIndex(2), first_height=BlockNumber(4), last_height=BlockNumber(6)),
        replace(first, epoch=EpochIndex(3), first_height=BlockNumber(7), last_height=BlockNumber(9)),
    ]
    assert len({committee_root(committee) for committee in committees}) == 2


def test_the_last_block_of_an_epoch_must_commit_to_the_next_committee(chain: Chain) -> None:
    chain.grow()
    chain.grow()
    block, _ = chain.block([])
    with pytest.raises(InvalidBlock) as rejected:
        chain.runtime.execute_block(chain.state, replace(block, header=replace(block.header, next_set=None)))
    assert rejected.value.rejection is Rejection.BAD_NEXT_SET


def test_views_are_answered_in_bytes(chain: Chain) -> None:
    arguments = Codec[tuple[AccountId]](tuple[AccountId]).encode((account(ALICE),))
    assert chain.runtime.view(chain.state, "system.nonce", arguments) == b"\x00"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nonce", b"\x90"),
        ("system.none", b"\x90"),
        ("system.nonce", b"\x90"),
        ("fees.quote", b"\x91\xc4\x00"),
    ],
)
def test_a_wrong_query_is_refused(chain: Chain, name: str, arguments: bytes) -> None:
    with pytest.raises(InvalidQuery, match=name):
        chain.runtime.view(chain.state, name, arguments)


def test_the_verifier_is_asked_once_per_extrinsic_with_the_signed_message(chain: Chain) -> None:
    asked: list[tuple[bytes, bytes, bytes]] = []

    def verifier(*question: bytes) -> bool:
        asked.append((question[0], question[1], question[2]))
        return True

    runtime = Runtime(verifier=verifier)
    extrinsic = chain.sign(ALICE, transfer(account(BOB), 1))
    runtime.build_block(chain.state, chain.context(), [], [extrinsic])
    assert [(key, signature) for key, _, signature in asked] == [(extrinsic.signer, extrinsic.signature)]


def test_no_jobs_are_open(chain: Chain) -> None:
    assert chain.runtime.open_jobs(chain.state) == ()


def test_reading_never_writes(chain: Chain) -> None:
    frozen = DictState(chain.state.entries)
    extrinsic = chain.sign(ALICE, transfer(account(BOB), 1))
    chain.runtime.validate_transaction(chain.state, extrinsic, chain.parent)
    chain.block([extrinsic])
    chain.runtime.query(chain.state, "balances.issuance")
    assert chain.state.entries == frozen.entries
