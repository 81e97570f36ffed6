"""Weights of the inference pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

REQUEST: Final = Weight(500_000_000, 30_000)
REQUEST_PRIVATE: Final = Weight(600_000_000, 60_000)
"""Looks at the key of every validator."""

INPUT_BYTE: Final = Weight(200_000, 2)
"""Inputs are checked one by one, in Python."""
