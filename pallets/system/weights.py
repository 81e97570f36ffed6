"""Weights of the system pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

REMARK: Final = Weight(5_000_000, 0)
REMARK_BYTE: Final = Weight(1_000, 0)
