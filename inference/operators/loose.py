"""Values off the lattice: results of one correctly rounded operator, or of a certified one."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from inference.bounds import Cell
from inference.enclosures import Interval


@dataclass(frozen=True, slots=True)
class Root:
    """A tensor on the lattice, of which other values are functions, element by element."""

    name: str
    cell: Cell
    """All its numbers."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What engines may compute for each number of a root: it depends on their libraries."""

    root: Root
    intervals: tuple[Interval, ...]
    """For each number of the root, from the least, in counts of 2^-PRECISION."""
    assumes: bool
    """Whether they hold under an assumption alone."""


@dataclass(frozen=True, slots=True)
class Loose:
    """Numbers of which only an enclosure is known, not a step: the next operators must bring them back.

    Each is a float, the same on every engine unless there is a curve.
    """

    low: Fraction
    high: Fraction
    followers: frozenset[str]
    """Operators that may take this value; every other refuses it."""
    product: tuple[Root, Fraction] | None = None
    """If the value is the product of a root and a number: both, for a function to start from."""
    curve: Curve | None = None

    def then(self, change: Callable[[Fraction], Fraction], *spent: str) -> "Loose":
        """After an operator that never falls; the operators `spent` may not follow any more."""
        return Loose(change(self.low), change(self.high), self.followers - set(spent))
