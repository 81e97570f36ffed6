"""Models: registration, what validators find, and what an owner may do."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from frame.error import DispatchError
from frame.jobs import Conduct
from frame.models import Offer
from frame.origin import BadOrigin, Nobody, Root, Signed
from inference.certificate import encode_verdict
from pallets.balances.pallet import InsufficientBalance
from pallets.jobs.pallet import REWARD
from pallets.models.pallet import (
    DEPOSIT,
    AlreadyRegistered,
    ModelState,
    NoSuchModel,
    NotInUse,
    NotOwner,
    StillNeeded,
    TooManyModels,
)
from primitives.job_message import result_digest
from primitives.types import Hash
from runtime.constants import MODELS
from tests.pallets.attested import (
    BLOB,
    CERTIFICATE,
    MODEL,
    PRICE,
    REFUSAL,
    SIZE,
    VERDICT,
    Attested,
    slot_fee,
)
from tests.pallets.world import ALICE, BOB, DAVE, START

EVERYBODY = range(4)


@pytest.fixture
def world() -> Iterator[Attested]:
    world = Attested()
    world.window_blocks = 30
    yield world
    world.check_state()


def refused(world: Attested, error: type[DispatchError], method: Callable[[], None]) -> None:
    """The refusal is `error`, and leaves no trace."""
    before = world.pallets.context.overlay.changes()
    world.events()
    with pytest.raises(error):
        method()
    assert world.pallets.context.overlay.changes() == before
    assert world.events() == []


def test_a_registered_model_is_a_draft_whose_proof_is_paid_for(world: Attested) -> None:
    cost = world.pallets.models.registration_cost(SIZE)
    job = world.register()
    model = world.info().model
    assert (model.owner, model.name, model.blob, model.size_bytes) == (ALICE, "diagnosis", BLOB, SIZE)
    assert (model.state, model.job, model.exact_hash, model.gas) == (ModelState.DRAFT, job, None, 0)
    balances = world.pallets.balances
    held = balances.held(DEPOSIT, ALICE) + balances.held(REWARD, ALICE)
    assert held + slot_fee(SIZE) == cost == START - world.free(ALICE)
    assert world.pallets.models.offer(MODEL) is None


def test_a_quorum_for_a_certificate_makes_a_model_usable(world: Attested) -> None:
    job = world.register()
    world.attest(job, dict.fromkeys(range(3), VERDICT))
    model = world.info().model
    assert (model.state, model.exact_hash, model.gas) == (
        ModelState.PROVEN,
        CERTIFICATE.model_hash,
        CERTIFICATE.gas,
    )
    proof = world.pallets.models.proof(MODEL)
    assert proof is not None
    assert (proof.verdict, proof.digest) == (VERDICT, result_digest(VERDICT))
    assert [seat.conduct for seat in proof.attestations] == [Conduct.AGREED] * 3 + [Conduct.SILENT]
    assert world.pallets.models.offer(MODEL) == Offer(owner=ALICE, price=PRICE, blob=BLOB, size_bytes=SIZE)
    assert world.pallets.models.certificate(MODEL) == VERDICT


def test_a_quorum_for_a_refusal_refuses_the_model_with_its_reason(world: Attested) -> None:
    world.attest(world.register(), dict.fromkeys(EVERYBODY, REFUSAL))
    assert world.info().model.state is ModelState.REFUSED
    assert world.info().refusal == "node 3: it may overflow"
    assert world.pallets.models.offer(MODEL) is None


_UNKNOWN_TYPE = replace(CERTIFICATE, inputs=(replace(CERTIFICATE.inputs[0], dtype="string"),))
_NO_INTEGERS = replace(
    CERTIFICATE, outputs=(*CERTIFICATE.outputs[:-1], replace(CERTIFICATE.outputs[-1], dtype="float32"))
)


@pytest.mark.parametrize(
    "verdict",
    [
        b"",
        b"not a verdict",
        encode_verdict(replace(CERTIFICATE, attested=(2,))),
        encode_verdict(_UNKNOWN_TYPE),
        encode_verdict(_NO_INTEGERS),
    ],
)
def test_a_quorum_for_nonsense_leaves_the_model_unproven(world: Attested, verdict: bytes) -> None:
    world.attest(world.register(), dict.fromkeys(EVERYBODY, verdict))
    assert world.info().model.state is ModelState.UNPROVEN
    assert world.pallets.models.proof(MODEL) is None


def test_who_registers_a_file_that_nobody_gets_pays_for_the_proof(world: Attested) -> None:
    job = world.register()
    reward, had = world.pallets.balances.held(REWARD, ALICE), world.free(ALICE)
    world.cannot_open(job, 0, 1)
    world.abstain(job, 2, 3)
    world.finalize()
    assert world.info().model.state is ModelState.UNPROVEN
    assert reward > 0
    assert world.free(ALICE) == had


def test_disagreement_leaves_the_model_unproven(world: Attested) -> None:
    world.attest(world.register(), {0: VERDICT, 1: VERDICT, 2: REFUSAL, 3: REFUSAL})
    assert world.info().model.state is ModelState.UNPROVEN


def test_a_model_that_never_came_into_use_can_be_removed_and_registered_again(world: Attested) -> None:
    for verdict in (b"", REFUSAL):
        world.attest(world.register(), dict.fromkeys(EVERYBODY, verdict))
        with pytest.raises(StillNeeded):
            world.pallets.models.remove(Signed(ALICE), MODEL)
        world.settle()
        world.pallets.models.remove(Signed(ALICE), MODEL)
        assert world.pallets.models.get(MODEL) is None
        assert world.pallets.models.proof(MODEL) is None
        assert world.pallets.balances.held(DEPOSIT, ALICE) == 0
    world.register()


def test_a_suspended_model_is_not_on_offer(world: Attested) -> None:
    world.prove()
    world.pallets.models.suspend(Signed(ALICE), MODEL)
    assert world.info().model.state is ModelState.SUSPENDED
    assert world.pallets.models.offer(MODEL) is None
    assert world.pallets.models.certificate(MODEL) == VERDICT
    refused(world, NotInUse, lambda: world.pallets.models.suspend(Signed(ALICE), MODEL))


def test_a_model_that_was_in_use_is_never_removed(world: Attested) -> None:
    world.prove()
    world.settle()
    models = world.pallets.models
    refused(world, StillNeeded, lambda: models.remove(Signed(ALICE), MODEL))
    models.suspend(Signed(ALICE), MODEL)
    refused(world, StillNeeded, lambda: models.remove(Signed(ALICE), MODEL))


def test_two_owners_may_register_the_same_file_and_one_owner_may_not(world: Attested) -> None:
    world.register(ALICE)
    world.register(BOB)
    models = world.pallets.models
    refused(world, AlreadyRegistered, lambda: models.register(Signed(ALICE), BLOB, SIZE, "again", PRICE))


def test_models_are_bounded(world: Attested) -> None:
    world.register(ALICE)
    models = world.pallets.models
    models.config = type(MODELS)(deposit=MODELS.deposit, models_max=1)
    refused(world, TooManyModels, lambda: models.register(Signed(BOB), BLOB, SIZE, "one more", PRICE))


def test_who_cannot_pay_registers_nothing(world: Attested) -> None:
    models = world.pallets.models
    refused(
        world, InsufficientBalance, lambda: models.register(Signed(DAVE), BLOB, SIZE, "for nothing", PRICE)
    )


def test_only_an_owner_changes_a_model_and_only_in_its_time(world: Attested) -> None:
    world.register()
    models = world.pallets.models
    nothing = Hash(bytes(32))
    for change in (models.suspend, models.remove):
        refused(world, NoSuchModel, partial(change, Signed(ALICE), nothing))
        refused(world, NotOwner, partial(change, Signed(BOB), MODEL))
    refused(world, NotInUse, lambda: models.suspend(Signed(ALICE), MODEL))
    refused(world, StillNeeded, lambda: models.remove(Signed(ALICE), MODEL))


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_every_call_is_for_accounts(world: Attested, origin: Root | Nobody) -> None:
    models = world.pallets.models
    refused(world, BadOrigin, lambda: models.register(origin, BLOB, SIZE, "x", PRICE))
    refused(world, BadOrigin, lambda: models.suspend(origin, MODEL))
    refused(world, BadOrigin, lambda: models.remove(origin, MODEL))


def test_models_are_listed_in_pages(world: Attested) -> None:
    for owner in (ALICE, BOB):
        world.register(owner)
    models = world.pallets.models
    everything = models.page(None, 100)
    assert len(everything) == 2
    first = models.page(None, 1)
    assert first + models.page(first[0].id, 100) == everything
    assert models.page(everything[-1].id, 100) == ()
