"""Floating-point sums in a fixed order, so that a conversion gives the same bytes on every machine.

A library's matrix product may add in any order; here each step is one elementwise operation in float64.
"""

from fractions import Fraction
from math import ceil, frexp
from typing import Final

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

SCALE_BITS: Final = 24
"""Significant bits of a declared scale: finer than any measurement, short enough to read."""


def row_sum(values: Reals) -> Reals:
    """The sum over the first dimension, from the first to the last."""
    total = np.zeros(values.shape[1:])
    for row in values:
        total += row
    return total


def short_scale(value: float) -> Fraction:
    """The least fraction of SCALE_BITS significant bits that is not below `value`, which is above 0."""
    _, exponent = frexp(value)
    unit = Fraction(2) ** (exponent - SCALE_BITS)
    return ceil(Fraction(value) / unit) * unit
