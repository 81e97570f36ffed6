"""Inference: requests to run a model, and the record of what validators attested.

The record of a request is the entry of `records` under the request's identity, which is that of its job: the
storage key `Inference.records.key_of(job)`, so that a light client can prove it.

An input comes with its request, or as a blob that the request names, and then everybody can read it; or as a
blob that is sealed to the validators of the moment: private means that every member of the panel can read it,
and nobody else. An output longer than the state keeps is a blob too, which those who revealed it give.
"""

from dataclasses import dataclass
from math import prod
from typing import Final

from msgspec.structs import replace

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import ensure
from frame.jobs import Closed, Conduct, JobKind, Jobs, Order
from frame.models import Models, Offer
from frame.newest import Newest
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.sealing import SealingKeys
from frame.storage import StorageMap, StorageValue
from frame.weight import Weight
from inference.certificate import (
    GAS_PER_BYTE,
    ExactnessCertificate,
    decode_certificate,
    decode_inputs,
    decode_outputs,
    in_range,
)
from inference.encoding import greatest
from inference.tensor import ITEM_BYTES, TensorError
from pallets.inference import weights
from pallets.inference.types import (
    Answered,
    BadInput,
    FeeAboveMaximum,
    InferenceRecord,
    Input,
    InputForm,
    InputOutOfRange,
    ModelNotUsable,
    NotSealedForPanel,
    OutputTooLong,
    Quote,
    Request,
    Requested,
    RequestInput,
    StoredBytes,
    TooFewReaders,
)
from primitives.codec import CodecError
from primitives.hashing import blake2b_256
from primitives.job_message import OUTPUT_BYTES_MAX, RESULT_BYTES_MAX
from primitives.sealing import panel_digest
from primitives.types import U32, U63, U63_MAX, AccountId, Balance, Hash, Stake

PRICE: Final = "inference.price"

TENSOR_FRAME_BYTES: Final = 96
"""More than type, shape and lengths of one tensor, and sealing, take beside its elements."""


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
    sealing: SealingKeys


def _request_weight(model: Hash, input: Input, max_fee: Balance) -> Weight:
    return weights.REQUEST + weights.INPUT_BYTE.times(len(input))


