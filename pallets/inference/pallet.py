"""Inference: requests to run a model, and the record of what validators attested.

The record of a request is the entry of `records` under the request's identity, which is that of its job: the
storage key `Inference.records.key_of(job)`, so that a light client can prove it. Inputs are public.
"""

from dataclasses import dataclass
from math import prod
from typing import Annotated, Final

import msgspec

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import DispatchError, ensure
from frame.event import Event
from frame.jobs import Attestations, Closed, Conduct, JobKind, Jobs, Order
from frame.models import Models
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from frame.weight import Weight
from inference.certificate import ExactnessCertificate, decode_inputs, decode_outputs, decode_verdict
from inference.encoding import greatest
from inference.graph import PORTS_MAX
from inference.tensor import ITEM_BYTES, TensorError, integers
from pallets.inference import weights
from primitives.codec import CodecError, Record
from primitives.hashing import blake2b_256
from primitives.job_message import RESULT_BYTES_MAX, Result
from primitives.types import U32, U63, U63_MAX, AccountId, Balance, BlockNumber, Hash, Stake

PRICE: Final = "inference.price"
INPUT_BYTES_MAX: Final = 4096
"""Longest input: it lives in the state until the request is answered."""

TENSOR_FRAME_BYTES: Final = 64
"""More than type, shape and lengths of one tensor take beside its elements."""

