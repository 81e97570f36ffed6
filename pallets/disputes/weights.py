"""Weights of the disputes pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

CHALLENGE: Final = Weight(400_000_000, 40_000)