class Inference(Pallet):
    """Implements frame.jobs.JobOwner."""

    NAME = "inference"
    EVENTS = (Requested, Answered)
    ERRORS = (
        ModelNotUsable,
        BadInput,
        InputOutOfRange,
        OutputTooLong,
        FeeAboveMaximum,
        NotSealedForPanel,
        TooFewReaders,
    )

    requests = StorageMap[Hash, Request](Hash, Request)
    """By job, until that is settled: a result that is challenged is computed again."""

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
        offer, certificate = self._usable(model)
        _ensure_input(certificate, input)
        given = RequestInput(
            InputForm.INLINE, blake2b_256(input), input, None, 0, None, is_output_sealed=False
        )
        self._open(requester, model, offer, given, max_fee)

    @call(index=1, weight=weights.REQUEST)
    def request_stored(
        self, origin: Origin, model: Hash, blob: Hash, size_bytes: StoredBytes, max_fee: Balance
    ) -> None:
        """Have every validator run a model on an input that is too long for the state. Origin: Signed.

        If a third of the stake or more cannot fetch the blob, or finds no input of the model in it, nothing
        is refunded but the price of the model.

        `model`: identity of a proven model.
        `blob`: content hash of its inputs as canonical tensors, which some node must be able to give;
        everybody can read them.
        `size_bytes`: length of the blob.
        `max_fee`: most to pay, apart from the extrinsic.
        """
        requester = ensure_signed(origin)
        offer, _ = self._usable(model)
        given = RequestInput(InputForm.STORED, blob, None, blob, size_bytes, None, is_output_sealed=False)
        self._open(requester, model, offer, given, max_fee)

    @call(index=2, weight=weights.REQUEST_PRIVATE)
    def request_private(
        self,
        origin: Origin,
        model: Hash,
        commitment: Hash,
        blob: Hash,
        size_bytes: StoredBytes,
        panel: Hash,
        is_output_sealed: bool,
        max_fee: Balance,
    ) -> None:
        """Have every validator run a model on an input that nobody else can read. Origin: Signed.

        Private means readable by every validator of the running epoch that has a sealing key, for ever. If
        a third of the stake or more cannot open what is sealed, or finds something else in it, nothing is
        refunded but the price of the model.

        `model`: identity of a proven model.
        `commitment`: `primitives.sealing.input_commitment` of purpose, salt and input.
        `blob`: content hash of the sealed input, which some node must be able to give.
        `size_bytes`: length of the blob.
        `panel`: `primitives.sealing.panel_digest` of the keys that it is sealed to; refused if they changed.
        `is_output_sealed`: whether the answer is for the requester alone, or public.
        `max_fee`: most to pay, apart from the extrinsic.
        """
        requester = ensure_signed(origin)
        offer, _ = self._usable(model)
        readers = self._needs.sealing.readers()
        ensure(panel == panel_digest([reader.key for reader in readers]), NotSealedForPanel)
        able = sum(reader.stake for reader in readers if reader.key is not None)
        ensure(3 * able > 2 * sum(reader.stake for reader in readers), TooFewReaders)
        given = RequestInput(
            InputForm.SEALED, commitment, None, blob, size_bytes, panel, is_output_sealed=is_output_sealed
        )
        self._open(requester, model, offer, given, max_fee)

    @view
    def quote(self, model: Hash, input_bytes: StoredBytes, is_stored: bool) -> Quote | None:
        """What a request costs, or nothing if the model cannot be used.

        `model`: its identity.
        `input_bytes`: length of the input, or of the blob that holds it.
        `is_stored`: whether it comes as a blob, and not with the request.
        """
        offer = self._needs.models.offer(model)
        if offer is None:
            return None
        gas = _gas(self._certificate(model), input_bytes if is_stored else 0)
        reward, slot_fee = self._needs.jobs.quote(gas), self._needs.jobs.slot_fee(input_bytes)
        total = min(slot_fee + reward + offer.price, U63_MAX)  # beyond that, nobody has as much
        return Quote(gas, slot_fee, reward, offer.price, Balance(total))

    @view
    def pending(self, job: Hash) -> Request | None:
        """A request that is not answered yet.

        `job`: its identity.
        """
        return self.requests.find(job) if self._needs.jobs.is_open(job) else None

    @view
    def receipt(self, job: Hash) -> InferenceRecord | None:
        """The record of a request.

        `job`: its identity.
        """
        return self.records.find(job)

    def on_job_closed(self, closed: Closed) -> None:
        """As in OnJobClosed."""
        request = self.requests.get(closed.job)
        if closed.result is None:
            self._needs.currency.release(PRICE, request.requester, request.price)
        else:
            self._needs.currency.move_held(PRICE, request.requester, request.owner, request.price)
        self._newest.keep(closed.job, self._record(request, closed))
        self.deposit(Answered(closed.job, request.model, request.requester, closed.digest))

    def on_job_overturned(self, closed: Closed) -> None:
        """As in JobOwner: the record says what all validators found, who the price went to stays."""
        request, old = self.requests.get(closed.job), self.records.find(closed.job)
        if old is None:
            return
        record = self._record(request, closed)
        self.records.put(closed.job, replace(record, fee=old.fee, opened=old.opened, is_overturned=True))
        self.deposit(Answered(closed.job, request.model, request.requester, closed.digest))

    def on_job_disputed(self, job: Hash) -> None:
        """As in JobOwner: nobody may use the model."""
        self._needs.models.suspend_disputed(self.requests.get(job).model)

    def on_job_settled(self, job: Hash) -> None:
        """As in JobOwner."""
        self.requests.remove(job)

    def check_state(self) -> None:
        """Prices of open requests are held; the newest records are kept, in order."""
        every = dict(self.requests.items())
        requests = {job: request for job, request in every.items() if self._needs.jobs.is_open(job)}
        for payer in sorted({request.requester for request in requests.values()}):
            prices = sum(request.price for request in requests.values() if request.requester == payer)
            assert self._needs.currency.held(PRICE, payer) == prices
        self._newest.check_state()
        for job, record in self.records.items():
            assert job not in requests
            agreed = [seat for seat in record.attestations if seat.conduct is Conduct.AGREED]
            assert record.agreed_stake == sum(seat.stake for seat in agreed)
            assert (record.output is None) == (3 * record.agreed_stake <= 2 * record.panel_stake)

    def _usable(self, model: Hash) -> tuple[Offer, ExactnessCertificate]:
        """Raises ModelNotUsable or OutputTooLong."""
        offer = self._needs.models.offer(model)
        if offer is None:
            raise ModelNotUsable
        certificate = self._certificate(model)
        ensure(_output_bytes_max(certificate) <= OUTPUT_BYTES_MAX, OutputTooLong)
        return offer, certificate

    def _open(
        self, requester: AccountId, model: Hash, offer: Offer, given: RequestInput, max_fee: Balance
    ) -> None:
        """Hold what a request costs and open its job. Raises FeeAboveMaximum, or as Jobs.open does."""
        gas = _gas(self._certificate(model), given.size_bytes)
        input_bytes = given.size_bytes if given.data is None else len(given.data)
        fee = self._needs.jobs.slot_fee(input_bytes) + self._needs.jobs.quote(gas) + offer.price
        ensure(fee <= max_fee, FeeAboveMaximum)
        self._needs.currency.hold(PRICE, requester, offer.price)
        order = Order(
            kind=JobKind.INFER,
            inputs=(offer.blob, given.hash),
            gas=gas,
            payer=requester,
            input_bytes=input_bytes,
            is_input_given=given.form is not InputForm.INLINE,
        )
        job = self._needs.jobs.open(order)
        proved = self._needs.models.certificate(model)
        self.requests.put(job, Request(requester, model, offer.owner, offer.price, proved, given))
        self.deposit(Requested(job, model, requester, Balance(fee)))

    def _record(self, request: Request, closed: Closed) -> InferenceRecord:
        certificate, given = decode_certificate(request.certificate), request.input
        agreed = [seat for seat in closed.attestations if seat.conduct is Conduct.AGREED]
        is_stored = given.is_output_sealed or is_output_long(certificate)
        has_classes = closed.result is not None and not is_stored
        return InferenceRecord(
            requester=request.requester,
            model=request.model,
            exact_hash=Hash(certificate.model_hash),
            input_form=given.form,
            input_hash=given.hash,
            is_output_sealed=given.is_output_sealed,
            output=closed.result,
            is_output_stored=is_stored,
            digest=closed.digest,
            classes=_classes(certificate, closed.result or b"") if has_classes else (),
            attestations=closed.attestations,
            agreed_stake=Stake(sum(seat.stake for seat in agreed)),
            panel_stake=Stake(sum(seat.stake for seat in closed.attestations)),
            is_overturned=False,
            fee=Balance(closed.cost + (0 if closed.result is None else request.price)),
            opened=closed.opened,
            closed=closed.closed,
        )

    def _certificate(self, model: Hash) -> ExactnessCertificate:
        return decode_certificate(self._needs.models.certificate(model))

    @property
    def _newest(self) -> Newest:
        return Newest(self.records, self.sequence, self.count, self.config.records_max)


def is_output_long(certificate: ExactnessCertificate) -> bool:
    """Whether outputs of the model are named by their hash, because they do not fit into the state."""
    return _output_bytes_max(certificate) > RESULT_BYTES_MAX


def _gas(certificate: ExactnessCertificate, stored_bytes: int) -> int:
    """Of a run, with the blobs that travel for it."""
    long_bytes = _output_bytes_max(certificate) if is_output_long(certificate) else 0
    return min(certificate.gas + GAS_PER_BYTE * (stored_bytes + long_bytes), U63_MAX)


def _ensure_input(certificate: ExactnessCertificate, data: bytes) -> None:
    """Raises BadInput or InputOutOfRange."""
    try:
        is_in_range = in_range(certificate.inputs, decode_inputs(certificate, data))
    except (CodecError, TensorError):
        raise BadInput from None
    ensure(is_in_range, InputOutOfRange)


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
