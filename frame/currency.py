"""The need for money."""

from typing import Annotated, Protocol

import msgspec

from primitives.types import AccountId, Balance

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
"""Why money is held or frozen, `pallet.reason`; wire format, never renamed."""


class Currency(Protocol):
    """One fungible token. Every method that refuses changes nothing."""

    def spendable(self, who: AccountId) -> Balance:
        """The most that can leave `who` while its account stays alive."""
        ...

    def move(self, source: AccountId, destination: AccountId, amount: Balance) -> None:
        """Transfer; `source` may be reaped. Raises DispatchError by name."""
        ...

    def withdraw(self, who: AccountId, amount: Balance) -> None:
        """Take `amount` out of the account, which stays alive; the caller settles or burns it in this block.

        Raises DispatchError.
        """
        ...

    def settle(self, who: AccountId, amount: Balance) -> None:
        """Give what was withdrawn; burned if it is too little to bring an account to life."""
        ...

    def hold(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """Set `amount` aside, on top of what is held for `reason`. Raises DispatchError."""
        ...

    def held(self, reason: Reason, who: AccountId) -> Balance:
        """How much of `who` is set aside for `reason`."""
        ...

    def release(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """Free `amount` of what is held for `reason`, which must be enough."""
        ...

    def move_held(self, reason: Reason, source: AccountId, destination: AccountId, amount: Balance) -> None:
        """Pay `amount` of what is held for `reason`, which must be enough, as `settle` does."""
        ...

    def freeze(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """Let spending not bring the total of `who` below `amount`; replaces an earlier freeze for `reason`.

        Freezes for several reasons overlap; 0 thaws. Raises DispatchError.
        """
        ...
