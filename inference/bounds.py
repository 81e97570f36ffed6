"""What is known of every element of a tensor: the step it is a multiple of, and the range it lies in.

A `Cell` stands for the numbers m * 2^step with low <= m <= high. Sums are *subset hulls*: they bound every
subset of the terms, so that an engine may add in any order, or fuse, and still meet only numbers within the
hull.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from inference.tensor import INTEGER_RANGES

MANTISSA_BITS: Final = {"float32": 24, "float64": 53}
"""Integers of a magnitude up to 2^bits are exact in each float type, and so are their sums below that."""

STEP_MIN: Final = -36
"""Least step of a tensor; see STEP_MAX."""

STEP_MAX: Final = 15
"""Greatest step of a tensor. Engines gather constant factors: onnxruntime makes the product of those before
and after a MatMul one factor of its result. Each of the two is a quotient of two steps, within 2^51; so their
product stays within 2^102, or 2^126 with its mantissa, and is neither subnormal nor infinite in float32.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """The multiples of 2^step from low * 2^step to high * 2^step."""

    step: int
    low: int
    high: int

    @property
    def magnitude(self) -> int:
        """The largest magnitude, in steps."""
        return max(-self.low, self.high)

    def at(self, step: int) -> "Cell":
        """The same numbers, counted in a step that is not larger."""
        shift = self.step - step
        assert shift >= 0
        return Cell(step, self.low << shift, self.high << shift)

    def negated(self) -> "Cell":
        return Cell(self.step, -self.high, -self.low)

    def hull(self) -> "Cell":
        """These numbers and zero, and at least one step: what a term adds to any subset of a sum."""
        low, high = min(self.low, 0), max(self.high, 0)
        return Cell(self.step, low, high) if low or high else Cell(self.step, 0, 1)

    def times(self, other: "Cell") -> "Cell":
        """Every product."""
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Cell(self.step + other.step, min(corners), max(corners))

    def clipped(self, low: "Cell", high: "Cell") -> "Cell":
        """The numbers after a limit from below and from above; each limit is a single number."""
        step = min(self.step, low.step, high.step)
        bottom, top = low.at(step).low, high.at(step).high
        here = self.at(step)
        return Cell(step, min(max(here.low, bottom), top), min(max(here.high, bottom), top))

    def rounded(self) -> "Cell":
        """The integers nearest to them, halves to even."""
        if self.step >= 0:
            return self
        return Cell(0, _round_half_even(self.low, -self.step), _round_half_even(self.high, -self.step))


def _round_half_even(value: int, bits: int) -> int:
    """value / 2^bits, rounded."""
    whole, rest = value >> bits, value & ((1 << bits) - 1)
    half = 1 << (bits - 1)
    return whole + (rest > half or (rest == half and whole & 1 == 1))


def union(cells: Iterable[Cell]) -> Cell:
    """The smallest cell that holds all of them."""
    known = list(cells)
    step = min(cell.step for cell in known)
    fine = [cell.at(step) for cell in known]
    return Cell(step, min(cell.low for cell in fine), max(cell.high for cell in fine))


def subset_sum(terms: Sequence[Cell]) -> Cell:
    """Every sum of any subset of one number from each cell."""
    step = min(term.step for term in terms)
    low = high = 0
    for term in terms:
        shift = term.step - step
        low += min(term.low, 0) << shift
        high += max(term.high, 0) << shift
    return Cell(step, low, high)


def unfit(cell: Cell, dtype: str) -> str:
    """Why the cell's numbers, and sums within it, are not all exact in a type; empty if they are."""
    if dtype in INTEGER_RANGES:
        low, high = INTEGER_RANGES[dtype]
        if cell.step < 0:
            return "holds numbers that are not integers: Round them first"
        whole = cell.at(0)
        fits = low <= whole.low and whole.high <= high
        return (
            "" if fits else f"holds numbers from {whole.low} to {whole.high}, beyond {dtype}: Clip them first"
        )
    bits = MANTISSA_BITS[dtype]
    if cell.magnitude >= 1 << bits:
        return f"needs {cell.magnitude.bit_length()} bits, {dtype} holds {bits}"
    if not STEP_MIN <= cell.step <= STEP_MAX:
        return f"its step 2^{cell.step} is outside 2^{STEP_MIN} to 2^{STEP_MAX}"
    return ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The cells of a tensor: one for all its elements, or one for each index of one dimension."""

    cells: tuple[Cell, ...]
    axis: int | None = None
    """The dimension, from the front, that the cells run along; None with a single cell."""

    def __post_init__(self) -> None:
        assert (self.axis is not None) == (len(self.cells) > 1)

    def at(self, axis: int, size: int) -> Sequence[Cell]:
        """The cells for each of the `size` indices of a dimension."""
        return self.cells if self.axis == axis else (self.whole(),) * size

    def moved(self, axis: int) -> "Bounds":
        """The same cells, where another operator's dimension `axis` is the one that they run along."""
        return self if self.axis is None else Bounds(self.cells, axis)

    def mapped(self, change: Callable[[Cell], Cell]) -> "Bounds":
        """Every cell changed."""
        return along(self.axis or 0, [change(cell) for cell in self.cells])

    def single(self) -> "Bounds":
        """One cell for every element."""
        return self if self.axis is None else Bounds((self.whole(),))

    def whole(self) -> Cell:
        """The cell that holds every element."""
        return self.cells[0] if self.axis is None else union(self.cells)


def along(axis: int, cells: Sequence[Cell]) -> Bounds:
    """The bounds of a tensor with a cell for each index of one dimension; equal cells become one."""
    alike = all(cell == cells[0] for cell in cells)
    return Bounds((cells[0],)) if alike else Bounds(tuple(cells), axis)
