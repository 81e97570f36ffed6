"""Disputes: who may doubt a result, what comes of it, and what is counted."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.jobs import JobKind
from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from inference.certificate import encode_outputs, encode_verdict
from inference.tensor import from_integers
from pallets.disputes.pallet import BOND
from pallets.disputes.types import (
    AlreadyChallenged,
    BondAboveMaximum,
    Conducts,
    NotChallengeable,
    Past,
    Ruling,
)
from pallets.inference.pallet import Config as InferenceConfig
from pallets.inference.types import InferenceRecord
from pallets.jobs.pallet import REWARD
from pallets.models.pallet import ModelState
from primitives.codec import Codec
from primitives.outcome import EventRecord
from primitives.types import AccountId, Balance, Hash
from runtime.constants import DISPUTES, GAS, TOKEN, TREASURY
from runtime.jobs import InferTask, ProveTask, open_jobs
from tests.pallets.attested import (
    CERTIFICATE,
    INPUT,
    MODEL,
    REFUSAL,
    SEATS,
    SIZE,
    VERDICT,
    Attested,
    slot_fee,
)
from tests.pallets.world import ALICE, BOB, CHARLIE, DAVE

EVERYBODY = range(4)


def output_of(high: int) -> bytes:
    scores, label = from_integers("int32", (1, 2), [-7, high]), from_integers("int64", (1,), [1])
    return encode_outputs(CERTIFICATE, [scores, label])


RIGHT, WRONG, THIRD = output_of(40), output_of(41), output_of(42)


@pytest.fixture
def world() -> Iterator[Attested]:
    world = Attested()
    world.prove()
    yield world
    world.check_state()


@pytest.fixture
def job(world: Attested) -> Hash:
    """An inference that Bob asked for, and all agreed to a wrong answer of."""
    job = world.request(BOB)
    world.attest(job, dict.fromkeys(EVERYBODY, WRONG))
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


def unsettled(world: Attested, job: Hash) -> Past:
    past = world.pallets.disputes.unsettled(job)
    assert past is not None
    return past


def receipt(world: Attested, job: Hash) -> InferenceRecord:
    record = world.pallets.inference.receipt(job)
    assert record is not None
    return record


def challenge(world: Attested, job: Hash, who: AccountId = CHARLIE) -> Hash:
    """Doubt a result; the second job."""
    world.pallets.disputes.challenge(Signed(who), job, Balance(100 * TOKEN))
    made = unsettled(world, job).challenge
    assert made is not None
    return made.rerun


def answer(world: Attested, job: Hash, results: dict[int, bytes]) -> Ruling:
    """Let a second job come to its end; what was ruled."""
    world.commit(job, results)
    world.close_commits(job)
    world.reveal(job, results)
    events: tuple[EventRecord, ...] = ()
    while world.phase(job) is not None:
        world.pallets.context.take_events()
        world.finalize()
        events = world.pallets.context.take_events()
        world.next_block()
    [ruled] = [event for event in events if event.event == "Ruled"]
    return Ruling(Codec[tuple[Hash, Hash, Ruling]](tuple[Hash, Hash, Ruling]).decode(ruled.fields)[2])


def test_a_result_can_be_doubted_for_a_while(world: Attested, job: Hash) -> None:
    disputes = world.pallets.disputes
    past = unsettled(world, job)
    assert (past.kind, past.gas, past.challenge) == (JobKind.INFER, CERTIFICATE.gas, None)
    assert past.until == receipt(world, job).closed + DISPUTES.window_blocks
    assert disputes.bond(job) == 4 * world.pallets.jobs.reward(past.gas)
    while world.height < past.until:
        world.end_block()
        assert world.pallets.disputes.unsettled(job) == past
    assert world.pallets.inference.requests.find(job) is not None
    world.end_block()
    assert world.pallets.disputes.unsettled(job) is None
    assert world.pallets.inference.requests.find(job) is None
    late = world.pallets.disputes
    refused(world, NotChallengeable, lambda: late.challenge(Signed(CHARLIE), job, Balance(TOKEN)))


def test_a_challenge_holds_the_bond_and_opens_the_same_work_again(world: Attested, job: Hash) -> None:
    bond = world.pallets.disputes.bond(job)
    rerun = challenge(world, job)
    balances = world.pallets.balances
    reward = world.pallets.jobs.reward(CERTIFICATE.gas)
    assert (balances.held(BOND, CHARLIE), balances.held(REWARD, CHARLIE)) == (bond, reward)
    [open_job] = open_jobs(world.pallets)
    assert open_job.id == rerun
    assert isinstance(open_job.task, InferTask)
    assert open_job.task.input is not None
    assert world.pallets.disputes.bond(job) is None
    assert world.events() == ["Held", "Held", "Released", "Transferred", "Opened", "Challenged"]


def test_who_is_right_changes_the_record_and_is_paid_back(world: Attested, job: Hash) -> None:
    had, collected = world.free(CHARLIE), world.free(TREASURY)
    rerun = challenge(world, job)
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, RIGHT)) is Ruling.OVERTURNED
    record = world.pallets.inference.receipt(job)
    assert record is not None
    assert (record.output, record.classes, record.is_overturned) == (RIGHT, (1,), True)
    assert world.free(CHARLIE) == had
    reward = world.pallets.jobs.reward(CERTIFICATE.gas)
    assert world.free(TREASURY) == collected + reward // 5 - reward
    known = Conducts(agreed=3, dissented=0, unrevealed=0, abstained=0, silent=0, cannot_open=0, overturned=1)
    assert [world.pallets.disputes.conduct_of(seat) for seat in SEATS] == [known] * 4
    assert world.pallets.disputes.unsettled(job) is None


def test_what_the_requester_paid_and_when_stays_on_record(world: Attested, job: Hash) -> None:
    before = receipt(world, job)
    world.pallets.gas.set_price(Root(), Balance(3 * GAS.per_million_initial))
    rerun = challenge(world, job)
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, RIGHT)) is Ruling.OVERTURNED
    after = receipt(world, job)
    assert after.is_overturned
    assert (after.fee, after.opened) == (before.fee, before.opened)
    assert after.closed > before.closed


def test_who_had_not_agreed_to_what_is_overturned_did_not_misattest(world: Attested) -> None:
    job = world.request(BOB)
    world.attest(job, {0: WRONG, 1: WRONG, 2: WRONG, 3: RIGHT})
    assert answer(world, challenge(world, job), dict.fromkeys(EVERYBODY, RIGHT)) is Ruling.OVERTURNED
    assert [world.pallets.disputes.conduct_of(seat).overturned for seat in SEATS] == [1, 1, 1, 0]


def test_a_record_that_made_room_is_not_made_again(world: Attested, job: Hash) -> None:
    rerun = challenge(world, job)
    other = world.request(BOB)
    world.abstain(other, *EVERYBODY)
    world.pallets.inference.config = InferenceConfig(records_max=1)
    world.finalize()
    world.next_block()
    assert world.pallets.inference.receipt(job) is None
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, RIGHT)) is Ruling.OVERTURNED
    assert world.pallets.inference.receipt(job) is None
    world.pallets.inference.config = InferenceConfig(records_max=1)


def test_a_treasury_that_never_got_anything_pays_nothing_back() -> None:
    world = Attested()
    world.pallets.gas.set_price(Root(), Balance(1))
    world.pallets.gas.set_slot_prices(Root(), Balance(1), Balance(0))
    world.prove()
    job = world.request(BOB)
    world.attest(job, dict.fromkeys(EVERYBODY, WRONG))
    had, rerun = world.free(CHARLIE), challenge(world, job)
    cost = world.pallets.jobs.reward(CERTIFICATE.gas) + 1
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, RIGHT)) is Ruling.OVERTURNED
    assert (world.free(CHARLIE), world.free(TREASURY)) == (had - cost, 0)
    world.check_state()


def test_who_is_wrong_loses_the_bond(world: Attested, job: Hash) -> None:
    had, collected = world.free(CHARLIE), world.free(TREASURY)
    bond, reward = world.pallets.disputes.bond(job), world.pallets.jobs.reward(CERTIFICATE.gas)
    assert bond is not None
    assert answer(world, challenge(world, job), dict.fromkeys(EVERYBODY, WRONG)) is Ruling.UPHELD
    assert world.free(CHARLIE) == had - bond - reward - slot_fee(len(INPUT))
    assert world.free(TREASURY) == collected + bond + reward // 5 + slot_fee(len(INPUT))
    record = world.pallets.inference.receipt(job)
    assert record is not None
    assert (record.output, record.is_overturned) == (WRONG, False)
    assert world.pallets.disputes.conduct_of(SEATS[0]).overturned == 0


def test_disagreement_suspends_the_model_and_punishes_nobody(world: Attested, job: Hash) -> None:
    had = world.free(CHARLIE)
    results = {0: WRONG, 1: WRONG, 2: RIGHT, 3: THIRD}
    assert answer(world, challenge(world, job), results) is Ruling.DISPUTED
    assert world.info().model.state is ModelState.SUSPENDED
    assert world.pallets.models.offer(MODEL) is None
    reward = world.pallets.jobs.reward(CERTIFICATE.gas)
    part = (reward - reward // 5) // 4
    assert world.free(CHARLIE) == had - 4 * part - slot_fee(len(INPUT))
    assert all(world.pallets.disputes.conduct_of(seat).overturned == 0 for seat in SEATS)


def test_one_liar_among_the_silent_suspends_nothing(world: Attested, job: Hash) -> None:
    had = world.free(CHARLIE)
    assert answer(world, challenge(world, job), {0: WRONG, 3: RIGHT}) is Ruling.UNANSWERED
    assert world.info().model.state is ModelState.PROVEN
    record = world.pallets.inference.receipt(job)
    assert record is not None
    assert record.output == WRONG
    assert world.pallets.balances.held(BOND, CHARLIE) == 0
    assert world.free(CHARLIE) < had


def test_a_third_of_the_stake_is_no_dispute() -> None:
    world = Attested((1, 1, 1))
    world.attest(world.register(), dict.fromkeys(range(3), VERDICT))
    job = world.request(BOB)
    world.attest(job, dict.fromkeys(range(3), WRONG))
    assert answer(world, challenge(world, job), {0: WRONG, 1: RIGHT}) is Ruling.UNANSWERED
    assert world.info().model.state is ModelState.PROVEN
    world.check_state()


def test_a_proof_is_doubted_like_any_result(world: Attested) -> None:
    proof_job = world.info().model.job
    rerun = challenge(world, proof_job)
    [open_job] = open_jobs(world.pallets)
    assert isinstance(open_job.task, ProveTask)
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, REFUSAL)) is Ruling.OVERTURNED
    assert (world.info().model.state, world.info().refusal) == (ModelState.REFUSED, "node 3: it may overflow")
    assert world.pallets.models.offer(MODEL) is None


def test_an_overturned_proof_leaves_a_model_that_is_out_of_use_out_of_use(world: Attested) -> None:
    other = encode_verdict(replace(CERTIFICATE, gas=CERTIFICATE.gas + 1))
    proof_job = world.info().model.job
    rerun = challenge(world, proof_job)
    world.pallets.models.suspend(Signed(ALICE), MODEL)
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, other)) is Ruling.OVERTURNED
    assert (world.info().model.state, world.info().model.gas) == (ModelState.SUSPENDED, CERTIFICATE.gas + 1)
    assert world.pallets.models.offer(MODEL) is None


def test_a_proof_that_is_overturned_by_nonsense_is_gone(world: Attested) -> None:
    rerun = challenge(world, world.info().model.job)
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, b"nonsense")) is Ruling.OVERTURNED
    model = world.info().model
    assert (model.state, model.exact_hash, model.gas) == (ModelState.UNPROVEN, None, 0)
    assert world.pallets.models.proof(MODEL) is None


def test_who_doubts_a_proof_of_a_file_that_nobody_gives_any_more_pays_for_it(world: Attested) -> None:
    had = world.free(CHARLIE)
    job = world.info().model.job
    rerun = challenge(world, job)
    reward = world.pallets.balances.held(REWARD, CHARLIE)
    world.cannot_open(rerun, 0, 1)
    assert answer(world, rerun, {2: VERDICT}) is Ruling.UNANSWERED
    assert world.free(CHARLIE) == had - reward - slot_fee(SIZE)


def test_a_wrong_refusal_is_overturned_too() -> None:
    world = Attested()
    proof_job = world.register()
    world.attest(proof_job, dict.fromkeys(EVERYBODY, REFUSAL))
    answer(world, challenge(world, proof_job), dict.fromkeys(EVERYBODY, VERDICT))
    assert world.info().model.state is ModelState.PROVEN
    assert world.info().model.gas == CERTIFICATE.gas
    world.check_state()


def test_a_result_is_doubted_once_at_a_time_and_a_ruling_is_final(world: Attested, job: Hash) -> None:
    rerun = challenge(world, job)
    disputes = world.pallets.disputes
    refused(world, AlreadyChallenged, lambda: disputes.challenge(Signed(ALICE), job, Balance(TOKEN)))
    answer(world, rerun, dict.fromkeys(EVERYBODY, WRONG))
    for each in (job, rerun):
        with pytest.raises(NotChallengeable):
            world.pallets.disputes.challenge(Signed(ALICE), each, Balance(TOKEN))


def test_what_came_to_nothing_cannot_be_doubted(world: Attested) -> None:
    job = world.request(BOB)
    world.abstain(job, *EVERYBODY)
    world.finalize()
    disputes = world.pallets.disputes
    refused(world, NotChallengeable, lambda: disputes.challenge(Signed(ALICE), job, Balance(TOKEN)))
    assert world.pallets.inference.requests.find(job) is None


def test_the_bond_is_not_more_than_the_challenger_wants_nor_has(world: Attested, job: Hash) -> None:
    disputes, bond = world.pallets.disputes, world.pallets.disputes.bond(job)
    assert bond is not None
    refused(world, BondAboveMaximum, lambda: disputes.challenge(Signed(CHARLIE), job, Balance(bond - 1)))
    with pytest.raises(DispatchError):
        disputes.challenge(Signed(DAVE), job, bond)


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_challengers_are_accounts(world: Attested, job: Hash, origin: Origin) -> None:
    disputes = world.pallets.disputes
    refused(world, BadOrigin, lambda: disputes.challenge(origin, job, Balance(TOKEN)))


def test_a_cancelled_second_job_gives_all_but_its_place_back_and_settles(world: Attested, job: Hash) -> None:
    had = world.free(CHARLIE) - slot_fee(len(INPUT))
    known = [world.pallets.disputes.conduct_of(seat) for seat in SEATS]
    rerun = challenge(world, job)
    world.commit(rerun, {0: RIGHT, 1: RIGHT})
    world.pallets.jobs.cancel_all()
    world.pallets.disputes.restart()
    assert (world.free(CHARLIE), list(world.pallets.disputes.past.items())) == (had, [])
    assert [world.pallets.disputes.conduct_of(seat) for seat in SEATS] == known
    assert (world.pallets.jobs.open_gas.get(), world.pallets.jobs.open_bytes.get()) == (0, 0)
    assert world.info().model.state is ModelState.PROVEN


def test_every_end_of_a_seat_is_counted(world: Attested) -> None:
    job = world.request(BOB)
    world.commit(job, {0: RIGHT, 1: WRONG, 2: RIGHT})
    world.abstain(job, 3)
    world.close_commits(job)
    world.reveal(job, {0: RIGHT, 1: WRONG})
    world.pass_blocks_until(lambda: world.phase(job) is None)
    disputes = world.pallets.disputes
    found = [disputes.conduct_of(seat) for seat in SEATS]
    assert [one.agreed for one in found] == [1] * 4
    assert [(one.dissented, one.unrevealed, one.abstained) for one in found] == [
        (1, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]


def test_counts_of_conduct_stay_at_their_greatest(world: Attested) -> None:
    most = Conducts(
        agreed=2**32 - 1, dissented=0, unrevealed=0, abstained=0, silent=0, cannot_open=0, overturned=0
    )
    world.pallets.disputes.conducts.put(SEATS[0], most)
    world.attest(world.request(BOB), dict.fromkeys(EVERYBODY, RIGHT))
    assert world.pallets.disputes.conduct_of(SEATS[0]) == most


def test_requests_outlive_the_proof_of_their_model(world: Attested, job: Hash) -> None:
    """What was asked under a proof is recorded by that proof, whatever becomes of the model meanwhile."""
    registered = world.info().model.job
    pending = world.request(BOB)
    world.commit(pending, dict.fromkeys(EVERYBODY, RIGHT))
    world.close_commits(pending)
    rerun = challenge(world, registered)
    assert answer(world, rerun, dict.fromkeys(EVERYBODY, REFUSAL)) is Ruling.OVERTURNED
    assert world.info().model.state is ModelState.REFUSED
    assert [one.id for one in open_jobs(world.pallets)] == [pending]
    world.pallets.models.remove(Signed(ALICE), MODEL)
    second = challenge(world, job)
    assert {one.id for one in open_jobs(world.pallets)} == {pending, second}
    world.pass_blocks_until(lambda: world.phase(pending) is None)
    assert world.pallets.inference.receipt(pending) is not None
    assert answer(world, second, dict.fromkeys(EVERYBODY, RIGHT)) is Ruling.OVERTURNED
    record = world.pallets.inference.receipt(job)
    assert record is not None
    assert record.exact_hash == CERTIFICATE.model_hash
