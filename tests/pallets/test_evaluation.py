"""Evaluation: data sets by their hash, what measuring costs, and what the record says."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from inference.certificate import GAS_PER_BYTE, encode_verdict
from inference.evaluation import Cell, Classified, Metric, encode_evaluation, evaluation_gas
from pallets.balances.pallet import InsufficientBalance
from pallets.evaluation.pallet import DEPOSIT, Config, dataset_id
from pallets.evaluation.types import (
    AlreadyRegistered,
    Dataset,
    DatasetInfo,
    FeeAboveMaximum,
    ModelNotUsable,
    NoSuchDataset,
    NotOwner,
    OutputTooLong,
    TooManyDatasets,
)
from pallets.models.pallet import ModelState
from primitives.types import U63_MAX, Balance, BlockNumber, Hash
from runtime.constants import EVALUATION, GAS, TOKEN
from runtime.jobs import EvaluateTask, open_jobs
from tests.pallets.attested import BLOB, CERTIFICATE, MODEL, PRICE, REFUSAL, VERDICT, Attested, slot_fee
from tests.pallets.world import ALICE, BOB, CHARLIE, DAVE

EVERYBODY = range(4)
CONTENT = Hash(b"\xda" * 32)
DATA = dataset_id(BOB, CONTENT)
LICENCE = Hash(b"\x11" * 32)
ENOUGH = Balance(2 * TOKEN)
RESULT = encode_evaluation(Classified(100, 90, (Cell(0, 0, 90), Cell(1, 0, 10))))


@pytest.fixture
def world() -> Iterator[Attested]:
    world = Attested()
    world.prove()
    world.pallets.evaluation.register_dataset(Signed(BOB), CONTENT, 5_000, 100, "held out", LICENCE)
    world.events()
    yield world
    world.check_state()


def refused(world: Attested, error: type[DispatchError], method: Callable[[], None]) -> None:
    """The refusal is `error`, and leaves no trace."""
    before = world.pallets.context.overlay.changes()
    with pytest.raises(error):
        method()
    assert world.pallets.context.overlay.changes() == before
    assert world.events() == []


def evaluate(world: Attested, metric: Metric = Metric.CLASSIFICATION) -> Hash:
    """Charlie has the model measured; the job."""
    world.pallets.evaluation.evaluate(Signed(CHARLIE), MODEL, DATA, metric, ENOUGH)
    [job] = [job.id for job in open_jobs(world.pallets)]
    return job


def test_a_data_set_is_registered_by_its_owner_and_hash(world: Attested) -> None:
    found = world.pallets.evaluation.dataset(BOB, CONTENT)
    height = BlockNumber(world.height)
    known = Dataset(BOB, CONTENT, "held out", 5_000, 100, LICENCE, EVALUATION.deposit, height)
    assert found == DatasetInfo(DATA, known)
    assert world.pallets.evaluation.dataset(ALICE, CONTENT) is None
    assert world.pallets.balances.held(DEPOSIT, BOB) == EVALUATION.deposit


def test_an_evaluation_costs_every_row_once_and_names_its_task(world: Attested) -> None:
    gas = evaluation_gas(CERTIFICATE, Metric.CLASSIFICATION, 100, 5_000) + 5_000 * GAS_PER_BYTE
    cost = world.pallets.evaluation.quote(MODEL, DATA, Metric.CLASSIFICATION)
    assert cost == PRICE + world.pallets.jobs.reward(gas) + slot_fee(5_000)
    before = world.free(CHARLIE)
    evaluate(world)
    assert world.free(CHARLIE) == before - cost
    [job] = open_jobs(world.pallets)
    assert job.task == EvaluateTask(
        blob=BLOB,
        certificate=VERDICT,
        dataset=CONTENT,
        size_bytes=5_000,
        rows=100,
        metric=Metric.CLASSIFICATION,
    )
    assert world.pallets.jobs.jobs.get(job.id).inputs == (BLOB, CONTENT)


def test_the_most_to_pay_is_for_the_price_of_the_model_too(world: Attested) -> None:
    evaluation, metric = world.pallets.evaluation, Metric.CLASSIFICATION
    cost = evaluation.quote(MODEL, DATA, Metric.CLASSIFICATION)
    assert cost is not None
    less = Balance(cost - 1)
    refused(world, FeeAboveMaximum, lambda: evaluation.evaluate(Signed(BOB), MODEL, DATA, metric, less))
    evaluation.evaluate(Signed(BOB), MODEL, DATA, metric, cost)


def test_a_price_beyond_all_money_is_quoted_and_refused(world: Attested) -> None:
    evaluation, models, metric = world.pallets.evaluation, world.pallets.models.models, Metric.CLASSIFICATION
    all_money = Balance(U63_MAX)
    models.put(MODEL, replace(models.get(MODEL), price=all_money))
    assert evaluation.quote(MODEL, DATA, Metric.CLASSIFICATION) == all_money
    refused(world, FeeAboveMaximum, lambda: evaluation.evaluate(Signed(BOB), MODEL, DATA, metric, all_money))


def test_what_validators_agree_on_is_on_record_and_paid(world: Attested) -> None:
    owned = world.free(ALICE)
    job = evaluate(world)
    assert world.pallets.evaluation.pending(job) is not None
    world.attest(job, dict.fromkeys(EVERYBODY, RESULT))
    record = world.pallets.evaluation.receipt(job)
    assert record is not None
    assert (record.result, record.rows, record.metric) == (RESULT, 100, Metric.CLASSIFICATION)
    assert (record.agreed_stake, record.panel_stake) == (4, 4)
    assert (record.dataset, record.blob) == (DATA, CONTENT)
    assert world.free(ALICE) == owned + PRICE
    assert world.pallets.evaluation.pending(job) is None
    world.settle()
    assert list(world.pallets.evaluation.requests.items()) == []


def test_without_a_quorum_the_price_is_refunded(world: Attested) -> None:
    owned, had = world.free(ALICE), world.free(CHARLIE)
    job = evaluate(world)
    world.abstain(job, *EVERYBODY)
    world.finalize()
    record = world.pallets.evaluation.receipt(job)
    assert record is not None
    assert (record.result, record.fee) == (None, slot_fee(5_000))
    assert (world.free(ALICE), world.free(CHARLIE)) == (owned, had - slot_fee(5_000))


def test_who_asks_for_a_measurement_on_data_that_nobody_gives_pays_for_it(world: Attested) -> None:
    cost, had = world.pallets.evaluation.quote(MODEL, DATA, Metric.CLASSIFICATION), world.free(CHARLIE)
    assert cost is not None
    job = evaluate(world)
    world.cannot_open(job, 0, 1)
    world.abstain(job, 2, 3)
    world.finalize()
    assert world.free(CHARLIE) == had - (cost - PRICE)
    record = world.pallets.evaluation.receipt(job)
    assert record is not None
    assert (record.result, record.fee) == (None, cost - PRICE)


def test_nobody_takes_a_data_set_from_another(world: Attested) -> None:
    """Whoever registers the same content has a data set of his own, and removes that alone."""
    evaluation = world.pallets.evaluation
    evaluation.register_dataset(Signed(ALICE), CONTENT, 7, 1, "mine", LICENCE)
    evaluation.remove_dataset(Signed(ALICE), dataset_id(ALICE, CONTENT))
    found = evaluation.dataset(BOB, CONTENT)
    assert found is not None
    assert (found.dataset.owner, found.dataset.rows) == (BOB, 100)
    evaluate(world)


def test_a_result_is_challenged_like_any_other(world: Attested) -> None:
    job = evaluate(world)
    world.attest(job, dict.fromkeys(EVERYBODY, b"a lie"))
    before = world.pallets.evaluation.receipt(job)
    assert before is not None
    world.pallets.gas.set_price(Root(), Balance(3 * GAS.per_million_initial))
    world.pallets.disputes.challenge(Signed(BOB), job, Balance(100 * TOKEN))
    [rerun] = [each.id for each in open_jobs(world.pallets)]
    world.attest(rerun, dict.fromkeys(EVERYBODY, RESULT))
    record = world.pallets.evaluation.receipt(job)
    assert record is not None
    assert (record.result, record.is_overturned) == (RESULT, True)
    assert (record.fee, record.opened) == (before.fee, before.opened)


def test_a_record_that_made_room_is_not_made_again(world: Attested) -> None:
    few = Config(deposit=Balance(TOKEN), datasets_max=9, records_max=1)
    job = evaluate(world)
    world.attest(job, dict.fromkeys(EVERYBODY, b"a lie"))
    other = evaluate(world)
    world.abstain(other, *EVERYBODY)
    world.pallets.evaluation.config = few
    world.end_block()
    world.pallets.disputes.challenge(Signed(BOB), job, Balance(100 * TOKEN))
    [rerun] = [each.id for each in open_jobs(world.pallets)]
    world.attest(rerun, dict.fromkeys(EVERYBODY, RESULT))
    assert world.pallets.evaluation.receipt(job) is None
    world.pallets.evaluation.config = few


def test_what_is_asked_is_recorded_by_the_proof_of_its_time(world: Attested) -> None:
    job = evaluate(world)
    world.commit(job, dict.fromkeys(EVERYBODY, RESULT))
    world.close_commits(job)
    proof = world.info().model.job
    world.pallets.disputes.challenge(Signed(BOB), proof, Balance(100 * TOKEN))
    challenge = world.pallets.disputes.past.get(proof).challenge
    assert challenge is not None
    world.attest(challenge.rerun, dict.fromkeys(EVERYBODY, REFUSAL))
    world.pallets.models.remove(Signed(ALICE), MODEL)
    world.pass_blocks_until(lambda: world.phase(job) is None)
    record = world.pallets.evaluation.receipt(job)
    assert record is not None
    assert record.exact_hash == CERTIFICATE.model_hash


def test_a_disputed_result_suspends_the_model(world: Attested) -> None:
    job = evaluate(world)
    world.attest(job, dict.fromkeys(EVERYBODY, RESULT))
    world.pallets.disputes.challenge(Signed(BOB), job, Balance(100 * TOKEN))
    [rerun] = [each.id for each in open_jobs(world.pallets)]
    world.attest(rerun, {0: RESULT, 1: RESULT, 2: b"one", 3: b"two"})
    assert world.info().model.state is ModelState.SUSPENDED


def test_the_oldest_record_makes_room(world: Attested) -> None:
    jobs = []
    for _ in range(3):
        job = evaluate(world)
        world.abstain(job, *EVERYBODY)
        world.pallets.evaluation.config = Config(deposit=Balance(TOKEN), datasets_max=9, records_max=2)
        world.finalize()
        jobs.append(job)
    assert [world.pallets.evaluation.receipt(job) is None for job in jobs] == [True, False, False]


def test_a_data_set_is_removed_by_its_owner_and_what_is_under_way_goes_on(world: Attested) -> None:
    job = evaluate(world)
    evaluation = world.pallets.evaluation
    world.events()
    refused(world, NotOwner, lambda: evaluation.remove_dataset(Signed(ALICE), DATA))
    evaluation.remove_dataset(Signed(BOB), DATA)
    assert world.pallets.balances.held(DEPOSIT, BOB) == 0
    world.events()
    refused(world, NoSuchDataset, lambda: evaluation.remove_dataset(Signed(BOB), DATA))
    world.attest(job, dict.fromkeys(EVERYBODY, RESULT))
    assert world.pallets.evaluation.receipt(job) is not None


def test_data_sets_are_distinct_bounded_and_paid_for(world: Attested) -> None:
    evaluation, other = world.pallets.evaluation, Hash(bytes(32))
    refused(
        world,
        AlreadyRegistered,
        lambda: evaluation.register_dataset(Signed(BOB), CONTENT, 1, 1, "again", LICENCE),
    )
    refused(
        world,
        InsufficientBalance,
        lambda: evaluation.register_dataset(Signed(DAVE), other, 1, 1, "x", LICENCE),
    )
    evaluation.config = Config(deposit=Balance(TOKEN), datasets_max=1, records_max=2)
    refused(
        world,
        TooManyDatasets,
        lambda: evaluation.register_dataset(Signed(ALICE), other, 1, 1, "x", LICENCE),
    )


def test_what_cannot_be_measured_is_refused(world: Attested) -> None:
    evaluation, nothing, metric = world.pallets.evaluation, Hash(bytes(32)), Metric.REGRESSION
    refused(world, ModelNotUsable, lambda: evaluation.evaluate(Signed(BOB), nothing, DATA, metric, ENOUGH))
    refused(world, NoSuchDataset, lambda: evaluation.evaluate(Signed(BOB), MODEL, nothing, metric, ENOUGH))
    refused(world, FeeAboveMaximum, lambda: evaluation.evaluate(Signed(BOB), MODEL, DATA, metric, Balance(5)))
    assert evaluation.quote(nothing, DATA, Metric.CLASSIFICATION) is None


@pytest.mark.parametrize(("elements", "is_taken"), [(2**18 - 2, True), (2**18 - 1, False)])
def test_a_model_with_longer_outputs_than_anybody_looks_at_is_not_measured(
    elements: int, is_taken: bool
) -> None:
    """A mebibyte of integers in all, and one number of eight bytes among them."""
    world = Attested()
    long = replace(CERTIFICATE.outputs[0], shape=(1, elements))
    certificate = replace(CERTIFICATE, outputs=(long, CERTIFICATE.outputs[1]))
    world.attest(world.register(), dict.fromkeys(EVERYBODY, encode_verdict(certificate)))
    evaluation = world.pallets.evaluation
    evaluation.register_dataset(Signed(BOB), CONTENT, 5_000, 1, "held out", LICENCE)
    world.events()
    much, masks = Balance(100 * TOKEN), Metric.MASKS
    if is_taken:
        evaluation.evaluate(Signed(CHARLIE), MODEL, DATA, masks, much)
    else:
        refused(world, OutputTooLong, lambda: evaluation.evaluate(Signed(CHARLIE), MODEL, DATA, masks, much))


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_every_call_is_for_accounts(world: Attested, origin: Origin) -> None:
    evaluation = world.pallets.evaluation
    refused(world, BadOrigin, lambda: evaluation.register_dataset(origin, BLOB, 1, 1, "x", LICENCE))
    refused(world, BadOrigin, lambda: evaluation.remove_dataset(origin, DATA))
    refused(world, BadOrigin, lambda: evaluation.evaluate(origin, MODEL, DATA, Metric.CLASSIFICATION, ENOUGH))
