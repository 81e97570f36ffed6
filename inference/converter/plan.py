"""What was decided about a program before it is lowered."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from inference.converter.code import Grid
from inference.converter.options import Options
from inference.converter.program import Integers, Map, Program, Reals, Step


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
class Correlation:
    """How the inputs of a linear step go together."""

    covariance: Reals
    """float64[groups, terms, terms]; terms are pairs of an input channel of the group and a tap."""
    places: int
    """From how many places it is known."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """A convolution whose result, perhaps after a limit, only a depthwise convolution reads."""

    maker: str
    read: str
    """The tensor that the depthwise convolution reads: the result, or the limited result."""
    bits: Integers
    """Per channel of the result: bits that it may have, before and behind the point."""

    def finest_steps(self, width: Reals) -> Reals:
        """The steps of the sums, given the reals that each channel covers."""
        steps: Reals = width * 2.0**-self.bits
        return steps


@dataclass(frozen=True, slots=True)
class Plan:
    """A program, and the integers that are to stand for each of its tensors."""

    program: Program
    options: Options
    spreads: Mapping[str, Spread]
    correlations: Mapping[str, Correlation]
    """Of the inputs of linear steps, by their name, where that is known."""
    grids: Mapping[str, Grid]
    steps: Mapping[str, Step]
    """By name."""
    unrounded: frozenset[str]
    """Results that their only reader takes as they come: of a linear step before a limit or an addition."""
    deferred: Mapping[str, Deferral]
    """Sums that a depthwise convolution reads unrounded, by their step."""
    means: Mapping[str, int]
    """Means that their readers take as sums, and of how many terms."""
    scores: frozenset[str]
    """Results of linear steps that leave the model as whole sums, without rounding."""
    addends: Mapping[str, str]
    """For an unrounded result that something is added to: what."""
    bends: Mapping[str, Map]
    """For an unrounded result of a linear step that a hard swish takes: that."""
    source_scales: Mapping[str, tuple[Fraction, ...]]
    """The exact scales of each real input: one, or one for each feature."""
    source_zeros: Mapping[str, Integers]
    """The integers that stand for zero in them."""
