"""Models: what was registered, and what validators proved of it.

Nobody believes a certificate that is submitted: registering a file opens a job in which every validator
proves it, and the model is usable only if more than two thirds of the stake found the same certificate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import dropwhile, islice
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import DispatchError, ensure
from frame.event import Event
from frame.jobs import Attestations, Closed, JobKind, Jobs, Order
from frame.models import Offer
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from inference.certificate import ExactnessCertificate, Verdict, decode_verdict, proof_gas
from inference.graph import MODEL_BYTES_MAX
from inference.refusal import Refusal
from inference.tensor import INTEGER_RANGES
from pallets.models import weights
from primitives.codec import CodecError, Record
from primitives.hashing import blake2b_256, domain
from primitives.job_message import Result
from primitives.types import U32, U63, AccountId, Balance, BlockNumber, Hash

DEPOSIT: Final = "models.deposit"
PAGE_MAX: Final = 100

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Size = Annotated[int, msgspec.Meta(ge=1, le=MODEL_BYTES_MAX)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    deposit: Balance
    """Held while a model is registered: its record, certificate and attestations stay in the state."""

    models_max: U32
    """Most models: a list is read from its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    jobs: Jobs


class ModelState(IntEnum):
    """How far a model has come. Only a proven one can be used."""

    DRAFT = 0
    """Validators are proving it."""

    PROVEN = 1
    REFUSED = 2
    """A quorum found that it cannot be proved, for the same reason."""

    UNPROVEN = 3
    """Its job ended without a quorum, for example because the file could not be fetched."""

    SUSPENDED = 4
    """It is out of use: its owner took it out, or validators do not agree on what it computes."""


class Model(Record, frozen=True):
    """A registered model."""

    owner: AccountId
    name: Name
    """As the owner calls it; not unique."""

    blob: Hash
    """Content hash of the file, under which it is fetched."""

    size_bytes: Size
    """Of the file."""

    price: Balance
    """What the owner gets for each inference."""

    deposit: Balance
    """Held from the owner."""

    state: ModelState
    registered: BlockNumber
    job: Hash
    """The job that proves it."""

    exact_hash: Hash | None
    """BLAKE2b-256 of the canonical model, once it is proven."""

    gas: U63
    """Of one run; 0 until it is proven."""


class Proof(Record, frozen=True):
    """What a quorum of the stake said of a model."""

    verdict: Result
    """Canonical exactness certificate or refusal: `inference.certificate.decode_verdict`."""

    digest: Hash
    """What the attestations are for: `primitives.job_message.result_digest` of the verdict."""

    attestations: Attestations
    opened: BlockNumber
    closed: BlockNumber


class ModelInfo(Record, frozen=True):
    """A model and its identity."""

    id: Hash
    model: Model
    refusal: Annotated[str, msgspec.Meta(max_length=600)] | None
    """Why it was refused."""


class Registered(Event, frozen=True):
    """A model is to be proved."""

    model: Hash
    owner: AccountId
    job: Hash


class Proven(Event, frozen=True):
    """A model can be used from now on."""

    model: Hash
    exact_hash: Hash
    gas: U63


class ModelRefused(Event, frozen=True):
    """Validators agree that a model cannot be proved; `models.get` says why."""

    model: Hash
    digest: Hash


class ProofFailed(Event, frozen=True):
    """Validators did not agree about a model."""

    model: Hash


class Suspended(Event, frozen=True):
    """A model is out of use."""

    model: Hash


class Removed(Event, frozen=True):
    """An owner removed a model that never came into use."""

    model: Hash


class AlreadyRegistered(DispatchError):
    """The account has registered this file."""


class TooManyModels(DispatchError):
    """As many models are registered as may be."""


class NoSuchModel(DispatchError):
    """No model has this identity."""


class NotOwner(DispatchError):
    """The model belongs to somebody else."""


class NotInUse(DispatchError):
    """Only a proven model can be suspended."""


class StillNeeded(DispatchError):
    """Only a model that was refused, or left unproven, can be removed, once that cannot change any more."""


