"""The need for prices of the work that models cost."""

from typing import Protocol

from primitives.types import Balance


class GasPrice(Protocol):
    """Who knows what gas costs, and a place among the open jobs."""

    def price_of(self, gas: int) -> Balance:
        """What `gas` units cost now, rounded up; 0 for none, and never more than a balance can count."""
        ...

    def slot_fee(self, input_bytes: int) -> Balance:
        """What a place for a job costs now whose input has so many bytes; likewise never more."""
        ...
