"""The need for attested jobs: work too heavy for a block, which validators do and vote on."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Protocol

import msgspec

from primitives.codec import Record
from primitives.committee import MEMBERS_MAX
from primitives.types import U63, AccountId, Balance, BlockNumber, Hash, PublicKey, Stake


class JobKind(IntEnum):
    """What a job asks for."""

    PROVE = 0
    """The exactness certificate of a model file, or why it is refused."""

    INFER = 1
    """The outputs of a proven model for an input."""

    EVALUATE = 2
    """How good a proven model is on a data set."""


class Conduct(IntEnum):
    """What became of one seat of a job."""

    AGREED = 0
    """It revealed the result of the quorum."""

    DISSENTED = 1
    """It revealed another result, or there was no quorum."""

    UNREVEALED = 2
    """It committed and did not reveal, which counts as a wrong result."""

    ABSTAINED = 3
    """It said that it could not compute the result."""

    SILENT = 4
    """It said nothing."""

    CANNOT_OPEN = 5
    """It said that what the payer was to give of the input is not to be had, or not usable."""


class Attestation(Record, frozen=True):
    """One seat of a closed job."""

    validator: AccountId
    key: PublicKey
    """Session key with which it spoke."""

    stake: Stake
    conduct: Conduct


Attestations = Annotated[tuple[Attestation, ...], msgspec.Meta(max_length=MEMBERS_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to open."""

    kind: JobKind
    inputs: tuple[Hash, ...]
    """Content hashes of all that the result depends on, the model file first."""

    gas: U63
    """Upper bound of the work of one seat."""

    payer: AccountId
    """Whose money is held for the reward."""

    input_bytes: int = 0
    """Of what is kept and fetched for this job alone: an input, a model file to prove, a data set."""

    is_input_given: bool = False
    """Whether the payer gives part of the input outside of the state, where it may turn out unusable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A job at its end."""

    job: Hash
    order: Order
    digest: Hash | None
    """Of the result that more than two thirds of the panel revealed, or None if there is none."""

    result: bytes | None
    attestations: tuple[Attestation, ...]
    """One for each seat, in the order of the panel."""

    revealed: tuple[tuple[Hash, Stake], ...]
    """Every digest that was revealed, and the stake behind it."""

    cost: Balance
    """What the payer paid: the slot fee, and what of the held reward was not refunded."""

    opened: BlockNumber
    closed: BlockNumber
    is_cancelled: bool
    """Whether the chain ended it, and not its panel."""


class Jobs(Protocol):
    """Who keeps attested jobs."""

    def quote(self, gas: U63) -> Balance:
        """The reward for a job of that gas."""
        ...

    def slot_fee(self, input_bytes: int) -> Balance:
        """What is paid for the place of a job with such an input, and never given back."""
        ...

    def open(self, order: Order) -> Hash:
        """Open a job, take its slot fee and hold its reward; its identity.

        Raises DispatchError, with nothing changed.
        """
        ...

    def is_open(self, job: Hash) -> bool:
        """Whether the job has not come to its end."""
        ...


class OnJobClosed(Protocol):
    """Told when a job has come to its end."""

    def on_job_closed(self, closed: Closed) -> None:
        """Take the result; whatever it is, this must not fail."""
        ...


class JobOwner(OnJobClosed, Protocol):
    """Who opened a job, and keeps what it is about until it is settled."""

    def on_job_overturned(self, closed: Closed) -> None:
        """Take another result of a job that had closed; `closed.job` is that job."""
        ...

    def on_job_disputed(self, job: Hash) -> None:
        """Nobody knows what the right result of the job is: let nobody rely on what it was done with."""
        ...

    def on_job_settled(self, job: Hash) -> None:
        """The result can change no more: what the job was about need not be kept."""
        ...
