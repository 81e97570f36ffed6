"""Weights of the jobs pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

MESSAGE: Final = Weight(150_000_000, 12_000)
"""One signature, and the panel of the job."""

RESULT_BYTE: Final = Weight(10_000, 1)
