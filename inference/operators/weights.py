"""Constants by the million, as integers, and the sums of their products.

A proof reads each weight once, so this is where it spends its time: the loops are those of `map`, `sum` and
`reduce`, over integers that a dictionary gives for the bits of an element (0.3 to 0.5 us for each weight,
where plain loops over pairs of mantissa and step take 2).
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import lshift, mul, or_
from typing import Final

from inference.bounds import STEP_MAX, STEP_MIN, Cell, union
from inference.operators.constants import significand
from inference.operators.rule import Application
from inference.tensor import ITEM_BYTES, Tensor

FINEST: Final = STEP_MIN - STEP_MAX
"""Constants count in 2^FINEST: whatever is no multiple of that could not be on the lattice after its use."""

_SUMS: Final = FINEST + STEP_MIN
"""Products with a tensor, and their sums, count in 2^_SUMS."""

_REMEMBERED_MAX: Final = 262_144
"""Distinct numbers that are remembered, at some 150 bytes each: weights repeat, being integers times a few
steps.
"""

_BLOCK: Final = 65_536
"""Numbers that are looked at together; bounds memory."""

_TYPECODES: Final = {1: ("B", "b"), 2: ("H", "h"), 4: ("I", "i"), 8: ("Q", "q")}


class _Decoded(dict[int, int]):
    """The number of each pattern of bits, in 2^FINEST; filled as patterns are met."""

    def __init__(self, dtype: str, application: Application) -> None:
        super().__init__()
        self._dtype = dtype
        self._application = application

    def __missing__(self, bits: int) -> int:
        mantissa, step = significand(bits, self._dtype, self._application)
        if step < FINEST:
            self._application.refuse(f"a constant is no multiple of 2^{FINEST}")
        value = mantissa << (step - FINEST)
        if len(self) < _REMEMBERED_MAX:
            self[bits] = value
        return value


class Weights:
    """The elements of a constant, in order."""

    def __init__(self, tensor: Tensor, application: Application) -> None:
        """Raises Refused if the proof has no steps left to read it."""
        application.work.spend(prod(tensor.shape))
        unsigned, signed = _TYPECODES[ITEM_BYTES[tensor.dtype]]
        self._bits = array(signed if tensor.dtype.startswith("int") else unsigned)
        self._bits.frombytes(tensor.data)
        if sys.byteorder == "big":
            self._bits.byteswap()
        self._decoded = _Decoded(tensor.dtype, application)

    def __len__(self) -> int:
        return len(self._bits)

    def values(self, chosen: slice) -> list[int]:
        """The numbers at some indices, in 2^FINEST. Raises Refused for those that are not normal numbers."""
        return list(map(self._decoded.__getitem__, self._bits[chosen]))

    def cell(self, chosen: slice) -> Cell:
        """The cell that holds the numbers at some indices. Raises Refused."""
        indices = range(len(self))[chosen]
        blocks = (indices[at : at + _BLOCK] for at in range(0, len(indices), _BLOCK))
        parts = [
            _among({self._decoded[bits] for bits in set(self._bits[block.start : block.stop : block.step])})
            for block in blocks
        ]
        known = [part for part in parts if part.low or part.high]
        return union(known or parts[:1])


def _among(numbers: set[int]) -> Cell:
    return _cell(min(numbers), max(numbers), reduce(or_, numbers), FINEST)


def _cell(low: int, high: int, together: int, step: int) -> Cell:
    """The cell of numbers whose bitwise or is `together`, which ends in as many zeros as all of them do."""
    if not together:
        return Cell(0, 0, 0)
    shift = (together & -together).bit_length() - 1
    return Cell(step + shift, low >> shift, high >> shift)


@dataclass(frozen=True, slots=True)
class Terms:
    """The hulls of numbers that meet weights, in a step of their own: one for each weight, or one for all."""

    step: int
    sums: Sequence[int]
    """Lower plus upper limit."""
    spans: Sequence[int]
    """Upper minus lower limit."""
    shifts: Sequence[int]
    """By how many bits the step of each is above the common step."""


def terms(cells: Sequence[Cell], repeated: int) -> Terms:
    """The hulls of `cells`, each for `repeated` weights in a row; a single one if all are alike."""
    hulls = [cell.hull() for cell in cells]
    if all(hull == hulls[0] for hull in hulls):
        hulls, repeated = hulls[:1], 1
    step = min(hull.step for hull in hulls)
    fine = [hull.at(step) for hull in hulls]
    return Terms(
        step,
        _repeat((hull.low + hull.high for hull in fine), repeated),
        _repeat((hull.high - hull.low for hull in fine), repeated),
        _repeat((hull.step - step for hull in hulls), repeated),
    )


def _repeat(values: Iterable[int], count: int) -> list[int]:
    return [value for value in values for _ in range(count)]


def products(weights: list[int], known: Terms, bias: Sequence[int] = ()) -> Cell:
    """The hull of every subset of the products of weights and terms, and of the bias if there is one.

    With w = |w| for one sign, a product lies between w * low and w * high; for the other the limits change
    places. Both cases are (w * (low + high) -+ |w| * (high - low)) / 2, so no case is distinguished.
    """
    if len(known.sums) == 1:
        middle, spread = sum(weights) * known.sums[0], sum(map(abs, weights)) * known.spans[0]
        together = reduce(or_, weights, 0) << known.shifts[0]
    else:
        middle = sum(map(mul, weights, known.sums))
        spread = sum(map(mul, map(abs, weights), known.spans))
        together = reduce(or_, map(lshift, weights, known.shifts), 0)
    shift = known.step - STEP_MIN
    low, high, together = (middle - spread) // 2 << shift, (middle + spread) // 2 << shift, together << shift
    for value in bias:
        scaled = value << -STEP_MIN
        low, high, together = low + min(scaled, 0), high + max(scaled, 0), together | scaled
    return _cell(low, high, together, _SUMS)
