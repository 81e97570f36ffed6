"""Inference: what a request costs, what is refused, and what the record says."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.jobs import Conduct
from frame.origin import BadOrigin, Nobody, Root, Signed
from inference.certificate import encode_inputs, encode_outputs, encode_verdict
from inference.tensor import from_integers
from pallets.balances.pallet import InsufficientBalance
from pallets.inference.pallet import (
    PRICE as HELD_PRICE,
)
from pallets.inference.pallet import (
    BadInput,
    Config,
    FeeAboveMaximum,
    Inference,
    InferenceRecord,
    InputOutOfRange,
    ModelNotUsable,
    OutputTooLong,
    Quote,
)
from pallets.jobs.pallet import REWARD
from primitives.codec import Codec
from primitives.hashing import blake2b_256
from primitives.job_message import result_digest
from primitives.types import U63_MAX, Balance, Hash, Stake
from runtime.constants import TOKEN
from tests.pallets.attested import (
    CERTIFICATE,
    INPUT,
    MODEL,
    PRICE,
    SEATS,
    Attested,
    features,
)
from tests.pallets.world import ALICE, BOB, DAVE

EVERYBODY = range(4)
OUTPUT = encode_outputs(
    CERTIFICATE, [from_integers("int32", (1, 2), [-7, 40]), from_integers("int64", (1,), [1])]
)
ENOUGH = Balance(2 * TOKEN)


@pytest.fixture
def world() -> Iterator[Attested]:
    world = Attested()
    world.prove()
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


def receipt(world: Attested, job: Hash) -> InferenceRecord:
    """The record of a request that is answered."""
    record = world.pallets.inference.receipt(job)
    assert record is not None
    return record


def test_a_request_holds_price_and_reward_and_opens_a_job(world: Attested) -> None:
    quote = world.pallets.inference.quote(MODEL)
    assert quote == Quote(CERTIFICATE.gas, Balance(100_000), PRICE, Balance(PRICE + 100_000))
    free = world.free(BOB)
    job = world.request(BOB)
    pending = world.pallets.inference.pending(job)
    assert pending is not None
    assert (pending.requester, pending.model, pending.owner, pending.input) == (BOB, MODEL, ALICE, INPUT)
    balances = world.pallets.balances
    assert (balances.held(HELD_PRICE, BOB), balances.held(REWARD, BOB)) == (PRICE, quote.reward)
    assert free - world.free(BOB) == quote.total
    assert world.events() == ["Held", "Held", "Opened", "Requested"]
    assert world.pallets.inference.receipt(job) is None


def test_a_price_beyond_all_money_is_quoted_and_refused(world: Attested) -> None:
    price = Balance(U63_MAX)
    model = world.pallets.models.models.get(MODEL)
    world.pallets.models.models.put(MODEL, replace(model, price=price))
    assert world.pallets.inference.quote(MODEL) == Quote(CERTIFICATE.gas, Balance(100_000), price, price)
    refused(
        world,
        FeeAboveMaximum,
        lambda: world.pallets.inference.request(Signed(BOB), MODEL, INPUT, price),
    )


def test_an_answer_is_recorded_with_its_attestations_and_paid(world: Attested) -> None:
    owned = world.free(ALICE)
    job = world.request(BOB)
    opened = world.height
    world.attest(job, {0: OUTPUT, 1: OUTPUT, 2: OUTPUT, 3: b"wrong"})
    record = receipt(world, job)
    conducts = [Conduct.AGREED] * 3 + [Conduct.DISSENTED]
    assert [(seat.validator, seat.conduct) for seat in record.attestations] == list(
        zip(SEATS, conducts, strict=True)
    )
    assert record == replace(
        record,
        requester=BOB,
        model=MODEL,
        exact_hash=Hash(CERTIFICATE.model_hash),
        input_hash=blake2b_256(INPUT),
        output=OUTPUT,
        digest=result_digest(OUTPUT),
        classes=(1,),
        agreed_stake=Stake(3),
        panel_stake=Stake(4),
        fee=Balance(PRICE + 100_000),
        opened=opened,
    )
    assert world.free(ALICE) == owned + PRICE
    assert world.pallets.inference.pending(job) is None


def test_the_record_stands_under_its_documented_key(world: Attested) -> None:
    job = world.request()
    world.attest(job, dict.fromkeys(EVERYBODY, OUTPUT))
    key = Inference.records.prefix + b"\x91\xc4\x20" + job
    data = world.state.get(key)
    assert data is not None
    assert Codec[InferenceRecord](InferenceRecord).decode(data) == receipt(world, job)


def test_without_a_quorum_the_price_is_refunded(world: Attested) -> None:
    owned = world.free(ALICE)
    job = world.request(BOB)
    before = world.free(BOB)
    world.attest(job, {0: OUTPUT, 1: OUTPUT})
    record = receipt(world, job)
    assert (record.output, record.digest, record.classes, record.agreed_stake) == (None, None, (), 0)
    assert world.free(ALICE) == owned
    assert world.free(BOB) == before + PRICE + 100_000 - record.fee
    assert 0 < record.fee <= 100_000 // 2


def test_a_quorum_for_nonsense_is_recorded_without_classes(world: Attested) -> None:
    job = world.request()
    world.attest(job, dict.fromkeys(EVERYBODY, b"nonsense"))
    assert (receipt(world, job).output, receipt(world, job).classes) == (b"nonsense", ())


def test_a_request_under_way_is_answered_though_the_model_is_suspended(world: Attested) -> None:
    job = world.request()
    world.pallets.models.suspend(Signed(ALICE), MODEL)
    world.attest(job, dict.fromkeys(EVERYBODY, OUTPUT))
    assert receipt(world, job).output == OUTPUT


def test_the_oldest_record_makes_room(world: Attested) -> None:
    jobs = []
    for _ in range(3):
        job = world.request()
        world.abstain(job, *EVERYBODY)
        world.pallets.inference.config = Config(records_max=2)
        world.finalize()
        jobs.append(job)
        assert world.pallets.inference.pending(job) is None
    assert [world.pallets.inference.receipt(job) is None for job in jobs] == [True, False, False]
    world.pallets.inference.check_state()
    world.pallets.inference.config = Config(records_max=2)


def test_a_model_that_is_not_proven_cannot_be_used() -> None:
    world = Attested()
    world.register()
    inference = world.pallets.inference
    world.events()
    refused(world, ModelNotUsable, lambda: inference.request(Signed(BOB), MODEL, INPUT, ENOUGH))
    assert inference.quote(MODEL) is None
    unknown = Hash(bytes(32))
    refused(world, ModelNotUsable, lambda: inference.request(Signed(BOB), unknown, INPUT, ENOUGH))


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        INPUT + b"\x00",
        INPUT[:-1],
        encode_inputs(
            replace(CERTIFICATE, inputs=(replace(CERTIFICATE.inputs[0], shape=(1, 2)),)), [features(1, 2)]
        ),
        encode_inputs(
            replace(CERTIFICATE, inputs=(replace(CERTIFICATE.inputs[0], dtype="int32"),)),
            [features(1, 2, 3, dtype="int32")],
        ),
    ],
)
def test_an_input_of_another_form_is_refused(world: Attested, data: bytes) -> None:
    refused(world, BadInput, lambda: world.pallets.inference.request(Signed(BOB), MODEL, data, ENOUGH))


def test_an_input_out_of_range_is_refused(world: Attested) -> None:
    for values in ((101, 0, 0), (0, 0, -101)):
        data = encode_inputs(CERTIFICATE, [features(*values)])
        refused(
            world, InputOutOfRange, partial(world.pallets.inference.request, Signed(BOB), MODEL, data, ENOUGH)
        )


def test_a_fee_above_the_maximum_is_refused(world: Attested) -> None:
    cost = PRICE + 100_000
    inference = world.pallets.inference
    refused(world, FeeAboveMaximum, lambda: inference.request(Signed(BOB), MODEL, INPUT, Balance(cost - 1)))
    inference.request(Signed(BOB), MODEL, INPUT, Balance(cost))


def test_a_requester_without_money_is_refused(world: Attested) -> None:
    inference = world.pallets.inference
    refused(world, InsufficientBalance, lambda: inference.request(Signed(DAVE), MODEL, INPUT, ENOUGH))


def test_a_model_with_long_outputs_cannot_be_requested() -> None:
    world = Attested()
    long = replace(CERTIFICATE, outputs=(replace(CERTIFICATE.outputs[0], shape=(1, 1024)),))
    world.attest(world.register(), dict.fromkeys(EVERYBODY, encode_verdict(long)))
    world.events()
    inference = world.pallets.inference
    refused(world, OutputTooLong, lambda: inference.request(Signed(BOB), MODEL, INPUT, ENOUGH))


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_a_request_is_for_accounts(world: Attested, origin: Root | Nobody) -> None:
    refused(world, BadOrigin, lambda: world.pallets.inference.request(origin, MODEL, INPUT, ENOUGH))
