"""Evaluation: how good models are on registered data sets, exactly, as validators attest.

A data set is a blob, `inference.evaluation.encode_dataset`, registered by its owner and content hash with the
hash of its licence: several may register the same content, and none of them takes it from another. Measuring
a model on one is a job: every validator runs every row, and what they agree on is integers. Who pays is the
requester, for every row; the owner of the model gets its price once.
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
from frame.models import Models
from frame.newest import Newest
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from inference.certificate import GAS_PER_BYTE, ExactnessCertificate, decode_certificate
from inference.evaluation import Metric, RowCount, evaluation_gas
from inference.tensor import ITEM_BYTES
from pallets.evaluation import weights
from pallets.evaluation.types import (
    AlreadyRegistered,
    Dataset,
    DatasetInfo,
    DatasetRegistered,
    DatasetRemoved,
    Evaluated,
    EvaluationRecord,
    EvaluationRequest,
    EvaluationRequested,
    FeeAboveMaximum,
    ModelNotUsable,
    Name,
    NoSuchDataset,
    NotOwner,
    OutputTooLong,
    Size,
    TooManyDatasets,
)
from primitives.hashing import blake2b_256, domain
from primitives.job_message import OUTPUT_BYTES_MAX
from primitives.types import U32, U63, U63_MAX, AccountId, Balance, Hash, Stake

DEPOSIT: Final = "evaluation.deposit"
PRICE: Final = "evaluation.price"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    deposit: Balance
    """Held while a data set is registered."""

    datasets_max: U32
    records_max: U32
    """Most records; the oldest makes room for a new one, and stays provable in older states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    jobs: Jobs
    models: Models


