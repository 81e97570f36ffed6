"""Weights of the sealing pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

SET_KEY: Final = Weight(40_000_000, 1_000)
REMOVE_KEY: Final = Weight(30_000_000, 1_000)
