"""Values off the lattice: results of one correctly rounded operator, or of a certified one."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Loose:
    """Numbers of which only an enclosure is known, not a step: the next operators must bring them back."""

    low: Fraction
    high: Fraction
    followers: frozenset[str]
    """Operators that may take this value; every other refuses it."""
