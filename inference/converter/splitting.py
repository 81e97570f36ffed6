"""Sums that 24 bits are too few for: parts of their terms, each as fine as it can be, rounded and added.

A sum is short of bits where it has too many terms, where its bias is far larger than its terms, or where its
reader asks for a step that is too coarse for the weights. In all three cases the terms are summed in parts,
without the bias; each part is rounded to a step so coarse that 24 bits hold all parts and the bias together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from inference.converter.program import Convolution, Integers, Matrix, Reals
from inference.converter.sums import SUM_MAX, Kernel, Terms, Whole, bits_of, finest

PARTS: Final = (1, 2, 4, 8, 16)
"""How many parts are tried, in this order."""

_GOOD_BITS: Final = 8
"""Bits of weights, with the sign, at which more parts gain nothing that can be seen."""


LOST_MAX: Final = 2.0**-4
"""What rounding weights may shift a result by at most, in its units, for their bits not to matter."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the terms: input channels `first` to `last` of each group."""

    first: int
    last: int
    whole: Whole
    lost: Reals
    """What rounding the weights shifts each sum by at most, in units of the result."""


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a layer's sums; rounded to multiples of 2^-fine they add up to the result."""

    parts: tuple[Part, ...]
    bias: Reals
    """Whole, in steps of 2^-fine."""
    fine: Integers
    low: Reals
    high: Reals
    """Least and greatest sum of any parts and the bias, in units of the result."""
    bits: int
    """What the largest weight, for the output in the middle of all, has in the coarsest of its parts."""
    lost: float
    """What rounding the weights shifts a result by at most, in its units."""


def split(kernel: Kernel, terms: Terms, room: float, cap: float, fine_max: Integers | int) -> Split | None:
    """The fewest parts that leave the weights enough bits, or else as many parts as there can be.

    The arguments are those of `finest`. None if even then there is nothing that makes sense.
    """
    good = min(_GOOD_BITS, int(cap).bit_length() + 1)
    best = None
    for found in _splits(kernel, terms, room, cap, fine_max):
        if best is None or found.bits > best.bits:
            best = found
        if found.bits >= good or found.lost <= LOST_MAX:
            return found
    return best


def _splits(
    kernel: Kernel, terms: Terms, room: float, cap: float, fine_max: Integers | int
) -> Iterator[Split]:
    channels = kernel.weights.shape[1]
    for count in PARTS:
        if count > channels:
            return
        ends = [channels * each // count for each in range(count + 1)]
        parts = [_part(kernel, terms, cap, *each) for each in pairwise(ends)]
        made = [part for part in parts if part is not None]
        if len(made) == count:
            yield _added(kernel, tuple(made), room, fine_max)


def _part(kernel: Kernel, terms: Terms, cap: float, first: int, last: int) -> Part | None:
    weights, sources = kernel.weights[:, first:last], kernel.sources[:, first:last]
    some = Kernel(weights, np.zeros_like(kernel.bias), sources)
    whole = finest(some, terms, 0.0, cap)
    if whole is None:
        return None
    shifts = np.abs(np.ldexp(whole.weights, -whole.fine[:, None, None]) - weights)
    reach = some.of_inputs(np.maximum(np.abs(terms.low), np.abs(terms.high)))
    return Part(first, last, whole, (shifts * reach).sum(axis=(1, 2)))


def _added(kernel: Kernel, parts: tuple[Part, ...], room: float, fine_max: Integers | int) -> Split:
    """Rounding makes a part at most half a step larger, the bias as well; what rounding the weights shifts
    the mean by is in the parts' biases, which join it.
    """
    wholes = [part.whole for part in parts]
    bias = kernel.bias + sum(np.ldexp(each.bias, -each.fine) for each in wholes)
    low = sum(each.low for each in wholes) + np.minimum(bias, 0)
    high = sum(each.high for each in wholes) + np.maximum(bias, 0)
    reach = np.maximum(np.maximum(high, -low) + room, 2.0**-100)
    coarsest = np.minimum.reduce([each.fine for each in wholes])
    fine = np.floor(np.log2((SUM_MAX - len(parts) - 1) / reach))
    fine = np.minimum(np.minimum(fine, fine_max), coarsest).astype(np.int64)
    rounded = np.rint(np.ldexp(bias, fine))
    lows = sum(np.rint(np.ldexp(each.low, fine)) for each in wholes) + np.minimum(rounded, 0)
    highs = sum(np.rint(np.ldexp(each.high, fine)) for each in wholes) + np.maximum(rounded, 0)
    largest = np.ldexp(np.abs(kernel.weights).max(axis=(1, 2)), coarsest)
    return Split(
        parts=parts,
        bias=rounded,
        fine=fine,
        low=np.ldexp(lows, -fine),
        high=np.ldexp(highs, -fine),
        bits=bits_of(np.rint(largest)),
        lost=float(np.sum([part.lost for part in parts], axis=0).max()),
    )


def part_of(step: Convolution | Matrix, part: Part) -> Reals:
    """The weights that meet a part's input channels, in the layout of the step."""
    first, last = part.first, part.last
    if isinstance(step, Matrix):
        return step.weights[first:last]
    if not step.transposed:
        return step.weights[:, first:last]
    grouped = step.weights.reshape(step.groups, -1, *step.weights.shape[1:])
    return grouped[:, first:last].reshape(-1, *step.weights.shape[1:])


def channels_of(step: Convolution | Matrix, part: Part, channels: int) -> tuple[int, ...]:
    """The input channels of a part, in all groups."""
    groups = 1 if isinstance(step, Matrix) else step.groups
    each = channels // groups
    return tuple(group * each + at for group in range(groups) for at in range(part.first, part.last))
