"""Attested jobs: who may say what when, what becomes of it, and who is paid."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.jobs import Attestation, Conduct, JobKind, Order
from frame.origin import BadOrigin, Nobody, Root, Signed
from pallets.balances.pallet import InsufficientBalance
from pallets.jobs.outcome import share
from pallets.jobs.pallet import REWARD
from pallets.jobs.types import (
    AlreadySaid,
    BadSignature,
    NoSeat,
    NoSuchJob,
    NothingCommitted,
    TooManyInputBytes,
    TooManyJobs,
    TooManyMessages,
    TooMuchGas,
    WrongPhase,
    WrongResult,
    WrongReveal,
)
from primitives.job_message import (
    JobPhase,
    Reveal,
    result_digest,
    sign_abstain,
    sign_commit,
    sign_reveal,
)
from primitives.signing import SigningKey
from primitives.types import Balance, BlockHash, Hash, Seed, Signature, Stake
from runtime.constants import BALANCES, GAS, JOBS, MODELS, TREASURY
from tests.pallets.attested import (
    BLOB,
    GENESIS,
    KEYS,
    RESULT,
    SEATS,
    SIZE,
    VERDICT,
    Attested,
    commit_of,
    reveal_of,
    salt_of,
    slot_fee,
)
from tests.pallets.world import ALICE, BOB, DAVE

OTHER = b"another result"


@pytest.fixture
def world() -> Iterator[Attested]:
    world = Attested()
    yield world
    world.check_state()


@pytest.fixture
def job(world: Attested) -> Hash:
    job = world.register()
    world.events()
    return job


def refused(world: Attested, error: type[DispatchError], method: Callable[[], None]) -> None:
    """The refusal is `error`, and leaves no trace."""
    before = world.pallets.context.overlay.changes()
    world.events()
    with pytest.raises(error):
        method()
    assert world.pallets.context.overlay.changes() == before
    assert world.events() == []


def conducts(world: Attested) -> list[Conduct]:
    """Of the seats of the proof of the model."""
    proof = world.pallets.models.proof(world.info().id)
    assert proof is not None
    return [seat.conduct for seat in proof.attestations]


def test_an_opened_job_holds_its_reward_and_seats_every_validator(world: Attested) -> None:
    job = world.register()
    found = world.pallets.jobs.get(job)
    assert found is not None
    assert (found.phase, found.seats, found.opened, found.inputs) == (JobPhase.COMMIT, 4, 1, (BLOB,))
    assert found.closes > found.opened + 2 * found.seats
    assert world.pallets.balances.held(REWARD, ALICE) == found.reward == world.pallets.jobs.reward(found.gas)
    assert world.events() == ["Held", "Held", "Released", "Transferred", "Opened", "Registered"]


def test_two_jobs_for_the_same_work_differ(world: Attested) -> None:
    order = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=5, payer=ALICE)
    jobs = {world.pallets.jobs.open(order) for _ in range(3)}
    assert len(jobs) == 3


def test_commitments_end_when_everybody_has_spoken(world: Attested, job: Hash) -> None:
    world.commit(job, {0: RESULT, 1: RESULT, 2: OTHER})
    world.finalize()
    assert world.phase(job) is JobPhase.COMMIT
    world.abstain(job, 3)
    world.events()
    world.finalize()
    assert world.phase(job) is JobPhase.REVEAL
    assert world.events() == ["CommitsClosed"]


def test_commitments_end_at_their_height(world: Attested, job: Hash) -> None:
    world.commit(job, {0: RESULT})
    found = world.pallets.jobs.get(job)
    assert found is not None
    while world.height < found.closes:
        assert world.phase(job) is JobPhase.COMMIT
        world.end_block()
    assert world.phase(job) is JobPhase.COMMIT
    world.finalize()
    assert world.phase(job) is JobPhase.REVEAL


def test_who_is_last_in_line_has_the_time_of_all_before_it(world: Attested) -> None:
    first, second = (world.pallets.jobs.get(world.register(who)) for who in (ALICE, BOB))
    assert first is not None
    assert second is not None
    blocks = [
        -(
            -(JOBS.grace_ms + gas * JOBS.gas_time_ps * JOBS.time_margin // 10**9)
            // world.pallets.session.block_time_ms()
        )
        for gas in (first.gas, first.gas + second.gas)
    ]
    assert [job.closes - job.opened - 2 * len(SEATS) for job in (first, second)] == blocks


@pytest.mark.parametrize(("reward", "earned"), [(3, 0), (4, 1)])
def test_a_seat_earns_the_smallest_part_there_is(reward: int, earned: int) -> None:
    """Of four equal seats, without a treasury."""
    seats = [Attestation(each, KEYS[0].public_key, Stake(1), Conduct.AGREED) for each in SEATS]
    shares = share(Balance(reward), seats, 0, has_quorum=True)
    assert shares.earned == tuple((each, earned) for each in SEATS if earned)
    assert shares.treasury == reward - 4 * earned


def test_a_quorum_closes_the_job_and_pays_those_who_agreed() -> None:
    world = Attested((3, 3, 3, 1))
    job = world.register()
    reward, slot = world.pallets.balances.held(REWARD, ALICE), slot_fee(SIZE)
    world.attest(job, {0: VERDICT, 1: VERDICT, 2: VERDICT})
    part = reward - reward // 5
    share = part * 3 // 10
    assert [world.free(seat) for seat in SEATS] == [share, share, share, 0]
    assert world.free(TREASURY) == slot + reward - 3 * share
    assert conducts(world) == [Conduct.AGREED] * 3 + [Conduct.SILENT]
    assert world.pallets.jobs.open_gas.get() == 0
    world.check_state()


def test_every_conduct_is_recorded_and_only_agreement_is_paid() -> None:
    world = Attested((10, 1, 1, 1))
    job = world.register()
    world.commit(job, {0: VERDICT, 1: OTHER, 2: VERDICT})
    world.abstain(job, 3)
    world.end_block()
    world.reveal(job, {0: VERDICT, 1: OTHER})
    world.pass_blocks_until(lambda: world.phase(job) is None)
    assert conducts(world) == [Conduct.AGREED, Conduct.DISSENTED, Conduct.UNREVEALED, Conduct.ABSTAINED]
    assert [world.free(seat) > 0 for seat in SEATS] == [True, False, False, False]


def test_two_thirds_of_the_stake_are_no_quorum() -> None:
    world = Attested((2, 2, 2))
    job = world.register()
    world.attest(job, {0: VERDICT, 1: VERDICT, 2: OTHER})
    assert world.pallets.models.proof(world.info().id) is None


def test_without_a_quorum_whoever_revealed_is_paid_and_the_rest_refunded(world: Attested, job: Hash) -> None:
    reward = world.pallets.balances.held(REWARD, ALICE)
    before = world.free(ALICE)
    world.commit(job, {0: RESULT, 1: OTHER, 2: RESULT})
    world.pass_blocks_until(lambda: world.phase(job) is JobPhase.REVEAL)
    world.reveal(job, {0: RESULT, 1: OTHER})
    world.pass_blocks_until(lambda: world.phase(job) is None)
    share = (reward - reward // 5) // 4
    assert [world.free(seat) for seat in SEATS] == [share, share, 0, 0]
    assert world.free(ALICE) == before + reward - 2 * share
    assert world.free(TREASURY) == slot_fee(SIZE)


def test_a_job_that_nobody_commits_to_closes_at_once_and_is_refunded(world: Attested, job: Hash) -> None:
    reward = world.pallets.balances.held(REWARD, ALICE)
    before = world.free(ALICE)
    world.abstain(job, 0, 1, 2, 3)
    world.events()
    world.finalize()
    assert world.phase(job) is None
    assert world.free(ALICE) == before + reward
    assert world.events() == ["CommitsClosed", "Released", "JobClosed", "ProofFailed"]


def test_a_job_closes_when_every_commitment_is_opened(world: Attested, job: Hash) -> None:
    world.commit(job, {0: VERDICT, 1: VERDICT, 2: VERDICT})
    world.abstain(job, 3)
    world.end_block()
    world.reveal(job, {0: VERDICT, 1: VERDICT})
    world.finalize()
    assert world.phase(job) is JobPhase.REVEAL
    world.reveal(job, {2: VERDICT})
    world.finalize()
    assert world.phase(job) is None


def test_reveals_end_at_their_height(world: Attested, job: Hash) -> None:
    world.commit(job, dict.fromkeys(range(4), VERDICT))
    world.end_block()
    found = world.pallets.jobs.get(job)
    assert found is not None
    world.reveal(job, dict.fromkeys(range(3), VERDICT))
    while world.height < found.closes:
        world.end_block()
        assert world.phase(job) is JobPhase.REVEAL
    world.finalize()
    assert world.phase(job) is None
    assert conducts(world)[3] is Conduct.UNREVEALED


def test_the_panel_outlives_its_epoch(world: Attested) -> None:
    while world.height < 9:
        world.end_block()
    job = world.register()
    while world.height < 12:
        world.end_block()
    world.attest(job, dict.fromkeys(range(4), VERDICT))
    assert conducts(world) == [Conduct.AGREED] * 4


def test_the_first_reveal_of_a_digest_brings_the_result(world: Attested, job: Hash) -> None:
    world.commit(job, dict.fromkeys(range(4), RESULT))
    world.end_block()
    jobs = world.pallets.jobs
    refused(world, WrongResult, lambda: jobs.reveal(Nobody(), reveal_of(0, job), None))
    refused(world, WrongResult, lambda: jobs.reveal(Nobody(), reveal_of(0, job), OTHER))
    jobs.reveal(Nobody(), reveal_of(0, job), RESULT)
    refused(world, WrongResult, lambda: jobs.reveal(Nobody(), reveal_of(1, job), RESULT))
    jobs.reveal(Nobody(), reveal_of(1, job), None)
    assert jobs.results.get(job, result_digest(RESULT)) == RESULT


@pytest.mark.parametrize("origin", [Root(), Signed(ALICE)])
def test_messages_come_as_inherents_only(world: Attested, job: Hash, origin: Root | Signed) -> None:
    jobs = world.pallets.jobs
    refused(world, BadOrigin, lambda: jobs.commit(origin, commit_of(0, job)))
    refused(world, BadOrigin, lambda: jobs.abstain(origin, sign_abstain(KEYS[0], GENESIS, job)))
    refused(world, BadOrigin, lambda: jobs.reveal(origin, reveal_of(0, job), RESULT))


def test_a_message_about_no_open_job_is_refused(world: Attested) -> None:
    job = Hash(b"\x0f" * 32)
    jobs = world.pallets.jobs
    refused(world, NoSuchJob, lambda: jobs.commit(Nobody(), commit_of(0, job)))
    refused(world, NoSuchJob, lambda: jobs.abstain(Nobody(), sign_abstain(KEYS[0], GENESIS, job)))
    refused(world, NoSuchJob, lambda: jobs.reveal(Nobody(), reveal_of(0, job), RESULT))


def test_a_message_in_the_wrong_phase_is_refused(world: Attested, job: Hash) -> None:
    jobs = world.pallets.jobs
    refused(world, WrongPhase, lambda: jobs.reveal(Nobody(), reveal_of(0, job), RESULT))
    world.commit(job, dict.fromkeys(range(3), RESULT))
    world.pass_blocks_until(lambda: world.phase(job) is JobPhase.REVEAL)
    jobs = world.pallets.jobs
    refused(world, WrongPhase, lambda: jobs.commit(Nobody(), commit_of(3, job)))
    refused(world, WrongPhase, lambda: jobs.abstain(Nobody(), sign_abstain(KEYS[3], GENESIS, job)))


def test_a_key_without_a_seat_is_refused(world: Attested, job: Hash) -> None:
    stranger = SigningKey(Seed(b"\x0e" * 32))
    message = sign_commit(stranger, GENESIS, job, Hash(bytes(32)))
    refused(world, NoSeat, lambda: world.pallets.jobs.commit(Nobody(), message))


def test_a_seat_speaks_once_in_a_phase(world: Attested, job: Hash) -> None:
    world.commit(job, {0: RESULT, 2: RESULT, 3: RESULT})
    world.abstain(job, 1)
    jobs = world.pallets.jobs
    refused(world, AlreadySaid, lambda: jobs.commit(Nobody(), commit_of(0, job, OTHER)))
    refused(world, AlreadySaid, lambda: jobs.abstain(Nobody(), sign_abstain(KEYS[0], GENESIS, job)))
    refused(world, AlreadySaid, lambda: jobs.commit(Nobody(), commit_of(1, job)))
    world.end_block()
    world.reveal(job, {0: RESULT})
    refused(world, AlreadySaid, lambda: world.pallets.jobs.reveal(Nobody(), reveal_of(0, job), None))


def test_who_did_not_commit_has_nothing_to_reveal(world: Attested, job: Hash) -> None:
    world.commit(job, {0: RESULT})
    world.abstain(job, 1)
    world.pass_blocks_until(lambda: world.phase(job) is JobPhase.REVEAL)
    for seat in (1, 2):
        reveal = reveal_of(seat, job)
        refused(world, NothingCommitted, partial(world.pallets.jobs.reveal, Nobody(), reveal, RESULT))


def test_a_forged_message_is_refused(world: Attested, job: Hash) -> None:
    commit = replace(commit_of(0, job), signature=Signature(bytes(64)))
    refused(world, BadSignature, lambda: world.pallets.jobs.commit(Nobody(), commit))
    elsewhere = sign_abstain(KEYS[0], BlockHash(b"\x01" * 32), job)
    refused(world, BadSignature, lambda: world.pallets.jobs.abstain(Nobody(), elsewhere))


def test_a_reveal_of_something_else_is_refused(world: Attested, job: Hash) -> None:
    world.commit(job, dict.fromkeys(range(4), RESULT))
    world.end_block()
    digest = result_digest(RESULT)
    cases: tuple[tuple[Reveal, bytes], ...] = (
        (reveal_of(0, job, OTHER), OTHER),
        (sign_reveal(KEYS[0], GENESIS, job, digest, salt_of(1)), RESULT),
    )
    for reveal, result in cases:
        refused(world, WrongReveal, partial(world.pallets.jobs.reveal, Nobody(), reveal, result))


def test_open_jobs_and_their_gas_are_bounded(world: Attested) -> None:
    jobs = world.pallets.jobs
    big = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=JOBS.open_gas_max, payer=ALICE)
    huge = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=JOBS.open_gas_max + 1, payer=ALICE)
    small = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=1, payer=ALICE)
    with pytest.raises(TooMuchGas):
        jobs.open(huge)
    jobs.open(big)
    with pytest.raises(TooMuchGas):
        jobs.open(small)
    world = Attested()
    for _ in range(JOBS.open_max):
        world.pallets.jobs.open(small)
    with pytest.raises(TooManyJobs):
        world.pallets.jobs.open(small)


def test_the_inputs_of_open_jobs_are_bounded(world: Attested) -> None:
    jobs = world.pallets.jobs
    part = JOBS.open_bytes_max // 2
    order = Order(kind=JobKind.PROVE, inputs=(BLOB,), gas=1, payer=ALICE, input_bytes=part)
    for _ in range(2):
        jobs.open(order)
    more = dataclasses.replace(order, input_bytes=1)
    refused(world, TooManyInputBytes, lambda: void(jobs.open(more)))
    assert jobs.open_bytes.get() == 2 * part


def test_a_place_is_paid_for_and_never_given_back(world: Attested) -> None:
    had = world.free(ALICE)
    job = world.register()
    assert (world.free(TREASURY), world.pallets.jobs.open_bytes.get()) == (slot_fee(SIZE), SIZE)
    world.abstain(job, 0, 1, 2, 3)
    world.finalize()
    assert world.free(ALICE) == had - slot_fee(SIZE) - MODELS.deposit


@pytest.mark.parametrize("committed", [0, 1, 2, 4])
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_a_job_takes_is_free_again_however_it_closes(
    world: Attested, job: Hash, committed: int, is_cancelled: bool
) -> None:
    """With a quorum or without, in either phase; only the place stays paid for."""
    other = world.register(BOB, SIZE + 1)
    jobs = world.pallets.jobs
    assert jobs.open_bytes.get() == 2 * SIZE + 1
    results = dict.fromkeys(range(committed), VERDICT)
    world.commit(job, results)
    if is_cancelled:
        if committed:
            world.close_commits(job)
        world.pallets.jobs.cancel_all()
        assert (world.pallets.jobs.open_gas.get(), world.pallets.jobs.open_bytes.get()) == (0, 0)
        world.pallets.disputes.restart()
        return
    world.abstain(job, *range(committed, 4))
    world.close_commits(job)
    world.reveal(job, results)
    world.pass_blocks_until(lambda: world.phase(job) is None)
    left = world.pallets.jobs.get(other)
    assert left is not None
    assert (world.pallets.jobs.open_gas.get(), world.pallets.jobs.open_bytes.get()) == (left.gas, SIZE + 1)


def test_the_place_of_a_cancelled_job_stays_paid_for(world: Attested, job: Hash) -> None:
    reward, had = world.pallets.balances.held(REWARD, ALICE), world.free(ALICE)
    world.commit(job, {0: RESULT})
    world.pallets.jobs.cancel_all()
    assert (world.free(ALICE), world.free(TREASURY)) == (had + reward, slot_fee(SIZE))


def test_who_can_pay_for_work_and_place_only_together_opens_a_job_to_the_last_unit(world: Attested) -> None:
    order = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=1_000_000, payer=DAVE, input_bytes=100)
    balances, deposit = world.pallets.balances, BALANCES.existential_deposit
    cost = world.pallets.jobs.reward(order.gas) + slot_fee(100)
    balances.move(ALICE, DAVE, Balance(cost + deposit - 1))
    world.events()
    refused(world, InsufficientBalance, lambda: void(world.pallets.jobs.open(order)))
    balances.move(ALICE, DAVE, Balance(1))
    world.pallets.jobs.open(order)
    assert (world.free(DAVE), world.free(TREASURY)) == (deposit, slot_fee(100))


def test_who_cannot_pay_for_a_place_opens_no_job(world: Attested) -> None:
    order = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=0, payer=DAVE)
    refused(world, InsufficientBalance, lambda: void(world.pallets.jobs.open(order)))


def test_a_file_that_is_withheld_is_paid_for(world: Attested, job: Hash) -> None:
    """A third of the stake cannot get it, and the owner pays: no place is held for nothing."""
    reward, before = world.pallets.balances.held(REWARD, ALICE), world.free(ALICE)
    world.cannot_open(job, 0, 1)
    world.abstain(job, 2, 3)
    world.finalize()
    assert world.phase(job) is None
    assert world.free(ALICE) == before
    assert world.free(SEATS[0]) == (reward - reward // 5) // 4


def void(_: Hash) -> None:
    """For what gives something, where nothing is wanted."""


def test_a_payer_without_money_opens_no_job(world: Attested) -> None:
    order = Order(kind=JobKind.INFER, inputs=(BLOB,), gas=1, payer=DAVE)
    with pytest.raises(InsufficientBalance):
        world.pallets.jobs.open(order)
    assert world.pallets.jobs.count.get() == 0


def test_messages_of_a_block_are_bounded_in_number_and_bytes(world: Attested, job: Hash) -> None:
    world.pallets.jobs.config = dataclasses.replace(JOBS, messages_max=2)
    world.commit(job, {0: RESULT, 1: RESULT})
    refused(world, TooManyMessages, lambda: world.pallets.jobs.commit(Nobody(), commit_of(2, job)))
    world.end_block()
    world.commit(job, {2: OTHER, 3: RESULT})
    world.end_block()
    world.pallets.jobs.config = dataclasses.replace(JOBS, result_bytes_max=len(RESULT + OTHER) - 1)
    world.reveal(job, {0: RESULT, 1: RESULT})
    refused(
        world, TooManyMessages, lambda: world.pallets.jobs.reveal(Nobody(), reveal_of(2, job, OTHER), OTHER)
    )
    world.pallets.jobs.config = dataclasses.replace(JOBS, result_bytes_max=len(RESULT + OTHER))
    world.reveal(job, {2: OTHER})


def test_the_price_of_gas_is_rounded_up(world: Attested) -> None:
    assert world.pallets.jobs.reward(0) == 0
    assert world.pallets.jobs.reward(1) == 1
    assert world.pallets.jobs.reward(1_000_000) == GAS.per_million_initial
