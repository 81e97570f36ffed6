"""Weights of the instant pallet: declared, until a benchmark generates them."""

from typing import Final

from frame.weight import Weight

DEPLOY: Final = Weight(300_000_000, 20_000)
INFER: Final = Weight(800_000_000, 30_000)
"""Checks, the record, and a message to the worker and back."""

INPUT_BYTE: Final = Weight(200_000, 2)
"""Inputs are checked one by one, in Python."""

GAS: Final = Weight(54, 0)
"""Three times the reference time of a unit of gas: whoever executes a block waits for the engine, and the
slowest of those who must vote in time is not the reference machine."""