Input = Annotated[bytes, msgspec.Meta(min_length=1, max_length=INPUT_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    records_max: U32
    """Most records; the oldest makes room for a new one, and stays provable in older states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    jobs: Jobs
    models: Models


class Request(Record, frozen=True):
    """A request that is not answered yet."""

    requester: AccountId
    model: Hash
    owner: AccountId
    """Of the model, who gets the price."""

    price: Balance
    """Held from the requester, besides the reward of the job."""

    input: Input
    """Canonical tensors: `inference.certificate.encode_inputs`."""


class InferenceRecord(Record, frozen=True):
    """A request at its end."""

    requester: AccountId
    model: Hash
    exact_hash: Hash
    """BLAKE2b-256 of the canonical model."""

    input_hash: Hash
    """BLAKE2b-256 of the canonical input."""

    output: Result | None
    """The attested tensors, `inference.certificate.decode_outputs`; None if there was no quorum."""

    digest: Hash | None
    """What the attestations are for: `primitives.job_message.result_digest` of the output."""

    classes: Annotated[tuple[U32, ...], msgspec.Meta(max_length=PORTS_MAX)]
    """For each attested tensor the index of its greatest element, the lowest of equals."""

    attestations: Attestations
    agreed_stake: Stake
    panel_stake: Stake
    fee: Balance
    """What the requester paid, apart from the extrinsic."""

    opened: BlockNumber
    closed: BlockNumber


class Quote(Record, frozen=True):
    """What a request costs, apart from the extrinsic."""

    gas: U63
    reward: Balance
    """For validators and treasury."""

    price: Balance
    """For the owner of the model."""

    total: Balance


class Requested(Event, frozen=True):
    """A model is to be run."""

    job: Hash
    """Identity of the request and of its record."""

    model: Hash
    requester: AccountId
    fee: Balance


class Answered(Event, frozen=True):
    """A record is final with its block."""

    job: Hash
    model: Hash
    requester: AccountId
    digest: Hash | None
    """None if there was no quorum."""


class ModelNotUsable(DispatchError):
    """The model does not exist, is not proven, or is suspended."""


class BadInput(DispatchError):
    """The bytes are not the canonical tensors of the types and shapes that the model takes."""


class InputOutOfRange(DispatchError):
    """An integer lies outside the range that the model tells apart."""


class OutputTooLong(DispatchError):
    """The outputs of the model do not fit into the state."""


class FeeAboveMaximum(DispatchError):
    """The request costs more than the requester wants to pay."""


def _request_weight(model: Hash, input: Input, max_fee: Balance) -> Weight:
    return weights.REQUEST + weights.INPUT_BYTE.times(len(input))


class Inference(Pallet):
    """Implements frame.jobs.OnJobClosed."""

    NAME = "inference"
    EVENTS = (Requested, Answered)
    ERRORS = (ModelNotUsable, BadInput, InputOutOfRange, OutputTooLong, FeeAboveMaximum)

    requests = StorageMap[Hash, Request](Hash, Request)
    """By open job."""

    records = StorageMap[Hash, InferenceRecord](Hash, InferenceRecord)
    """By job."""

    count = StorageValue[int](U63, default=0)
    """Records ever made."""

    sequence = StorageMap[int, Hash](U63, Hash)
    """Jobs of the records, in the order in which they were made, counted from 0."""

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`needs.jobs` tells this pallet of the end of its jobs."""
        super().__init__(context)
        self.config = config
        self._needs = needs

    @call(index=0, weight=_request_weight)
    def request(self, origin: Origin, model: Hash, input: Input, max_fee: Balance) -> None:
        """Have every validator run a model, and attest what comes out. Origin: Signed.

        `model`: identity of a proven model.
        `input`: its inputs as canonical tensors; everybody can read them.
        `max_fee`: most to pay, apart from the extrinsic.
        """
        requester = ensure_signed(origin)
        offer = self._needs.models.offer(model)
        if offer is None:
            raise ModelNotUsable
        certificate = self._certificate(model)
        _ensure_input(certificate, input)
        ensure(_output_bytes_max(certificate) <= RESULT_BYTES_MAX, OutputTooLong)
        fee = self._needs.jobs.quote(certificate.gas) + offer.price
        ensure(fee <= max_fee, FeeAboveMaximum)
        self._needs.currency.hold(PRICE, requester, offer.price)
        inputs = (offer.blob, blake2b_256(input))
        order = Order(kind=JobKind.INFER, inputs=inputs, gas=certificate.gas, payer=requester)
        job = self._needs.jobs.open(order)
        self.requests.put(job, Request(requester, model, offer.owner, offer.price, input))
        self.deposit(Requested(job, model, requester, Balance(fee)))

    @view
    def quote(self, model: Hash) -> Quote | None:
        """What a request costs, or nothing if the model cannot be used.

        `model`: its identity.
        """
        offer = self._needs.models.offer(model)
        if offer is None:
            return None
        gas = self._certificate(model).gas
        reward = self._needs.jobs.quote(gas)
        total = min(reward + offer.price, U63_MAX)  # beyond that, nobody has as much
        return Quote(gas, reward, offer.price, Balance(total))

    @view
    def pending(self, job: Hash) -> Request | None:
        """A request that is not answered yet.

        `job`: its identity.
        """
        return self.requests.find(job)

    @view
    def receipt(self, job: Hash) -> InferenceRecord | None:
        """The record of a request.

        `job`: its identity.
        """
        return self.records.find(job)

    def on_job_closed(self, closed: Closed) -> None:
        """As in OnJobClosed."""
        request = self.requests.get(closed.job)
        self.requests.remove(closed.job)
        if closed.result is None:
            self._needs.currency.release(PRICE, request.requester, request.price)
        else:
            self._needs.currency.move_held(PRICE, request.requester, request.owner, request.price)
        self._keep(closed.job, self._record(request, closed))
        self.deposit(Answered(closed.job, request.model, request.requester, closed.digest))

    def check_state(self) -> None:
        """Requests and open jobs belong together; prices are held; the newest records are kept, in order."""
        requests = dict(self.requests.items())
        assert all(self._needs.jobs.is_open(job) for job in requests)
        for payer in sorted({request.requester for request in requests.values()}):
            prices = sum(request.price for request in requests.values() if request.requester == payer)
            assert self._needs.currency.held(PRICE, payer) == prices
        count, sequence = self.count.get(), dict(self.sequence.items())
        assert sorted(sequence) == list(range(max(0, count - self.config.records_max), count))
        assert sorted(sequence.values()) == [job for job, _ in self.records.items()]
        for job, record in self.records.items():
            assert job not in requests
            agreed = [seat for seat in record.attestations if seat.conduct is Conduct.AGREED]
            assert record.agreed_stake == sum(seat.stake for seat in agreed)
            assert (record.output is None) == (3 * record.agreed_stake <= 2 * record.panel_stake)

    def _record(self, request: Request, closed: Closed) -> InferenceRecord:
        certificate = self._certificate(request.model)
        agreed = [seat for seat in closed.attestations if seat.conduct is Conduct.AGREED]
        return InferenceRecord(
            requester=request.requester,
            model=request.model,
            exact_hash=Hash(certificate.model_hash),
            input_hash=blake2b_256(request.input),
            output=closed.result,
            digest=closed.digest,
            classes=() if closed.result is None else _classes(certificate, closed.result),
            attestations=closed.attestations,
            agreed_stake=Stake(sum(seat.stake for seat in agreed)),
            panel_stake=Stake(sum(seat.stake for seat in closed.attestations)),
            fee=Balance(closed.reward + (0 if closed.result is None else request.price)),
            opened=closed.opened,
            closed=closed.closed,
        )

    def _certificate(self, model: Hash) -> ExactnessCertificate:
        certificate = decode_verdict(self._needs.models.certificate(model))
        assert isinstance(certificate, ExactnessCertificate)
        return certificate

    def _keep(self, job: Hash, record: InferenceRecord) -> None:
        """Store a record, in the place of the oldest if there is no room."""
        count = self.count.get()
        self.records.put(job, record)
        self.sequence.put(count, job)
        self.count.put(count + 1)
        oldest = count - self.config.records_max
        if oldest >= 0:
            self.records.remove(self.sequence.get(oldest))
            self.sequence.remove(oldest)


def _ensure_input(certificate: ExactnessCertificate, data: bytes) -> None:
    """Raises BadInput or InputOutOfRange."""
    try:
        tensors = [integers(tensor) for tensor in decode_inputs(certificate, data)]
    except (CodecError, TensorError):
        raise BadInput from None
    for port, values in zip(certificate.inputs, tensors, strict=True):
        ensure(all(port.low <= value <= port.high for value in values), InputOutOfRange)


def _output_bytes_max(certificate: ExactnessCertificate) -> int:
    """More than the attested outputs take, encoded."""
    ports = [certificate.outputs[index] for index in certificate.attested]
    return sum(prod(port.shape) * ITEM_BYTES[port.dtype] + TENSOR_FRAME_BYTES for port in ports)


def _classes(certificate: ExactnessCertificate, output: bytes) -> tuple[int, ...]:
    """Of each attested tensor; none if the quorum attested something that is no output of the model."""
    try:
        return tuple(greatest(tensor) for tensor in decode_outputs(certificate, output))
    except (CodecError, TensorError):
        return ()
