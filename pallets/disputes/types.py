"""What the disputes pallet stores, reports and refuses with."""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from frame.error import DispatchError
from frame.event import Event
from frame.jobs import Attestations, JobKind
from primitives.codec import Record
from primitives.types import U32, U63, AccountId, Balance, BlockNumber, Hash

INPUTS_MAX: Final = 2


class Challenge(Record, frozen=True):
    """Who doubts a result."""

    challenger: AccountId
    bond: Balance
    """Held from the challenger."""

    rerun: Hash
    """The job that does the same work again."""


class Past(Record, frozen=True):
    """A job that has closed with a quorum, and whose result may change."""

    kind: JobKind
    inputs: Annotated[tuple[Hash, ...], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)]
    gas: U63
    input_bytes: U63
    is_input_given: bool
    digest: Hash
    attestations: Attestations
    until: BlockNumber
    """The last block in which it can be challenged."""

    challenge: Challenge | None


class Ruling(IntEnum):
    """What came of a challenge."""

    UPHELD = 0
    """All validators found the same again: the challenger was wrong, and loses the bond."""

    OVERTURNED = 1
    """They found something else: the challenger was right, and the record is changed."""

    DISPUTED = 2
    """More than a third of the stake found something else, and no two thirds the same thing: the model is
    suspended, and nobody is punished."""

    UNANSWERED = 3
    """Too few answered: the result stands, and the bond is given back."""


class Conducts(Record, frozen=True):
    """How often a validator's seats came to what end."""

    agreed: U32
    dissented: U32
    unrevealed: U32
    abstained: U32
    silent: U32
    cannot_open: U32
    overturned: U32
    """Results that it had agreed to and all validators found to be wrong: the offence of mis-attestation.
    Nobody is punished yet, because nobody has put anything at stake."""


class Challenged(Event, frozen=True):
    """A result is doubted, and all validators do the work again."""

    job: Hash
    rerun: Hash
    challenger: AccountId
    bond: Balance


class Ruled(Event, frozen=True):
    """A challenge has come to its end."""

    job: Hash
    rerun: Hash
    ruling: Ruling


class MisAttested(Event, frozen=True):
    """A validator had agreed to a result that was overturned."""

    job: Hash
    validator: AccountId


class NotChallengeable(DispatchError):
    """The job has no result, or it is too late to doubt it."""


class AlreadyChallenged(DispatchError):
    """Somebody doubts this result already, and the work is being done again."""


class BondAboveMaximum(DispatchError):
    """The bond is more than the challenger wants to put up."""
