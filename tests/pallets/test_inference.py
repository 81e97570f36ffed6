"""Inference: what a request costs, what is refused, and what the record says."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.jobs import Conduct
from frame.origin import BadOrigin, Nobody, Root, Signed
from frame.sealing import SealingKey
from inference.certificate import GAS_PER_BYTE, encode_inputs, encode_outputs, encode_verdict
from inference.tensor import from_integers
from pallets.balances.pallet import InsufficientBalance
from pallets.inference.pallet import PRICE as HELD_PRICE
from pallets.inference.pallet import TENSOR_FRAME_BYTES, Config, Inference, is_output_long
from pallets.inference.types import (
    BadInput,
    FeeAboveMaximum,
    InferenceRecord,
    InputForm,
    InputOutOfRange,
    ModelNotUsable,
    NotSealedForPanel,
    OutputTooLong,
    Quote,
    RequestInput,
    TooFewReaders,
)
from pallets.jobs.pallet import REWARD
from pallets.jobs.types import BadSignature, NothingToOpen
from primitives.codec import Codec
from primitives.hashing import blake2b_256
from primitives.job_message import (
    OUTPUT_BYTES_MAX,
    RESULT_BYTES_MAX,
    STORED_OUTPUT,
    StoredOutput,
    result_digest,
    sign_abstain,
)
from primitives.sealing import panel_digest, purpose_of
from primitives.types import U63_MAX, AccountId, Balance, Hash, Stake
from runtime.constants import TOKEN, TREASURY
from runtime.jobs import InferTask, open_jobs
from tests.pallets.attested import (
    CERTIFICATE,
    GENESIS,
    INPUT,
    KEYS,
    MODEL,
    PRICE,
    SEATS,
    VERDICT,
    Attested,
    features,
    slot_fee,
)
from tests.pallets.world import ALICE, BOB, DAVE

EVERYBODY = range(4)
SLOT = slot_fee(len(INPUT))
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
    quote = world.pallets.inference.quote(MODEL, len(INPUT), False)
    assert quote == Quote(
        CERTIFICATE.gas, Balance(SLOT), Balance(100_000), PRICE, Balance(PRICE + SLOT + 100_000)
    )
    free, collected = world.free(BOB), world.free(TREASURY)
    job = world.request(BOB)
    pending = world.pallets.inference.pending(job)
    assert pending is not None
    assert (pending.requester, pending.model, pending.owner) == (BOB, MODEL, ALICE)
    given = RequestInput(InputForm.INLINE, blake2b_256(INPUT), INPUT, None, 0, None, is_output_sealed=False)
    assert pending.input == given
    balances = world.pallets.balances
    assert (balances.held(HELD_PRICE, BOB), balances.held(REWARD, BOB)) == (PRICE, quote.reward)
    assert free - world.free(BOB) == quote.total
    assert world.free(TREASURY) - collected == SLOT
    assert world.events() == ["Held", "Held", "Released", "Transferred", "Opened", "Requested"]
    assert world.pallets.inference.receipt(job) is None


def test_a_price_beyond_all_money_is_quoted_and_refused(world: Attested) -> None:
    price = Balance(U63_MAX)
    model = world.pallets.models.models.get(MODEL)
    world.pallets.models.models.put(MODEL, replace(model, price=price))
    quote = world.pallets.inference.quote(MODEL, len(INPUT), False)
    assert quote == Quote(CERTIFICATE.gas, Balance(SLOT), Balance(100_000), price, price)
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
        input_form=InputForm.INLINE,
        input_hash=blake2b_256(INPUT),
        is_output_sealed=False,
        output=OUTPUT,
        is_output_stored=False,
        digest=result_digest(OUTPUT),
        classes=(1,),
        agreed_stake=Stake(3),
        panel_stake=Stake(4),
        fee=Balance(PRICE + SLOT + 100_000),
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
    assert world.free(BOB) == before + PRICE + SLOT + 100_000 - record.fee
    assert 0 < record.fee - SLOT <= 100_000 // 2


@pytest.mark.parametrize("result", [b"nonsense", INPUT], ids=["no tensors", "other tensors"])
def test_a_quorum_for_nonsense_is_recorded_without_classes(world: Attested, result: bytes) -> None:
    job = world.request()
    world.attest(job, dict.fromkeys(EVERYBODY, result))
    assert (receipt(world, job).output, receipt(world, job).classes) == (result, ())


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
    assert inference.quote(MODEL, 1, False) is None
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


def test_an_input_may_lie_at_both_ends_of_the_range(world: Attested) -> None:
    data = encode_inputs(CERTIFICATE, [features(-100, 0, 100)])
    world.pallets.inference.request(Signed(BOB), MODEL, data, ENOUGH)


def test_an_input_out_of_range_is_refused(world: Attested) -> None:
    for values in ((101, 0, 0), (0, 0, -101)):
        data = encode_inputs(CERTIFICATE, [features(*values)])
        refused(
            world, InputOutOfRange, partial(world.pallets.inference.request, Signed(BOB), MODEL, data, ENOUGH)
        )


def test_a_fee_above_the_maximum_is_refused(world: Attested) -> None:
    cost = PRICE + SLOT + 100_000
    inference = world.pallets.inference
    refused(world, FeeAboveMaximum, lambda: inference.request(Signed(BOB), MODEL, INPUT, Balance(cost - 1)))
    inference.request(Signed(BOB), MODEL, INPUT, Balance(cost))


def test_a_requester_without_money_is_refused(world: Attested) -> None:
    inference = world.pallets.inference
    refused(world, InsufficientBalance, lambda: inference.request(Signed(DAVE), MODEL, INPUT, ENOUGH))


def with_outputs_of(*elements: int) -> Attested:
    """A world with a model that attests outputs of so many integers."""
    world = Attested()
    ports = tuple(replace(CERTIFICATE.outputs[0], shape=(1, each)) for each in elements)
    long = replace(CERTIFICATE, outputs=ports, attested=tuple(range(len(ports))))
    world.attest(world.register(), dict.fromkeys(EVERYBODY, encode_verdict(long)))
    world.events()
    return world


FITTING = (OUTPUT_BYTES_MAX - 2 * TENSOR_FRAME_BYTES) // 4
"""Integers of two outputs that are as long as any."""


@pytest.mark.parametrize(("elements", "is_taken"), [((FITTING - 1, 1), True), ((1, FITTING), False)])
def test_a_model_with_outputs_longer_than_any_cannot_be_requested(
    elements: tuple[int, ...], is_taken: bool
) -> None:
    world = with_outputs_of(*elements)
    if is_taken:
        assert world.request(BOB)
    else:
        inference = world.pallets.inference
        refused(world, OutputTooLong, lambda: inference.request(Signed(BOB), MODEL, INPUT, ENOUGH))


@pytest.mark.parametrize(("elements", "is_long"), [(1_000, False), (1_001, True)])
def test_an_output_of_four_kib_is_the_longest_in_the_state(elements: int, is_long: bool) -> None:
    output = replace(CERTIFICATE.outputs[0], shape=(1, elements))
    assert 4 * 1_000 + TENSOR_FRAME_BYTES == RESULT_BYTES_MAX
    assert is_output_long(replace(CERTIFICATE, outputs=(output, CERTIFICATE.outputs[1]))) is is_long


def test_a_job_is_about_the_model_and_its_input(world: Attested) -> None:
    found = world.pallets.jobs.get(world.request(BOB))
    assert found is not None
    assert found.inputs == (world.info().model.blob, blake2b_256(INPUT))


def test_a_long_output_is_on_record_by_its_hash_and_costs_more() -> None:
    world = with_outputs_of(2_000)
    quote = world.pallets.inference.quote(MODEL, 1, False)
    assert quote is not None
    assert quote.gas > CERTIFICATE.gas + 8_000 * GAS_PER_BYTE
    named = STORED_OUTPUT.encode(StoredOutput(Hash(b"\x0b" * 32), 8_030))
    job = world.request(BOB)
    world.attest(job, dict.fromkeys(EVERYBODY, named))
    record = receipt(world, job)
    assert (record.output, record.is_output_stored, record.classes) == (named, True, ())
    world.check_state()


def test_no_request_is_quoted_more_gas_than_can_be_counted() -> None:
    world = Attested()
    endless = replace(CERTIFICATE, gas=U63_MAX)
    world.attest(world.register(), dict.fromkeys(EVERYBODY, encode_verdict(endless)))
    quote = world.pallets.inference.quote(MODEL, 1, True)
    assert quote is not None
    assert (quote.gas, quote.total) == (U63_MAX, quote.slot_fee + quote.reward + PRICE)


BLOB = Hash(b"\x0b" * 32)


def request_stored(world: Attested, size_bytes: int = 5_000) -> Hash:
    """Ask for an inference on an input that is a blob; its job."""
    world.pallets.inference.request_stored(Signed(BOB), MODEL, BLOB, size_bytes, ENOUGH)
    [(job, _)] = world.pallets.inference.requests.items()
    return job


def test_an_input_can_be_a_blob_which_costs_by_its_length(world: Attested) -> None:
    quote = world.pallets.inference.quote
    inline, stored = quote(MODEL, 5_000, False), quote(MODEL, 5_000, True)
    assert inline is not None
    assert stored is not None
    assert stored.gas - inline.gas == 5_000 * GAS_PER_BYTE
    assert stored.slot_fee == inline.slot_fee == slot_fee(5_000)
    job = request_stored(world)
    request = world.pallets.inference.pending(job)
    assert request is not None
    assert request.input == RequestInput(
        InputForm.STORED, BLOB, None, BLOB, 5_000, None, is_output_sealed=False
    )
    world.attest(job, dict.fromkeys(EVERYBODY, OUTPUT))
    record = receipt(world, job)
    assert (record.input_form, record.input_hash, record.classes) == (InputForm.STORED, BLOB, (1,))


def test_when_many_cannot_open_the_input_the_requester_pays(world: Attested) -> None:
    job = request_stored(world)
    reward, before = world.pallets.balances.held(REWARD, BOB), world.free(BOB)
    earned = [world.free(seat) for seat in SEATS]
    world.commit(job, {0: OUTPUT})
    world.abstain(job, 1)
    world.cannot_open(job, 2, 3)
    world.end_block()
    world.reveal(job, {0: OUTPUT})
    world.pass_blocks_until(lambda: world.phase(job) is None)
    record = receipt(world, job)
    assert [seat.conduct for seat in record.attestations] == [
        Conduct.DISSENTED,
        Conduct.ABSTAINED,
        Conduct.CANNOT_OPEN,
        Conduct.CANNOT_OPEN,
    ]
    part = (reward - reward // 5) // 4
    paid = [world.free(seat) - had for seat, had in zip(SEATS, earned, strict=True)]
    assert paid == [part, 0, part, part]
    assert (record.fee, world.free(BOB)) == (reward + slot_fee(5_000), before + PRICE)


def test_a_third_that_cannot_open_the_input_is_enough_for_there_was_no_quorum_without_it() -> None:
    world = Attested((1, 1, 1))
    world.attest(world.register(), dict.fromkeys(range(3), VERDICT))
    job = request_stored(world)
    reward = world.pallets.balances.held(REWARD, BOB)
    world.cannot_open(job, 2)
    world.attest(job, {0: OUTPUT, 1: OUTPUT})
    record = receipt(world, job)
    assert (record.output, record.fee) == (None, reward + slot_fee(5_000))


def test_when_few_cannot_open_the_input_the_rest_is_refunded(world: Attested) -> None:
    job = request_stored(world)
    world.abstain(job, 0, 1, 2)
    world.cannot_open(job, 3)
    world.finalize()
    assert receipt(world, job).fee == slot_fee(5_000)


def test_an_input_in_the_state_is_open_to_all(world: Attested) -> None:
    job = world.request(BOB)
    message = sign_abstain(KEYS[0], GENESIS, job, cannot_open=True)
    world.events()
    refused(world, NothingToOpen, lambda: world.pallets.jobs.abstain(Nobody(), message))
    stored = request_stored_beside(world)
    forged = replace(sign_abstain(KEYS[0], GENESIS, stored), cannot_open=True)
    refused(world, BadSignature, lambda: world.pallets.jobs.abstain(Nobody(), forged))


def request_stored_beside(world: Attested) -> Hash:
    """Its job, beside those there are."""
    before = {job for job, _ in world.pallets.inference.requests.items()}
    world.pallets.inference.request_stored(Signed(BOB), MODEL, BLOB, 5_000, ENOUGH)
    [job] = {job for job, _ in world.pallets.inference.requests.items()} - before
    world.events()
    return job


READER_KEYS = [SealingKey(bytes([0x70 + seat]) * 32) for seat in EVERYBODY]
COMMITMENT = Hash(b"\x0c" * 32)


def ask_privately(
    world: Attested, keys: Sequence[bytes | None], is_output_sealed: bool = True, who: AccountId = BOB
) -> None:
    """Ask for an inference on an input that is sealed to these keys."""
    world.pallets.inference.request_private(
        Signed(who), MODEL, COMMITMENT, BLOB, 700, panel_digest(keys), is_output_sealed, ENOUGH
    )


def test_a_private_request_fixes_its_input_and_hides_its_output(world: Attested) -> None:
    for seat in EVERYBODY:
        world.pallets.balances.move(ALICE, SEATS[seat], ENOUGH)
        world.pallets.sealing.set_key(Signed(SEATS[seat]), READER_KEYS[seat])
    ask_privately(world, READER_KEYS)
    [(job, request)] = world.pallets.inference.requests.items()
    panel = request.input.panel
    assert request.input == RequestInput(
        InputForm.SEALED, COMMITMENT, None, BLOB, 700, panel, is_output_sealed=True
    )
    assert panel == panel_digest([reader.key for reader in world.pallets.sealing.readers()])
    named = STORED_OUTPUT.encode(StoredOutput(BLOB, 60))
    world.attest(job, dict.fromkeys(EVERYBODY, named))
    record = receipt(world, job)
    assert (record.input_form, record.input_hash) == (InputForm.SEALED, COMMITMENT)
    assert (record.is_output_sealed, record.is_output_stored, record.classes) == (True, True, ())


def test_who_asks_privately_with_what_nobody_can_open_pays_for_it(world: Attested) -> None:
    for seat in EVERYBODY:
        world.pallets.balances.move(ALICE, SEATS[seat], ENOUGH)
        world.pallets.sealing.set_key(Signed(SEATS[seat]), READER_KEYS[seat])
    ask_privately(world, READER_KEYS)
    [(job, _)] = world.pallets.inference.requests.items()
    reward = world.pallets.balances.held(REWARD, BOB)
    world.cannot_open(job, 0, 1)
    world.abstain(job, 2, 3)
    world.finalize()
    assert receipt(world, job).fee == reward + slot_fee(700)


def test_the_panel_is_told_what_a_private_input_is_for(world: Attested) -> None:
    for seat in EVERYBODY:
        world.pallets.balances.move(ALICE, SEATS[seat], ENOUGH)
        world.pallets.sealing.set_key(Signed(SEATS[seat]), READER_KEYS[seat])
    uses = [(BOB, True), (BOB, False), (ALICE, True)]
    for who, is_output_sealed in uses:
        ask_privately(world, READER_KEYS, is_output_sealed, who)
    tasks = [job.task for job in open_jobs(world.pallets)]
    told = {task.given.purpose for task in tasks if isinstance(task, InferTask) and task.given is not None}
    assert told == {purpose_of(who, MODEL, is_output_sealed) for who, is_output_sealed in uses}
    assert len(told) == 3


def test_a_private_request_is_for_the_panel_of_now(world: Attested) -> None:
    for seat in (0, 1, 2):
        world.pallets.balances.move(ALICE, SEATS[seat], ENOUGH)
        world.pallets.sealing.set_key(Signed(SEATS[seat]), READER_KEYS[seat])
    world.events()
    refused(world, NotSealedForPanel, lambda: ask_privately(world, READER_KEYS))
    ask_privately(world, [*READER_KEYS[:3], None])
    world.pallets.sealing.remove_key(Signed(SEATS[2]))
    world.events()
    refused(world, TooFewReaders, lambda: ask_privately(world, [*READER_KEYS[:2], None, None]))


def test_two_thirds_of_the_stake_that_can_read_are_too_few() -> None:
    world = Attested((1, 1, 1))
    world.attest(world.register(), dict.fromkeys(range(3), VERDICT))
    for seat in (0, 1):
        world.pallets.balances.move(ALICE, SEATS[seat], ENOUGH)
        world.pallets.sealing.set_key(Signed(SEATS[seat]), READER_KEYS[seat])
    world.events()
    refused(world, TooFewReaders, lambda: ask_privately(world, [*READER_KEYS[:2], None]))


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_a_request_is_for_accounts(world: Attested, origin: Root | Nobody) -> None:
    refused(world, BadOrigin, lambda: world.pallets.inference.request(origin, MODEL, INPUT, ENOUGH))
