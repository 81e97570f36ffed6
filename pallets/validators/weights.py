"""Weights of the validators pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

CHANGE: Final = Weight(60_000_000, 8_000)
"""The whole set is one entry."""
