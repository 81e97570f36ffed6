"""What the jobs pallet stores, reports and refuses with."""

from typing import Annotated, Final

import msgspec

from frame.error import DispatchError
from frame.event import Event
from frame.jobs import JobKind
from primitives.codec import Record
from primitives.job_message import JobPhase
from primitives.types import U16, U63, AccountId, Balance, BlockNumber, Hash

INPUTS_MAX: Final = 2
"""The model file and its input."""


class Job(Record, frozen=True):
    """A job that is open."""

    kind: JobKind
    inputs: Annotated[tuple[Hash, ...], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)]
    """Content hashes, the model file first."""

    gas: U63
    payer: AccountId
    reward: Balance
    """Held from the payer."""

    slot_fee: Balance
    """Paid when it was opened."""

    input_bytes: U63
    """Of what is kept and fetched for this job alone."""

    is_input_given: bool
    """Whether the payer gives part of the input outside of the state."""

    seats: U16
    opened: BlockNumber
    phase: JobPhase
    closes: BlockNumber
    """The last block that takes messages of the phase."""

    commits: U16
    abstentions: U16
    reveals: U16


class Word(Record, frozen=True):
    """What a seat has said."""

    commitment: Hash | None
    """None: it abstained."""

    digest: Hash | None
    """Of the result that it revealed."""

    cannot_open: bool
    """Whether it abstained because the input is not usable."""


class Opened(Event, frozen=True):
    """A job waits for commitments."""

    job: Hash
    kind: JobKind
    gas: U63
    reward: Balance
    closes: BlockNumber


class Committed(Event, frozen=True):
    """A seat has a result."""

    job: Hash
    validator: AccountId


class Abstained(Event, frozen=True):
    """A seat could not compute the result."""

    job: Hash
    validator: AccountId


class CommitsClosed(Event, frozen=True):
    """A job waits for reveals, from the next block on."""

    job: Hash
    commits: U16
    closes: BlockNumber


class Revealed(Event, frozen=True):
    """A seat opened its commitment."""

    job: Hash
    validator: AccountId
    digest: Hash


class JobClosed(Event, frozen=True):
    """A job came to its end."""

    job: Hash
    digest: Hash | None
    """Of the attested result, or None if there was no quorum."""


class TooManyJobs(DispatchError):
    """As many jobs are open as may be. Try again when some have closed."""


class TooMuchGas(DispatchError):
    """The open jobs and this one are more work than validators take at a time."""


class TooManyInputBytes(DispatchError):
    """The inputs of the open jobs and of this one are longer than what nodes keep for jobs at a time."""


class NoSuchJob(DispatchError):
    """The job is not open."""


class WrongPhase(DispatchError):
    """The job does not take this kind of message now."""


class NoSeat(DispatchError):
    """The key has no seat in the job's panel."""


class AlreadySaid(DispatchError):
    """The seat has spoken in this phase."""


class NothingToOpen(DispatchError):
    """The whole input of the job is in the state, so that everybody can open it."""


class NothingCommitted(DispatchError):
    """The seat has no commitment to open."""


class BadSignature(DispatchError):
    """The seat's key did not sign the message for this chain."""


class WrongReveal(DispatchError):
    """The reveal does not open the commitment."""


class WrongResult(DispatchError):
    """The result is not that of the digest, or is missing, or was brought before."""


class TooManyMessages(DispatchError):
    """The block has as many job messages, or as many bytes of results, as it may have."""
