"""Weights of the gas pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

SET_PRICE: Final = Weight(15_000_000, 200)
SET_SLOT_PRICES: Final = Weight(15_000_000, 200)
