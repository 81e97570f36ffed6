"""Weights of the models pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

REGISTER: Final = Weight(400_000_000, 20_000)
UPDATE: Final = Weight(60_000_000, 4_000)
