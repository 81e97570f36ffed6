"""The need for validators."""

from typing import Protocol

from primitives.codec import Record
from primitives.types import AccountId, PublicKey, Stake


class Validator(Record, frozen=True):
    """An account that validates, with the key that votes for it."""

    account: AccountId
    key: PublicKey
    """Session key."""

    stake: Stake


class Validators(Protocol):
    """Who decides who validates."""

    def elect(self, acting: tuple[Validator, ...]) -> tuple[Validator, ...]:
        """The validators of the next epoch, in the order of its committee; `acting` are those of this one."""
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
