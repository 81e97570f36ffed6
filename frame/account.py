"""The record of an account, and the need for it: nonce and balance share one entry of the state."""

from collections.abc import Iterator
from typing import Protocol

from primitives.codec import Record
from primitives.hashing import blake2b_256, domain
from primitives.types import U32, AccountId, Balance, Nonce


def pallet_account(name: str) -> AccountId:
    """The account that the pallet with this name owns: a hash, for which nobody has a key."""
    return AccountId(blake2b_256(domain("pallet-account/1") + name.encode("ascii")))


class Account(Record, frozen=True):
    """What the chain holds of one account."""

    nonce: Nonce
    references: U32
    """How many pallets need the account to stay alive."""

    free: Balance
    """What it may spend, down to the existential deposit."""

    held: Balance
    """What is set aside for named reasons."""

    frozen: Balance
    """How much of its total must not leave, for whatever reason."""


class Accounts(Protocol):
    """Where the records are kept."""

    def account(self, who: AccountId) -> Account | None:
        """The record, or None if there is no such account."""
        ...

    def every_account(self) -> Iterator[tuple[AccountId, Account]]:
        """All records, for invariants."""
        ...

    def create(self, who: AccountId, free: Balance) -> None:
        """Give `who`, who has none, a record with the nonce that no earlier extrinsic of `who` can have."""
        ...

    def update(self, who: AccountId, account: Account) -> None:
        """Replace the record of `who`."""
        ...

    def reap(self, who: AccountId) -> None:
        """Remove the record of `who`, to which nothing refers."""
        ...
