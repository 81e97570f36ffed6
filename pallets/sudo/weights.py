"""Weights of the sudo pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

SUDO: Final = Weight(10_000_000, 200)
"""Besides the weight of the call that is run."""

SET_KEY: Final = Weight(15_000_000, 200)