class Models(Pallet):
    """Implements frame.models.Models and frame.jobs.JobOwner."""

    NAME = "models"
    EVENTS = (Registered, Proven, ModelRefused, ProofFailed, Suspended, Removed)
    ERRORS = (AlreadyRegistered, TooManyModels, NoSuchModel, NotOwner, NotInUse, StillNeeded)

    count = StorageValue[int](U32, default=0)
    models = StorageMap[Hash, Model](Hash, Model)
    proofs = StorageMap[Hash, Proof](Hash, Proof)
    """Of models with a verdict."""

    proving = StorageMap[Hash, Hash](Hash, Hash)
    """Job to the model that it proves, until that is settled."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`needs.jobs` tells this pallet of the end of its jobs."""
        super().__init__(context)
        self.config = config
        self._needs = needs

    @call(index=0, weight=weights.REGISTER)
    def register(self, origin: Origin, blob: Hash, size_bytes: Size, name: Name, price: Balance) -> None:
        """Register a model file and have every validator prove it. Origin: Signed.

        If a third of the stake or more cannot fetch the file, nothing but the deposit is refunded.

        `blob`: content hash of the file, which some node must be able to give.
        `size_bytes`: length of the file; the price of the proof depends on it.
        `name`: what to call it.
        `price`: what to pay the owner for each inference.
        """
        owner = ensure_signed(origin)
        id_ = model_id(owner, blob)
        ensure(self.models.find(id_) is None, AlreadyRegistered)
        ensure(self.count.get() < self.config.models_max, TooManyModels)
        self._needs.currency.hold(DEPOSIT, owner, self.config.deposit)
        order = Order(
            kind=JobKind.PROVE,
            inputs=(blob,),
            gas=proof_gas(size_bytes),
            payer=owner,
            input_bytes=size_bytes,
            is_input_given=True,
        )
        job = self._needs.jobs.open(order)
        model = Model(
            owner=owner,
            name=name,
            blob=blob,
            size_bytes=size_bytes,
            price=price,
            deposit=self.config.deposit,
            state=ModelState.DRAFT,
            registered=self.context.block.height,
            job=job,
            exact_hash=None,
            gas=0,
        )
        self.models.put(id_, model)
        self.proving.put(job, id_)
        self.count.put(self.count.get() + 1)
        self.deposit(Registered(id_, owner, job))

    @call(index=1, weight=weights.UPDATE)
    def suspend(self, origin: Origin, model: Hash) -> None:
        """Take a proven model out of use; requests that are under way are answered. Origin: Signed.

        `model`: its identity.
        """
        found = self._owned(origin, model)
        ensure(found.state is ModelState.PROVEN, NotInUse)
        self._suspend(model)

    @call(index=2, weight=weights.UPDATE)
    def remove(self, origin: Origin, model: Hash) -> None:
        """Remove a refused or unproven model, and get the deposit back. Origin: Signed.

        `model`: its identity.
        """
        found = self._owned(origin, model)
        ensure(found.state in (ModelState.REFUSED, ModelState.UNPROVEN), StillNeeded)
        ensure(self.proving.find(found.job) is None, StillNeeded)
        self._needs.currency.release(DEPOSIT, found.owner, found.deposit)
        self.models.remove(model)
        self.proofs.remove(model)
        self.count.put(self.count.get() - 1)
        self.deposit(Removed(model))

    @view
    def get(self, model: Hash) -> ModelInfo | None:
        """A model.

        `model`: its identity.
        """
        found = self.models.find(model)
        return None if found is None else self._info(model, found)

    @view
    def page(self, after: Hash | None, limit: PageSize) -> tuple[ModelInfo, ...]:
        """Models in the order of their identities.

        `after`: the last one of the page before; nothing for the first page.
        `limit`: how many.
        """
        models: Iterator[tuple[Hash, Model]] = self.models.items()
        if after is not None:
            models = dropwhile(lambda entry: entry[0] <= after, models)
        return tuple(self._info(id_, model) for id_, model in islice(models, limit))

    @view
    def proof(self, model: Hash) -> Proof | None:
        """What validators said of a model, and who said it.

        `model`: its identity.
        """
        return self.proofs.find(model)

    @view
    def registration_cost(self, size_bytes: Size) -> Balance:
        """The deposit, the reward of the proof, and the place of its job.

        `size_bytes`: length of the file.
        """
        jobs = self._needs.jobs
        reward, slot_fee = jobs.quote(proof_gas(size_bytes)), jobs.slot_fee(size_bytes)
        return Balance(self.config.deposit + reward + slot_fee)

    def offer(self, model: Hash) -> Offer | None:
        """As in frame.models.Models."""
        found = self.models.find(model)
        if found is None or found.state is not ModelState.PROVEN:
            return None
        return Offer(owner=found.owner, price=found.price, blob=found.blob, size_bytes=found.size_bytes)

    def certificate(self, model: Hash) -> bytes:
        """As in frame.models.Models."""
        return self.proofs.get(model).verdict

    def on_job_closed(self, closed: Closed) -> None:
        """As in OnJobClosed."""
        id_ = self.proving.get(closed.job)
        model = self.models.get(id_)
        verdict = None if closed.result is None else _verdict(closed.result)
        if closed.result is None or closed.digest is None or verdict is None:
            self.models.put(id_, replace(model, state=ModelState.UNPROVEN))
            self.deposit(ProofFailed(id_))
            return
        proof = Proof(closed.result, closed.digest, closed.attestations, closed.opened, closed.closed)
        self.proofs.put(id_, proof)
        if isinstance(verdict, ExactnessCertificate):
            exact_hash = Hash(verdict.model_hash)
            proven = replace(model, state=ModelState.PROVEN, exact_hash=exact_hash, gas=verdict.gas)
            self.models.put(id_, proven)
            self.deposit(Proven(id_, exact_hash, verdict.gas))
        else:
            self.models.put(id_, replace(model, state=ModelState.REFUSED))
            self.deposit(ModelRefused(id_, closed.digest))

    def on_job_overturned(self, closed: Closed) -> None:
        """As in JobOwner: what all validators found now is what holds. Who was out of use stays so."""
        id_ = self.proving.get(closed.job)
        old = self.models.get(id_)
        self.proofs.remove(id_)
        self.models.put(id_, replace(old, exact_hash=None, gas=0))
        self.on_job_closed(closed)
        if old.state is ModelState.SUSPENDED:
            self._suspend(id_)

    def on_job_disputed(self, job: Hash) -> None:
        """As in JobOwner."""
        self.suspend_disputed(self.proving.get(job))

    def on_job_settled(self, job: Hash) -> None:
        """As in JobOwner."""
        self.proving.remove(job)

    def suspend_disputed(self, model: Hash) -> None:
        """As in frame.models.Models."""
        self._suspend(model)

    def check_state(self) -> None:
        """Drafts and open jobs belong together, as do verdicts and proofs; deposits are held."""
        models, proofs = dict(self.models.items()), dict(self.proofs.items())
        assert len(models) == self.count.get() <= self.config.models_max
        drafts = {model.job: id_ for id_, model in models.items() if model.state is ModelState.DRAFT}
        proving = dict(self.proving.items())
        assert {job: id_ for job, id_ in proving.items() if self._needs.jobs.is_open(job)} == drafts
        assert all(models[id_].job == job for job, id_ in proving.items())
        for id_, model in models.items():
            assert id_ == model_id(model.owner, model.blob)
            is_judged = model.state not in (ModelState.DRAFT, ModelState.UNPROVEN)
            assert (id_ in proofs) == is_judged
            verdict = _verdict(proofs[id_].verdict) if is_judged else None
            is_exact = isinstance(verdict, ExactnessCertificate)
            assert is_exact == (model.state in (ModelState.PROVEN, ModelState.SUSPENDED))
            assert (model.exact_hash is not None) == is_exact
        assert all(id_ in models for id_ in proofs)
        for owner in sorted({model.owner for model in models.values()}):
            deposits = sum(model.deposit for model in models.values() if model.owner == owner)
            assert self._needs.currency.held(DEPOSIT, owner) == deposits

    def _suspend(self, id_: Hash) -> None:
        """Take a model out of use, if it is there and in use."""
        found = self.models.find(id_)
        if found is not None and found.state is ModelState.PROVEN:
            self.models.put(id_, replace(found, state=ModelState.SUSPENDED))
            self.deposit(Suspended(id_))

    def _owned(self, origin: Origin, id_: Hash) -> Model:
        who = ensure_signed(origin)
        model = self.models.find(id_)
        if model is None:
            raise NoSuchModel
        ensure(model.owner == who, NotOwner)
        return model

    def _info(self, id_: Hash, model: Model) -> ModelInfo:
        refusal = _verdict(self.proofs.get(id_).verdict) if model.state is ModelState.REFUSED else None
        said = f"{refusal.node}: {refusal.reason}" if isinstance(refusal, Refusal) else None
        return ModelInfo(id_, model, said)


def model_id(owner: AccountId, blob: Hash) -> Hash:
    """Identity of a model: nobody can take it by registering the same file first."""
    return blake2b_256(_DOMAIN + owner + blob)


def _verdict(result: bytes) -> Verdict | None:
    """What a quorum says, or None if it is nothing that a prover could say."""
    try:
        verdict = decode_verdict(result)
    except CodecError:
        return None
    if isinstance(verdict, ExactnessCertificate):
        ports = (*verdict.inputs, *verdict.outputs)
        is_integer = all(port.dtype in INTEGER_RANGES for port in ports)
        return verdict if is_integer and max(verdict.attested) < len(verdict.outputs) else None
    return verdict


_DOMAIN: Final = domain("model/1")
