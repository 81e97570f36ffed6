"""Values off the lattice: results of one correctly rounded operator, or of a certified one."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Loose:
    """Numbers of which only an enclosure is known, not a step: the next operators must bring them back.

    Each is a float, the same on every engine.
    """

    low: Fraction
    high: Fraction
    followers: frozenset[str]
    """Operators that may take this value; every other refuses it."""

    def then(self, change: Callable[[Fraction], Fraction], *spent: str) -> "Loose":
        """After an operator that never falls; the operators `spent` may not follow any more."""
        return Loose(change(self.low), change(self.high), self.followers - set(spent))
