"""What the session pallet stores, reports and refuses with."""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from frame.error import DispatchError
from frame.event import Event
from frame.validators import Validator
from primitives.codec import Record
from primitives.committee import MEMBERS_MAX
from primitives.types import AccountId, Balance, PublicKey

MILLISECONDS_MAX: Final = 3_600_000
EPOCH_LENGTH_MAX: Final = 1_000_000


class Engine(IntEnum):
    """How blocks become final."""

    INSTANT = 0
    """One author, no votes: for development."""

    SIMPLEX = 1


class Consensus(Record, frozen=True):
    """The consensus parameters; they are set at genesis, and only there."""

    engine: Engine
    block_time_ms: Annotated[int, msgspec.Meta(ge=1, le=MILLISECONDS_MAX)]
    """Least time between two blocks."""

    delta_ms: Annotated[int, msgspec.Meta(ge=1, le=MILLISECONDS_MAX)]
    """Longest time that a message is expected to take."""

    epoch_length: Annotated[int, msgspec.Meta(ge=1, le=EPOCH_LENGTH_MAX)]
    """Blocks in an epoch."""


Seated = Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
"""Validators in the order of a committee."""


class Genesis(Record, frozen=True):
    """Parameters and the validators of epoch 1."""

    consensus: Consensus
    validators: Seated


class Registration(Record, frozen=True):
    """The session key of an account."""

    key: PublicKey
    deposit: Balance
    """Held from the account; nothing for a key that stands in the chain specification."""


class KeySet(Event, frozen=True):
    """An account has another session key, from the next epoch on."""

    account: AccountId
    key: PublicKey


class KeyPurged(Event, frozen=True):
    """An account has no session key any more."""

    account: AccountId
    key: PublicKey


class KeyInUse(DispatchError):
    """The key is registered already, by this account or another."""


class BadKeyProof(DispatchError):
    """The key did not sign for this account on this chain."""


class NoKey(DispatchError):
    """The account has registered no session key."""


class KeyNeeded(DispatchError):
    """The account is to validate in the next epoch, and votes with this key."""
