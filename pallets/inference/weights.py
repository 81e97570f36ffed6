"""Weights of the inference pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

REQUEST: Final = Weight(500_000_000, 30_000)
INPUT_BYTE: Final = Weight(200_000, 2)
"""Inputs are checked one by one, in Python."""
