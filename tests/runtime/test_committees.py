"""Committees that change, block by block, as a node asks for it."""

import pytest
from msgspec.structs import replace

from frame.error import InvalidBlock, InvalidTransaction, Rejection
from frame.validators import Validator
from primitives.block import Block, Body, body_root
from primitives.committee import committee_root
from primitives.extrinsic import Call
from primitives.outcome import Failure
from primitives.session_key import prove_possession
from primitives.signing import SigningKey
from primitives.types import EpochIndex, Seed, Signature, Stake
from primitives.vote import Evidence, VoteKind
from runtime.offences import report_call
from tests.runtime.chain import ALICE, BOB, EPOCH_LENGTH, GENESIS_HASH, Chain, account, call
from tests.runtime.equivocation import double_vote

BOB_SESSION = SigningKey(Seed(b"\xb0" * 32))
ALICE_SESSION = SigningKey(Seed(b"\xa0" * 32))
ALICE_SITS = Validator(account(ALICE), ALICE.public_key, Stake(1))
BOB_SITS = Validator(account(BOB), BOB_SESSION.public_key, Stake(2))


@pytest.fixture
def chain() -> Chain:
    return Chain()


def set_key(owner: SigningKey, key: SigningKey) -> Call:
    """The call `session.set_key`."""
    return call(4, 0, key.public_key, prove_possession(key, GENESIS_HASH, account(owner)))


def sudo(inner: Call) -> Call:
    """The call `sudo.sudo`."""
    return call(9, 0, inner)


ADD_BOB = sudo(call(8, 0, account(BOB), 2))
REMOVE_ALICE = sudo(call(8, 1, account(ALICE)))


def end_epoch(chain: Chain) -> None:
    """Apply blocks up to the last one of the epoch."""
    while len(chain.hashes) % EPOCH_LENGTH != 1 or len(chain.hashes) == 1:
        chain.grow()


def acting(chain: Chain) -> tuple[Validator, ...]:
    """Who votes in the epoch of the next block."""
    found: tuple[Validator, ...] = chain.runtime.query(chain.state, "session.acting")
    return found


def test_who_joins_authors_blocks_of_the_next_epoch(chain: Chain) -> None:
    chain.grow(chain.sign(BOB, set_key(BOB, BOB_SESSION)), chain.sign(ALICE, ADD_BOB))
    assert chain.runtime.query(chain.state, "session.upcoming") == (ALICE_SITS, BOB_SITS)
    assert acting(chain) == (ALICE_SITS,)
    chain.author = BOB_SESSION.public_key
    with pytest.raises(InvalidBlock) as rejected:
        chain.grow()
    assert rejected.value.rejection is Rejection.WRONG_AUTHOR
    chain.author = ALICE.public_key
    end_epoch(chain)
    assert acting(chain) == (ALICE_SITS, BOB_SITS)
    chain.author = BOB_SESSION.public_key
    before = chain.free(account(BOB))
    chain.grow(chain.sign(ALICE, call(0, 0, b"pay Bob")))
    assert chain.free(account(BOB)) > before


def test_the_header_of_the_last_block_names_the_changed_committee(chain: Chain) -> None:
    chain.grow(chain.sign(BOB, set_key(BOB, BOB_SESSION)), chain.sign(ALICE, ADD_BOB))
    chain.grow()
    block, executed = chain.block(())
    following = executed.next_committee
    assert following is not None
    assert [member.key for member in following.members] == [ALICE.public_key, BOB_SESSION.public_key]
    assert block.header.next_set == committee_root(following)


def test_who_leaves_in_the_last_block_is_paid_for_it_and_gone(chain: Chain) -> None:
    chain.grow(chain.sign(BOB, set_key(BOB, BOB_SESSION)), chain.sign(ALICE, ADD_BOB))
    chain.grow()
    before = chain.free(account(ALICE))
    chain.grow(chain.sign(ALICE, REMOVE_ALICE), chain.sign(BOB, call(0, 0, b"x" * 100_000)))
    assert chain.free(account(ALICE)) > before
    assert acting(chain) == (BOB_SITS,)
    with pytest.raises(InvalidBlock) as rejected:
        chain.grow()
    assert rejected.value.rejection is Rejection.WRONG_AUTHOR
    chain.author = BOB_SESSION.public_key
    chain.grow()


