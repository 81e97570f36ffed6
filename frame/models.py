"""The need for models that were proven exact."""

from dataclasses import dataclass
from typing import Protocol

from primitives.types import AccountId, Balance, Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that may be run now, and for what."""

    owner: AccountId
    price: Balance
    """What the owner gets for each inference."""

    blob: Hash
    """Content hash of the model file, under which validators fetch it."""

    size_bytes: int
    """Of the file."""


class Models(Protocol):
    """Who keeps models."""

    def offer(self, model: Hash) -> Offer | None:
        """The model with this identity, if it is usable."""
        ...

    def certificate(self, model: Hash) -> bytes:
        """Canonical exactness certificate of a model that is on offer, or was."""
        ...

    def suspend_disputed(self, model: Hash) -> None:
        """Take a model out of use, because validators do not agree on what it computes."""
        ...
