"""Weights of the evaluation pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

REGISTER: Final = Weight(60_000_000, 2_000)
REMOVE: Final = Weight(50_000_000, 2_000)
EVALUATE: Final = Weight(500_000_000, 30_000)
