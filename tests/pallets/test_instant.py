"""Instant: which models are run in blocks, what a run costs, and what a machine in trouble leaves behind."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from msgspec.structs import replace

from frame.error import Unable
from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from inference.certificate import (
    Assumption,
    ExactnessCertificate,
    Gap,
    decode_inputs,
    encode_inputs,
    encode_outputs,
    encode_verdict,
    ready_bytes,
)
from inference.tensor import from_integers, integers
from pallets.balances.pallet import InsufficientBalance
from pallets.instant.pallet import TENSOR_FRAME_BYTES, Config
from pallets.instant.types import (
    CALL_GAS_MAX,
    MODEL_BYTES_MAX,
    MODEL_READY_BYTES_MAX,
    AlreadyDeployed,
    BadInput,
    Deployed,
    InstantRecord,
    ModelNotUsable,
    NotDeployed,
    NotForBlocks,
    NotOwner,
    PriceAboveMaximum,
    TooManyDeployed,
    TooMuchGas,
)
from primitives.hashing import blake2b_256
from primitives.job_message import RESULT_BYTES_MAX
from primitives.types import Balance, BlockNumber, Hash
from runtime.constants import INSTANT, TOKEN, TREASURY
from runtime.pinned import PinnedModel, pinned_models
from tests.pallets.attested import (
    BLOB,
    CERTIFICATE,
    INPUT,
    MODEL,
    PRICE,
    REFUSAL,
    SIZE,
    VERDICT,
    Attested,
    features,
)
from tests.pallets.world import ALICE, BOB, DAVE

EVERYBODY = range(4)
GAS = CERTIFICATE.gas
READY = ready_bytes(CERTIFICATE)


def answer_to(inputs: bytes) -> bytes:
    """The model: the sum of the features, and its negative."""
    [tensor] = decode_inputs(CERTIFICATE, inputs)
    total = sum(integers(tensor))
    scores, label = from_integers("int32", (1, 2), [-total, total]), from_integers("int64", (1,), [1])
    return encode_outputs(CERTIFICATE, [scores, label])


class Host:
    """Runs the one model there is; or cannot."""

    def __init__(self) -> None:
        self.is_unable = False
        self.asked: list[tuple[Hash, bytes, bytes]] = []

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        self.asked.append((blob, certificate, inputs))
        if self.is_unable:
            raise Unable("the worker died")
        return answer_to(inputs)


@pytest.fixture
def world() -> Iterator[Attested]:
    """A deployed model that can be run."""
    world = proven()
    world.pallets.instant.deploy(Signed(ALICE), MODEL)
    for _ in range(INSTANT.lead_blocks):
        world.end_block()
    world.events()
    yield world
    world.check_state()


def proven(certificate: ExactnessCertificate = CERTIFICATE, size_bytes: int = SIZE) -> Attested:
    """A world with a model of which this is proven."""
    world = Attested()
    world.host = Host()
    job = world.register(size_bytes=size_bytes)
    world.attest(job, dict.fromkeys(EVERYBODY, encode_verdict(certificate)))
    world.events()
    return world


def refused(world: Attested, error: type[Exception], method: Callable[[], None]) -> None:
    """The refusal is `error`, and leaves no trace."""
    before = world.pallets.context.overlay.changes()
    with pytest.raises(error):
        method()
    assert world.pallets.context.overlay.changes() == before
    assert world.events() == []


def infer(world: Attested, data: bytes = INPUT, max_gas: int = GAS, max_price: Balance = PRICE) -> None:
    world.pallets.instant.infer_now(Signed(BOB), MODEL, data, max_gas, max_price)


def test_deploying_costs_a_price_and_pins_the_file() -> None:
    world = proven()
    had, collected = world.free(ALICE), world.free(TREASURY)
    world.pallets.instant.deploy(Signed(ALICE), MODEL)
    since = BlockNumber(world.height + INSTANT.lead_blocks)
    assert world.pallets.instant.deployed(MODEL) == Deployed(BLOB, SIZE, READY, since, VERDICT)
    assert (world.free(ALICE), world.free(TREASURY)) == (had - INSTANT.price, collected + INSTANT.price)
    assert world.events() == ["Transferred", "ModelDeployed"]
    assert pinned_models(world.pallets) == (PinnedModel(BLOB, SIZE, VERDICT),)
    refused(world, AlreadyDeployed, lambda: world.pallets.instant.deploy(Signed(ALICE), MODEL))
    world.check_state()


def test_a_model_runs_only_when_nodes_have_had_time_to_fetch_it() -> None:
    world = proven()
    refused(world, NotDeployed, lambda: infer(world))
    world.pallets.instant.deploy(Signed(ALICE), MODEL)
    world.events()
    for _ in range(INSTANT.lead_blocks):
        refused(world, NotDeployed, partial(infer, world))
        world.end_block()
        world.events()
    infer(world)


def test_the_answer_is_in_the_block_of_the_question(world: Attested) -> None:
    owned, had = world.free(ALICE), world.free(BOB)
    infer(world)
    assert world.events() == ["Transferred", "Answered"]
    [(id_, record)] = world.pallets.instant.records.items()
    assert record == InstantRecord(
        requester=BOB,
        model=MODEL,
        exact_hash=Hash(CERTIFICATE.model_hash),
        input_hash=blake2b_256(INPUT),
        output=answer_to(INPUT),
        classes=(1,),
        price=PRICE,
        height=BlockNumber(world.height),
    )
    assert world.pallets.instant.receipt(id_) == record
    assert (world.free(ALICE), world.free(BOB)) == (owned + PRICE, had - PRICE)
    assert isinstance(world.host, Host)
    assert world.host.asked == [(BLOB, VERDICT, INPUT)]


def test_a_machine_in_trouble_changes_nothing_and_judges_nothing(world: Attested) -> None:
    assert isinstance(world.host, Host)
    world.host.is_unable = True
    refused(world, Unable, lambda: infer(world))


def test_nothing_is_run_that_is_refused(world: Attested) -> None:
    instant = world.pallets.instant
    refused(world, TooMuchGas, lambda: infer(world, max_gas=GAS - 1))
    refused(world, PriceAboveMaximum, lambda: infer(world, max_price=Balance(PRICE - 1)))
    wrong: Sequence[bytes] = [b"x", INPUT[:-1], encode_inputs(CERTIFICATE, [features(101, 0, 0)])]
    for data in wrong:
        refused(world, BadInput, partial(infer, world, data))
    refused(
        world,
        InsufficientBalance,
        lambda: instant.infer_now(Signed(DAVE), MODEL, INPUT, GAS, PRICE),
    )
    nothing = Hash(bytes(32))
    refused(world, NotDeployed, lambda: instant.infer_now(Signed(BOB), nothing, INPUT, GAS, PRICE))
    world.pallets.models.suspend(Signed(ALICE), MODEL)
    world.events()
    refused(world, ModelNotUsable, lambda: infer(world))
    assert isinstance(world.host, Host)
    assert world.host.asked == []


def test_a_suspended_model_stays_pinned(world: Attested) -> None:
    world.pallets.models.suspend(Signed(ALICE), MODEL)
    assert pinned_models(world.pallets) == (PinnedModel(BLOB, SIZE, VERDICT),)


def test_a_model_of_which_something_else_is_proved_now_is_not_run(world: Attested) -> None:
    job = world.info().model.job
    world.pallets.disputes.challenge(Signed(BOB), job, Balance(100 * TOKEN))
    challenge = world.pallets.disputes.past.get(job).challenge
    assert challenge is not None
    other = encode_verdict(replace(CERTIFICATE, gas=GAS - 1))
    world.attest(challenge.rerun, dict.fromkeys(EVERYBODY, other))
    world.events()
    refused(world, NotDeployed, lambda: infer(world))
    assert pinned_models(world.pallets) == (PinnedModel(BLOB, SIZE, VERDICT),)


def taking(memory_bytes: int) -> ExactnessCertificate:
    """Of a model that takes so much memory."""
    return replace(CERTIFICATE, peak_bytes=CERTIFICATE.peak_bytes + memory_bytes - READY)


GAPPED = replace(CERTIFICATE, gap=Gap(Assumption(4), 7))
LONG = replace(CERTIFICATE, outputs=(replace(CERTIFICATE.outputs[0], shape=(1, 1024)),))
FULL = replace(CERTIFICATE.outputs[0], shape=(1, (RESULT_BYTES_MAX - 2 * TENSOR_FRAME_BYTES - 8) // 4))
"""As long as both outputs may be, with one class of eight bytes."""

BESIDE = replace(
    CERTIFICATE, outputs=(CERTIFICATE.outputs[0], replace(CERTIFICATE.outputs[1], shape=(1, 1024)))
)
"""What nobody attests is long: whoever executes the block would look at all of it, for nothing."""


@pytest.mark.parametrize(
    ("certificate", "size_bytes"),
    [
        (GAPPED, SIZE),
        (replace(CERTIFICATE, gas=CALL_GAS_MAX + 1), SIZE),
        (LONG, SIZE),
        (BESIDE, SIZE),
        (CERTIFICATE, MODEL_BYTES_MAX + 1),
        (taking(MODEL_READY_BYTES_MAX + 1), SIZE),
    ],
    ids=["assumption", "gas", "outputs", "outputs beside", "file", "memory"],
)
def test_what_is_not_for_blocks_is_not_deployed(certificate: ExactnessCertificate, size_bytes: int) -> None:
    world = proven(certificate, size_bytes)
    refused(world, NotForBlocks, lambda: world.pallets.instant.deploy(Signed(ALICE), MODEL))


def test_only_its_owner_deploys_a_proven_model() -> None:
    world = proven()
    deploy = world.pallets.instant.deploy
    refused(world, NotOwner, lambda: deploy(Signed(BOB), MODEL))
    refused(world, ModelNotUsable, lambda: deploy(Signed(ALICE), Hash(bytes(32))))
    world = Attested()
    world.attest(world.register(), dict.fromkeys(EVERYBODY, REFUSAL))
    world.events()
    refused(world, ModelNotUsable, lambda: world.pallets.instant.deploy(Signed(ALICE), MODEL))


@pytest.mark.parametrize(
    "limits", [{"models_max": 0}, {"bytes_max": SIZE - 1}, {"ready_bytes_max": READY - 1}]
)
def test_what_every_node_keeps_is_bounded(limits: dict[str, int]) -> None:
    world = proven()
    given = {"models_max": 9, "bytes_max": 10**6, "ready_bytes_max": 10**9, **limits}
    world.pallets.instant.config = Config(
        price=Balance(1), treasury=TREASURY, lead_blocks=1, records_max=1, **given
    )
    refused(world, TooManyDeployed, lambda: world.pallets.instant.deploy(Signed(ALICE), MODEL))


@pytest.mark.parametrize(
    ("bytes_max", "ready_bytes_max", "is_kept"),
    [(2 * SIZE, 2 * READY, True), (2 * SIZE - 1, 2 * READY, False), (2 * SIZE, 2 * READY - 1, False)],
)
def test_two_models_may_fill_what_every_node_keeps(
    bytes_max: int, ready_bytes_max: int, is_kept: bool
) -> None:
    world = proven()
    second = world.prove(BOB)
    instant = world.pallets.instant
    instant.config = Config(
        price=Balance(1),
        treasury=TREASURY,
        models_max=2,
        bytes_max=bytes_max,
        ready_bytes_max=ready_bytes_max,
        lead_blocks=1,
        records_max=1,
    )
    instant.deploy(Signed(ALICE), MODEL)
    world.events()
    if is_kept:
        instant.deploy(Signed(BOB), second)
        world.check_state()
    else:
        refused(world, TooManyDeployed, lambda: instant.deploy(Signed(BOB), second))


@pytest.mark.parametrize(
    ("certificate", "size_bytes"),
    [
        (replace(CERTIFICATE, gas=CALL_GAS_MAX), SIZE),
        (CERTIFICATE, MODEL_BYTES_MAX),
        (taking(MODEL_READY_BYTES_MAX), SIZE),
        (replace(CERTIFICATE, outputs=(FULL, CERTIFICATE.outputs[1])), SIZE),
    ],
)
def test_the_largest_model_is_deployed(certificate: ExactnessCertificate, size_bytes: int) -> None:
    world = proven(certificate, size_bytes)
    world.pallets.instant.deploy(Signed(ALICE), MODEL)
    assert world.pallets.instant.deployed(MODEL) is not None


def test_the_oldest_record_makes_room(world: Attested) -> None:
    ids = []
    for _ in range(3):
        world.pallets.instant.config = Config(
            price=Balance(1),
            treasury=TREASURY,
            models_max=9,
            bytes_max=10**6,
            ready_bytes_max=10**9,
            lead_blocks=1,
            records_max=2,
        )
        infer(world)
        ids.append(world.pallets.instant.sequence.get(world.pallets.instant.count.get() - 1))
    assert [world.pallets.instant.receipt(id_) is None for id_ in ids] == [True, False, False]


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_both_calls_are_for_accounts(world: Attested, origin: Origin) -> None:
    instant = world.pallets.instant
    refused(world, BadOrigin, lambda: instant.deploy(origin, MODEL))
    refused(world, BadOrigin, lambda: instant.infer_now(origin, MODEL, INPUT, GAS, PRICE))


def test_a_call_weighs_what_it_may_run_so_that_a_block_holds_few() -> None:
    declaration = next(each for each in Attested().pallets.instant.calls.values() if each.index == 1)
    light, heavy = (declaration.weigh((MODEL, INPUT, gas, PRICE)) for gas in (1, CALL_GAS_MAX))
    assert heavy.reference_time_ps - light.reference_time_ps == 54 * (CALL_GAS_MAX - 1)
