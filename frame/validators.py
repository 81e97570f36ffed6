"""The need for validators."""

from typing import Annotated, Protocol

import msgspec

from primitives.codec import Record
from primitives.committee import MEMBERS_MAX, Committee
from primitives.types import AccountId, BlockHash, EpochIndex, PublicKey, Stake


class Candidate(Record, frozen=True):
    """An account that is to validate."""

    account: AccountId
    stake: Stake


class Validator(Record, frozen=True):
    """An account that validates, with the key that votes for it."""

    account: AccountId
    key: PublicKey
    """Session key."""

    stake: Stake


class Historical(Record, frozen=True):
    """The committee of an epoch that has begun, and everything that its votes are judged by."""

    anchor: BlockHash
    """Hash of the last block before the epoch; its votes sign it."""

    committee: Committee
    accounts: Annotated[tuple[AccountId, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    """Whose keys the members of the committee are, in its order."""


class Validators(Protocol):
    """Who decides who validates."""

    def elect(self) -> tuple[Candidate, ...]:
        """Those of the next epoch, in the order of its committee.

        At least one, and as many as `Seats` has at most; each with a session key and some stake, the total
        within its type.
        """
        ...

    def is_candidate(self, who: AccountId) -> bool:
        """Whether `who` would be elected now."""
        ...


class Seats(Protocol):
    """Who knows what it takes to sit in a committee."""

    def has_key(self, who: AccountId) -> bool:
        """Whether `who` has registered a session key; a candidate keeps having one."""
        ...

    def seats_max(self) -> int:
        """Most members of a committee of this chain."""
        ...


class History(Protocol):
    """Who remembers past committees."""

    def historical(self, epoch: EpochIndex) -> Historical | None:
        """The committee of `epoch`, if that has begun and is not too long ago."""
        ...


class ActingValidators(Protocol):
    """Who knows who validates now."""

    def acting(self) -> tuple[Validator, ...]:
        """The validators of the epoch that the running block belongs to, in the order of its committee."""
        ...


class Authorship(Protocol):
    """Who knows whose session key it is."""

    def author(self) -> AccountId:
        """The account of the author of the block that runs."""
        ...
