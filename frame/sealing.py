"""The need for the keys that private inputs are sealed to."""

from typing import NewType, Protocol

from primitives.codec import Record
from primitives.types import AccountId, Bytes32, Stake

SealingKey = NewType("SealingKey", Bytes32)
"""X25519 public key."""


class Reader(Record, frozen=True):
    """A seat of the panel that a job opened now would have."""

    account: AccountId
    stake: Stake
    key: SealingKey | None
    """None: it has registered none, and reads no private input."""


class SealingKeys(Protocol):
    """Who keeps sealing keys."""

    def readers(self) -> tuple[Reader, ...]:
        """The validators of the epoch that the running block belongs to, in the order of its committee."""
        ...
