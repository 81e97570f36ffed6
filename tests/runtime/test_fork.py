"""A state that becomes block 0 of another chain: what stays, what begins again, what is refused."""

from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec.structs import replace

from frame.error import InvalidTransaction, TransactionError
from frame.state import DictState, Overlay
from frame.validators import Validator
from pallets import system
from pallets.session import Engine
from pallets.system import System
from primitives.job_message import commitment_of, sign_commit
from primitives.signing import SigningKey
from primitives.types import BlockHash, BlockNumber, EpochIndex, Seed, Stake
from runtime.constants import SPEC_VERSION, TOKEN
from runtime.fork import ForkConfig, ForkRefused
from runtime.genesis import genesis_changes
from runtime.jobs import job_call
from runtime.offences import report_call
from runtime.pallets import PALLETS
from runtime.runtime import NoHost, Runtime
from tests.runtime.chain import (
    ALICE,
    BOB,
    CHARLIE,
    GENESIS_HASH,
    Chain,
    account,
    call,
    genesis_config,
    transfer,
)
from tests.runtime.equivocation import double_vote
from tests.runtime.test_committees import ADD_BOB, BOB_SESSION, end_epoch, set_key
from tests.runtime.test_jobs import BLOB, DIGEST, REGISTER, SALT, commit, reveal, the_job

BOB_OLD, BOB_NEW = SigningKey(Seed(b"\xb0" * 32)), SigningKey(Seed(b"\xb1" * 32))
NEW_GENESIS: Final = BlockHash(b"\x99" * 32)
VALIDATORS: Final = (
    Validator(account(BOB), BOB_NEW.public_key, Stake(2)),
    Validator(account(CHARLIE), CHARLIE.public_key, Stake(1)),
)
CONFIG: Final = ForkConfig(system.Genesis(SPEC_VERSION, "fork"), VALIDATORS)


@pytest.fixture
def chain() -> Chain:
    """Alice, who alone votes, has equivocated, and half done a job of Bob's, who has a session key."""
    chain = Chain()
    registered = set_key(BOB, BOB_OLD)
    chain.grow(chain.sign(BOB, registered), chain.sign(ALICE, transfer(account(CHARLIE), TOKEN)))
    chain.grow(inherents=[report_call(double_vote(ALICE, GENESIS_HASH))])
    chain.grow(chain.sign(CHARLIE, call(0, 0, b"hello")))
    chain.grow(chain.sign(BOB, REGISTER))
    chain.grow(inherents=[commit(chain)])
    return chain


def fork(chain: Chain, config: ForkConfig = CONFIG) -> Chain:
    """The new chain, whose blocks Charlie makes."""
    new = Chain()
    new.state = DictState(chain.state.entries)
    new.state.apply(chain.runtime.fork(chain.state, config))
    new.runtime.check_state(new.state)
    new.hashes = [NEW_GENESIS]
    new.author = CHARLIE.public_key
    return new


def money(chain: Chain) -> dict[bytes, int]:
    """What every account has, held or not."""
    accounts = System.accounts.bind(Overlay(chain.state)).items()
    return {who: record.free + record.held for who, record in accounts}


def test_everybody_keeps_what_he_has(chain: Chain) -> None:
    new = fork(chain)
    assert money(new) == money(chain)
    assert new.runtime.query(new.state, "balances.issuance") == sum(money(chain).values())


def test_an_open_job_is_refunded_and_its_model_unproven(chain: Chain) -> None:
    new = fork(chain)
    job = the_job(chain)
    assert new.runtime.open_jobs(new.state) == ()
    (info,) = new.runtime.query(new.state, "models.page", None, 10)
    assert (info.model.blob, info.model.job, info.model.state.name) == (BLOB, job.id, "UNPROVEN")
    before, after = (
        each.runtime.query(each.state, "balances.account", account(BOB)) for each in (chain, new)
    )
    assert after.held == info.model.deposit + TOKEN  # for the session key
    assert after.free - before.free == before.held - after.held > 0


def test_a_job_that_was_half_revealed_pays_nobody() -> None:
    """Without a quorum, whoever revealed is paid: but not if nobody else could any more."""
    chain = Chain()
    chain.grow(chain.sign(BOB, set_key(BOB, BOB_SESSION)), chain.sign(ALICE, ADD_BOB))
    end_epoch(chain)
    chain.grow(chain.sign(BOB, REGISTER))
    job = the_job(chain).id
    commitment = commitment_of(GENESIS_HASH, job, BOB_SESSION.public_key, DIGEST, SALT)
    second = job_call(sign_commit(BOB_SESSION, GENESIS_HASH, job, commitment), None)
    chain.grow(inherents=[commit(chain), second])
    chain.grow(inherents=[reveal(chain)])
    assert [seat.has_revealed for seat in the_job(chain).seats] == [True, False]
    assert money(fork(chain)) == money(chain)


def test_the_new_validators_vote_and_the_old_ones_keep_their_keys(chain: Chain) -> None:
    new = fork(chain)
    assert new.runtime.query(new.state, "session.acting") == VALIDATORS
    assert new.runtime.query(new.state, "session.upcoming") == VALIDATORS
    committee = new.runtime.committee(new.state)
    assert (committee.epoch, committee.first_height, committee.last_height) == (1, 1, 3)
    assert new.runtime.query(new.state, "session.key_of", account(ALICE)) == ALICE.public_key
    assert new.runtime.query(new.state, "session.key_of", account(BOB)) == BOB_NEW.public_key
    assert new.runtime.query(new.state, "session.historical", EpochIndex(1)) is None


