"""How long work of so much gas may take, on a machine that is slow and has other work as well."""

from typing import Final

GAS_TIME_PS: Final = 18
"""Reference time of a unit of gas, in picoseconds."""

MARGIN: Final = 20
"""How much slower a machine may be: a quarter for an old one, the rest for what else it does."""


def allowance_s(gas: int) -> float:
    """Seconds after which work of `gas` counts as hanging, besides what every request may take."""
    return gas * GAS_TIME_PS * MARGIN / 1e12
