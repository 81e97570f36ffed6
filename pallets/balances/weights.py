"""Weights of the balances pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

TRANSFER: Final = Weight(40_000_000, 1_500)
TRANSFER_ALL: Final = Weight(45_000_000, 1_500)