def test_blocks_follow_through_the_epochs_and_jobs_are_opened(chain: Chain) -> None:
    new = fork(chain)
    new.grow(new.sign(BOB, transfer(account(ALICE), TOKEN)))
    new.grow(new.sign(BOB, call(6, 2, new.runtime.query(new.state, "models.page", None, 1)[0].id)))
    executed = new.grow(new.sign(BOB, REGISTER))
    assert executed.next_committee is not None
    assert (len(new.runtime.open_jobs(new.state)), new.runtime.committee(new.state).epoch) == (1, 2)
    for _ in range(4):
        new.grow()
    assert new.runtime.committee(new.state).epoch == 3


def test_nothing_that_was_signed_for_the_old_chain_is_valid(chain: Chain) -> None:
    new = fork(chain)
    nonce = new.runtime.query(new.state, "system.nonce", account(BOB))
    old = chain.sign(BOB, transfer(account(ALICE), TOKEN), nonce=nonce, birth=0)
    new.grow()
    with pytest.raises(InvalidTransaction) as refused:
        new.runtime.validate_transaction(new.state, old, new.parent)
    assert refused.value.reason is TransactionError.BAD_SIGNATURE


def test_nonces_begin_again_as_the_heights_do(chain: Chain) -> None:
    """Else an account that is reaped and reborn would meet the nonces of its earlier life again."""
    assert chain.runtime.query(chain.state, "system.nonce", account(CHARLIE)) > 1 << 16
    new = fork(chain)
    assert {new.runtime.query(new.state, "system.nonce", account(who)) for who in (ALICE, BOB, CHARLIE)} == {
        0
    }


def test_offences_stay_on_record_and_can_be_committed_again(chain: Chain) -> None:
    new = fork(chain)
    new.grow()
    evidence = double_vote(CHARLIE, NEW_GENESIS, signer=1)
    assert new.runtime.query(new.state, "offences.wants", evidence)
    again = double_vote(BOB_NEW, NEW_GENESIS)  # signer 0 of epoch 1, as Alice was
    new.grow(inherents=[report_call(evidence), report_call(again)])


def test_the_clock_stands_where_it_stood(chain: Chain) -> None:
    old, new = (each.runtime.query(each.state, "timestamp.now_ms") for each in (chain, fork(chain)))
    assert old == new > 0


def test_a_key_of_somebody_else_is_refused(chain: Chain) -> None:
    thief = Validator(account(CHARLIE), ALICE.public_key, Stake(1))
    with pytest.raises(ForkRefused, match="another account"):
        fork(chain, replace(CONFIG, validators=(thief,)))


def test_validators_may_exchange_their_keys(chain: Chain) -> None:
    swapped = (
        Validator(account(BOB), ALICE.public_key, Stake(1)),
        Validator(account(ALICE), BOB_OLD.public_key, Stake(1)),
    )
    assert fork(chain, replace(CONFIG, validators=swapped)).runtime.committee is not None


def test_a_chain_of_one_author_stays_one(chain: Chain) -> None:
    given = genesis_config()
    instant = replace(given.session.consensus, engine=Engine.INSTANT)
    state = DictState()
    state.apply(genesis_changes(replace(given, session=replace(given.session, consensus=instant)), NoHost()))
    with pytest.raises(ForkRefused, match="1 validator"):
        Runtime().fork(state, CONFIG)


def test_a_fork_of_a_fork_and_of_a_genesis_state_is_one(chain: Chain) -> None:
    first = fork(chain)
    assert fork(first).state.entries == first.state.entries
    fork(Chain())


KNOWN: Final = {
    "system.block_hashes": "begins again",
    "system.number": "begins again",
    "session.committee": "begins again",
    "session.history": "begins again",
    "jobs.jobs": "every job is closed",
    "disputes.past": "every job is settled",
    "disputes.due": "every job is settled",
    "evaluation.datasets": "a record of what happened",
    "evaluation.records": "a record of what happened",
    "instant.models": "begins again",
    "instant.records": "a record of what happened",
    "models.models": "a record of what happened",
    "models.proofs": "a record of what happened",
    "inference.records": "a record of what happened",
    "offences.records": "a record of what happened",
    "offences.charges": "begins again",
}
"""Every storage item with a height or an epoch in it, and what a fork makes of it."""


def parts_of(annotation: Any) -> Iterator[Any]:
    """The types that a type is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)
    if (
        get_origin(annotation) is None
        and isinstance(annotation, type)
        and issubclass(annotation, msgspec.Struct)
    ):
        for hint in get_type_hints(annotation, include_extras=True).values():
            yield from parts_of(hint)


def test_no_item_with_a_height_is_forgotten() -> None:
    counted = set()
    for pallet in PALLETS.values():
        for name, item in pallet.storage.items():
            parts = [part for each in (*item.key_types, item.value_type) for part in parts_of(each)]
            if BlockNumber in parts or EpochIndex in parts:
                counted.add(f"{pallet.NAME}.{name}")
    assert counted == set(KNOWN)
