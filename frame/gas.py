"""The need for a price of gas."""

from typing import Protocol

from primitives.types import Balance


class GasPrice(Protocol):
    """Who knows what gas costs."""

    def price_of(self, gas: int) -> Balance:
        """What `gas` units cost now, rounded up; 0 for none, and never more than a balance can count."""
        ...