class Evaluations(Pallet):
    """Implements frame.jobs.JobOwner."""

    NAME = "evaluation"
    EVENTS = (DatasetRegistered, DatasetRemoved, EvaluationRequested, Evaluated)
    ERRORS = (
        AlreadyRegistered,
        TooManyDatasets,
        NoSuchDataset,
        NotOwner,
        ModelNotUsable,
        FeeAboveMaximum,
        OutputTooLong,
    )

    dataset_count = StorageValue[int](U32, default=0)
    datasets = StorageMap[Hash, Dataset](Hash, Dataset)
    """By identity, `dataset_id`."""

    requests = StorageMap[Hash, EvaluationRequest](Hash, EvaluationRequest)
    """By job, until that is settled."""

    records = StorageMap[Hash, EvaluationRecord](Hash, EvaluationRecord)
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

    @call(index=0, weight=weights.REGISTER)
    def register_dataset(
        self, origin: Origin, blob: Hash, size_bytes: Size, rows: RowCount, name: Name, licence: Hash
    ) -> None:
        """Register a data set on which models can be measured. Origin: Signed.

        `blob`: its content hash, under which some node must be able to give it.
        `size_bytes`: its length; another one is a result like any other.
        `rows`: how many rows it has; likewise.
        `name`: what to call it.
        `licence`: BLAKE2b-256 of the text of the licence under which it may be used.
        """
        owner = ensure_signed(origin)
        id_ = dataset_id(owner, blob)
        ensure(self.datasets.find(id_) is None, AlreadyRegistered)
        ensure(self.dataset_count.get() < self.config.datasets_max, TooManyDatasets)
        self._needs.currency.hold(DEPOSIT, owner, self.config.deposit)
        height = self.context.block.height
        self.datasets.put(
            id_, Dataset(owner, blob, name, size_bytes, rows, licence, self.config.deposit, height)
        )
        self.dataset_count.put(self.dataset_count.get() + 1)
        self.deposit(DatasetRegistered(id_, blob, owner))

    @call(index=1, weight=weights.REMOVE)
    def remove_dataset(self, origin: Origin, dataset: Hash) -> None:
        """Let no more models be measured on a data set, and get the deposit back. Origin: Signed.

        `dataset`: its identity.
        """
        who, found = ensure_signed(origin), self.datasets.find(dataset)
        if found is None:
            raise NoSuchDataset
        ensure(found.owner == who, NotOwner)
        self._needs.currency.release(DEPOSIT, who, found.deposit)
        self.datasets.remove(dataset)
        self.dataset_count.put(self.dataset_count.get() - 1)
        self.deposit(DatasetRemoved(dataset))

    @call(index=2, weight=weights.EVALUATE)
    def evaluate(self, origin: Origin, model: Hash, dataset: Hash, metric: Metric, max_fee: Balance) -> None:
        """Have every validator measure a model on a data set, and attest the result. Origin: Signed.

        If a third of the stake or more cannot fetch the data set, nothing is refunded but the price of the
        model: who asks for a measurement sees to it that some node gives what it is made on.

        `model`: identity of a proven model.
        `dataset`: identity of a registered data set.
        `metric`: what to measure.
        `max_fee`: most to pay, apart from the extrinsic.
        """
        requester = ensure_signed(origin)
        offer, data = self._needs.models.offer(model), self.datasets.find(dataset)
        if offer is None:
            raise ModelNotUsable
        if data is None:
            raise NoSuchDataset
        certificate = self._certificate(model)
        ensure(_output_bytes(certificate) <= OUTPUT_BYTES_MAX, OutputTooLong)
        gas = _gas(certificate, metric, data)
        ensure(self._fee(gas, data) + offer.price <= max_fee, FeeAboveMaximum)
        self._needs.currency.hold(PRICE, requester, offer.price)
        order = Order(
            kind=JobKind.EVALUATE,
            inputs=(offer.blob, data.blob),
            gas=gas,
            payer=requester,
            input_bytes=data.size_bytes,
            is_input_given=True,
        )
        job = self._needs.jobs.open(order)
        request = EvaluationRequest(
            requester=requester,
            model=model,
            owner=offer.owner,
            price=offer.price,
            certificate=self._needs.models.certificate(model),
            dataset=dataset,
            blob=data.blob,
            size_bytes=data.size_bytes,
            rows=data.rows,
            metric=metric,
        )
        self.requests.put(job, request)
        self.deposit(EvaluationRequested(job, model, dataset))

    @view
    def dataset(self, owner: AccountId, blob: Hash) -> DatasetInfo | None:
        """A registered data set.

        `owner`: who registered it.
        `blob`: its content hash.
        """
        id_ = dataset_id(owner, blob)
        found = self.datasets.find(id_)
        return None if found is None else DatasetInfo(id_, found)

    @view
    def quote(self, model: Hash, dataset: Hash, metric: Metric) -> Balance | None:
        """What an evaluation costs, apart from the extrinsic; nothing if there can be none.

        `model`: its identity.
        `dataset`: its identity.
        `metric`: what to measure.
        """
        offer, data = self._needs.models.offer(model), self.datasets.find(dataset)
        if offer is None or data is None:
            return None
        fee = self._fee(_gas(self._certificate(model), metric, data), data)
        return Balance(min(fee + offer.price, U63_MAX))  # beyond that, nobody has as much

    @view
    def receipt(self, job: Hash) -> EvaluationRecord | None:
        """The record of an evaluation.

        `job`: its identity.
        """
        return self.records.find(job)

    @view
    def pending(self, job: Hash) -> EvaluationRequest | None:
        """An evaluation that has no record yet.

        `job`: its identity.
        """
        return self.requests.find(job) if self._needs.jobs.is_open(job) else None

    def on_job_closed(self, closed: Closed) -> None:
        """As in OnJobClosed."""
        request = self.requests.get(closed.job)
        if closed.result is None:
            self._needs.currency.release(PRICE, request.requester, request.price)
        else:
            self._needs.currency.move_held(PRICE, request.requester, request.owner, request.price)
        self._newest.keep(closed.job, self._record(request, closed))
        self.deposit(Evaluated(closed.job, request.model, request.dataset, closed.digest))

    def on_job_overturned(self, closed: Closed) -> None:
        """As in JobOwner."""
        request, old = self.requests.get(closed.job), self.records.find(closed.job)
        if old is None:
            return
        record = self._record(request, closed)
        self.records.put(closed.job, replace(record, fee=old.fee, opened=old.opened, is_overturned=True))
        self.deposit(Evaluated(closed.job, request.model, request.dataset, closed.digest))

    def on_job_disputed(self, job: Hash) -> None:
        """As in JobOwner: nobody may use the model."""
        self._needs.models.suspend_disputed(self.requests.get(job).model)

    def on_job_settled(self, job: Hash) -> None:
        """As in JobOwner."""
        self.requests.remove(job)

    def check_state(self) -> None:
        """Deposits and the prices of open requests are held; the newest records are kept, in order."""
        datasets = dict(self.datasets.items())
        assert len(datasets) == self.dataset_count.get() <= self.config.datasets_max
        assert all(id_ == dataset_id(one.owner, one.blob) for id_, one in datasets.items())
        requests = [one for job, one in self.requests.items() if self._needs.jobs.is_open(job)]
        for who in sorted({*(one.owner for one in datasets.values()), *(one.requester for one in requests)}):
            held = self._needs.currency.held
            assert held(DEPOSIT, who) == sum(one.deposit for one in datasets.values() if one.owner == who)
            assert held(PRICE, who) == sum(one.price for one in requests if one.requester == who)
        self._newest.check_state()

    def _fee(self, gas: int, data: Dataset) -> int:
        """Of the job, without the price of the model."""
        return self._needs.jobs.slot_fee(data.size_bytes) + self._needs.jobs.quote(gas)

    def _record(self, request: EvaluationRequest, closed: Closed) -> EvaluationRecord:
        agreed = [seat for seat in closed.attestations if seat.conduct is Conduct.AGREED]
        return EvaluationRecord(
            requester=request.requester,
            model=request.model,
            exact_hash=Hash(decode_certificate(request.certificate).model_hash),
            dataset=request.dataset,
            blob=request.blob,
            rows=request.rows,
            metric=request.metric,
            result=closed.result,
            digest=closed.digest,
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


def dataset_id(owner: AccountId, blob: Hash) -> Hash:
    """Identity of a data set: nobody can take it by registering the same content first."""
    return blake2b_256(_DOMAIN + owner + blob)


def _output_bytes(certificate: ExactnessCertificate) -> int:
    """Of all outputs of a run, which validators check one by one before they count."""
    return sum(prod(port.shape) * ITEM_BYTES[port.dtype] for port in certificate.outputs)


def _gas(certificate: ExactnessCertificate, metric: Metric, data: Dataset) -> int:
    """Of one run for each row, of counting, and of sending and reading them."""
    gas = evaluation_gas(certificate, metric, data.rows, data.size_bytes)
    return gas + GAS_PER_BYTE * data.size_bytes


_DOMAIN: Final = domain("dataset/1")
