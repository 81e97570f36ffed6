"""The scale of each channel of a tensor, given what its integers have to reach."""

from collections.abc import Sequence
from math import inf
from typing import Final

import numpy as np

from inference.converter.groups import Reading
from inference.converter.plan import Spread
from inference.converter.program import Convolution, Form, Map, Matrix, Reals, Step, Table

_SMALLEST: Final = 2.0**-10
"""Least range of a channel, by the widest range of its tensor: less is noise, or a channel that is dead."""

TINY: Final = 2.0**-40
"""Least range of any tensor."""


def short_scales(scales: Reals) -> Reals:
    """The same, with few significant bits, and not below."""
    mantissas, exponents = np.frexp(scales)
    rounded: Reals = np.ldexp(np.ceil(np.ldexp(mantissas, 16)), exponents - 16)
    return rounded


def scale_for(low: Reals, high: Reals, bits: int) -> Reals:
    """The scale of each channel, for integers of so many bits whose limits are the same for all channels.

    The limits are those, of a few, for which the scales are finest on the whole.
    """
    whole = max(float((high - low).max()), TINY)
    low, high = np.minimum(low, 0), np.maximum(high, whole * _SMALLEST * (low == 0))
    best, least = None, inf
    top = 2**bits - (2 if low.any() and high.any() else 1)
    for part in range(17):
        # Whole, so that the ends are: products have no room for one more.
        below, above = top * part // 16, top - top * part // 16
        if (not below and low.any()) or (not above and high.any()):
            continue
        scales = np.maximum(high / above if above else 0 * high, -low / below if below else 0 * low)
        scales = np.maximum(scales, whole * _SMALLEST / 2**bits)
        total = float(np.log2(scales).sum())
        if total < least - 1e-9:
            best, least = scales, total
    assert best is not None
    found: Reals = best
    return found


def whole_ends(spread: Spread, readings: Sequence[Reading]) -> tuple[int, int]:
    """Of an input of whole numbers: what was seen of it, and every row that it may choose."""
    rows = max((len(step.rows) for step, _ in readings if isinstance(step, Table)), default=1)
    return min(int(spread.low.min()), 0), max(int(spread.high.max()), rows - 1)


def is_open(step: Step) -> bool:
    """A sum, or a limit that no grid's end stands for."""
    if isinstance(step, Map) and step.form is Form.CLIP:
        return step.parameters[0] in (0, -inf) and step.parameters[1] == inf
    return isinstance(step, Convolution | Matrix)
