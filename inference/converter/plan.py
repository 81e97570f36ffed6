"""What was decided about a program before it is lowered."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from inference.converter.code import Grid
from inference.converter.options import Options
from inference.converter.program import Integers, Program, Reals, Step


@dataclass(frozen=True, slots=True)
class Spread:
    """What calibration saw of a tensor, for each index of one of its dimensions."""

    axis: int
    low: Reals
    """Least value; all four are float64[channels]."""
    high: Reals
    mean: Reals
    square: Reals
    """Mean of the squares."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A program, and the integers that are to stand for each of its tensors."""

    program: Program
    options: Options
    spreads: Mapping[str, Spread]
    grids: Mapping[str, Grid]
    steps: Mapping[str, Step]
    """By name."""
    unrounded: frozenset[str]
    """Results that their only reader takes as they come: of a linear step before a limit or an addition."""
    scores: frozenset[str]
    """Results of linear steps that leave the model as whole sums, without rounding."""
    addends: Mapping[str, str]
    """For an unrounded result that something is added to: what."""
    source_scales: Mapping[str, tuple[Fraction, ...]]
    """The exact scales of each real input: one, or one for each feature."""
    source_zeros: Mapping[str, Integers]
    """The integers that stand for zero in them."""