def test_a_replaced_key_authors_to_the_end_of_the_epoch(chain: Chain) -> None:
    chain.grow(chain.sign(ALICE, set_key(ALICE, ALICE_SESSION)))
    before = chain.free(account(ALICE))
    chain.grow(chain.sign(BOB, call(0, 0, b"one")))
    middle = chain.free(account(ALICE))
    chain.grow(chain.sign(BOB, call(0, 0, b"two")))
    assert before < middle < chain.free(account(ALICE))
    with pytest.raises(InvalidBlock) as rejected:
        chain.grow()
    assert rejected.value.rejection is Rejection.WRONG_AUTHOR
    chain.author = ALICE_SESSION.public_key
    chain.grow()
    assert acting(chain) == (replace(ALICE_SITS, key=ALICE_SESSION.public_key),)


def test_what_root_is_refused_costs_a_fee_and_has_a_name(chain: Chain) -> None:
    before = chain.free(account(ALICE))
    executed = chain.grow(chain.sign(ALICE, REMOVE_ALICE))
    assert executed.outcome.calls[0].failure == Failure("validators", "LastValidator")
    assert [event.event for event in executed.outcome.calls[0].events] == ["FeePaid"]
    assert chain.free(account(ALICE)) < before


@pytest.mark.parametrize(
    "inner", [call(8, 7), call(8, 0, account(BOB)), report_call(double_vote(ALICE, GENESIS_HASH))]
)
def test_the_pool_takes_no_call_of_what_is_none(chain: Chain, inner: Call) -> None:
    with pytest.raises(InvalidTransaction):
        chain.runtime.validate_transaction(chain.state, chain.sign(ALICE, sudo(inner)), chain.parent)


def with_inherents(chain: Chain, *evidence: Evidence) -> Block:
    """The next block with these reports, whatever comes of it."""
    block, _ = chain.block(())
    body = Body(tuple(map(report_call, evidence)), ())
    return replace(block, body=body, header=replace(block.header, body_root=body_root(body)))


EVIDENCE = double_vote(ALICE, GENESIS_HASH)


def test_evidence_is_recorded_by_a_block(chain: Chain) -> None:
    executed = chain.grow(inherents=[report_call(EVIDENCE)])
    assert [event.event for event in executed.outcome.calls[0].events] == ["Reported"]
    assert not chain.runtime.query(chain.state, "offences.wants", EVIDENCE)


def test_evidence_comes_in_time_after_the_end_of_its_epoch(chain: Chain) -> None:
    chain.grow(chain.sign(ALICE, set_key(ALICE, ALICE_SESSION)))
    end_epoch(chain)
    chain.author = ALICE_SESSION.public_key
    assert chain.runtime.query(chain.state, "offences.wants", EVIDENCE)
    chain.grow(inherents=[report_call(EVIDENCE)])
    past = chain.runtime.query(chain.state, "session.historical", EpochIndex(2))
    assert past.anchor == chain.hashes[EPOCH_LENGTH]
    chain.grow(inherents=[report_call(double_vote(ALICE_SESSION, past.anchor, epoch=2))])


@pytest.mark.parametrize(
    "evidence",
    [
        (EVIDENCE, EVIDENCE),
        (Evidence(EVIDENCE.second, EVIDENCE.first),),
        (replace(EVIDENCE, second=replace(EVIDENCE.second, signature=Signature(bytes(64)))),),
        (double_vote(ALICE, GENESIS_HASH, epoch=2),),
        (double_vote(BOB, GENESIS_HASH),),
        (double_vote(ALICE, GENESIS_HASH, signer=1),),
    ],
    ids=["twice", "wrong order", "forged", "future epoch", "another's key", "no member"],
)
def test_bad_evidence_makes_a_block_invalid_and_is_built_into_none(
    chain: Chain, evidence: tuple[Evidence, ...]
) -> None:
    with pytest.raises(InvalidBlock) as rejected:
        chain.runtime.execute_block(chain.state, with_inherents(chain, *evidence))
    assert rejected.value.rejection is Rejection.BAD_INHERENT
    calls = [report_call(one) for one in evidence]
    body, _ = chain.runtime.build_block(chain.state, chain.context(), calls, ())
    assert len(body.inherents) == len(evidence) - 1


def test_a_block_takes_no_more_reports_than_its_bound(chain: Chain) -> None:
    kinds = (VoteKind.NOTARIZE, VoteKind.FINALIZE)
    calls = [report_call(double_vote(ALICE, GENESIS_HASH, kind)) for kind in kinds]
    body, _ = chain.runtime.build_block(chain.state, chain.context(), calls * 20, ())
    assert list(body.inherents) == calls
