"""What the evaluation pallet stores, reports and refuses with."""

from typing import Annotated

import msgspec

from frame.error import DispatchError
from frame.event import Event
from frame.jobs import Attestations
from inference.evaluation import DATASET_BYTES_MAX, Metric, RowCount
from primitives.codec import Record
from primitives.job_message import Result
from primitives.types import AccountId, Balance, BlockNumber, Hash, Stake

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Size = Annotated[int, msgspec.Meta(ge=1, le=DATASET_BYTES_MAX)]


class Dataset(Record, frozen=True):
    """A registered data set."""

    owner: AccountId
    blob: Hash
    """Content hash, under which it is fetched."""

    name: Name
    """As the owner calls it; not unique."""

    size_bytes: Size
    rows: RowCount
    licence: Hash
    """BLAKE2b-256 of the text of the licence under which it may be used."""

    deposit: Balance
    """Held from the owner."""

    registered: BlockNumber


class DatasetInfo(Record, frozen=True):
    """A data set and its identity."""

    id: Hash
    dataset: Dataset


class EvaluationRequest(Record, frozen=True):
    """An evaluation whose result may change, or is not there yet."""

    requester: AccountId
    model: Hash
    owner: AccountId
    """Of the model, who gets the price."""

    price: Balance
    """Held from the requester, besides the reward of the job."""

    certificate: Result
    """What was proved when the request was made: it can be overturned, and the model removed."""

    dataset: Hash
    blob: Hash
    """Content hash of the data set."""

    size_bytes: Size
    rows: RowCount
    metric: Metric


class EvaluationRecord(Record, frozen=True):
    """An evaluation at its end."""

    requester: AccountId
    model: Hash
    exact_hash: Hash
    """BLAKE2b-256 of the canonical model."""

    dataset: Hash
    blob: Hash
    """Content hash of the data set: what was measured on, whoever registered it."""

    rows: RowCount
    metric: Metric
    result: Result | None
    """`inference.evaluation.decode_evaluation`; None if there was no quorum."""

    digest: Hash | None
    attestations: Attestations
    agreed_stake: Stake
    panel_stake: Stake
    is_overturned: bool
    """Whether another result stood here, until it was challenged."""

    fee: Balance
    """What the requester paid, apart from the extrinsic."""

    opened: BlockNumber
    closed: BlockNumber


class DatasetRegistered(Event, frozen=True):
    """Models can be measured on a data set."""

    dataset: Hash
    blob: Hash
    owner: AccountId


class DatasetRemoved(Event, frozen=True):
    """No more models are measured on a data set; what was measured stays on record."""

    dataset: Hash


class EvaluationRequested(Event, frozen=True):
    """A model is to be measured."""

    job: Hash
    model: Hash
    dataset: Hash


class Evaluated(Event, frozen=True):
    """A record is final with its block."""

    job: Hash
    model: Hash
    dataset: Hash
    digest: Hash | None
    """None if there was no quorum."""


class AlreadyRegistered(DispatchError):
    """The account has registered this data set."""


class TooManyDatasets(DispatchError):
    """As many data sets are registered as may be."""


class NoSuchDataset(DispatchError):
    """No data set has this identity."""


class NotOwner(DispatchError):
    """The data set belongs to somebody else."""


class ModelNotUsable(DispatchError):
    """The model does not exist, is not proven, or is suspended."""


class OutputTooLong(DispatchError):
    """The outputs of the model are longer than validators look at, number by number."""


class FeeAboveMaximum(DispatchError):
    """The evaluation costs more than the requester wants to pay."""
