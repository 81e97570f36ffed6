"""Weights of the offences pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

REPORT: Final = Weight(300_000_000, 20_000)
"""Two signatures, and the committee of an epoch."""
