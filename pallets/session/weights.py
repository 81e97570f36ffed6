"""Weights of the session pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

SET_KEY: Final = Weight(180_000_000, 6_000)
"""One signature, a hold and three entries."""

PURGE_KEY: Final = Weight(60_000_000, 6_000)
