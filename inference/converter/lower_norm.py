"""Norms: the gain makes the units of the result, the bias is added in whole units."""

from math import prod
from typing import Final

import numpy as np

from inference.converter import spellings
from inference.converter.code import Code
from inference.converter.lower_moves import compressed
from inference.converter.lowering import SLACK, Lowering
from inference.converter.program import Norm, Reals
from inference.converter.rule import BITS_MAX, Rule, Want
from inference.converter.spellings import Centring

_EXACT_MIN: Final = 2**10
"""Least integers' reach for which the mean itself is taken away, and not a rounded one."""

_FRACTIONS: Final = range(2, 9)
"""Bits behind the point of a rounded mean: at the least, it is met to an eighth of a step."""


def _norm(lowering: Lowering, step: Norm) -> Code:
    x, grid, count = lowering.integers(step.inputs[0]), lowering.grid(step.name), _count(step)
    rank, reach = len(x.shape), int(np.maximum(-x.low, x.high).max())
    if reach > _limit(step):
        bits = reach.bit_length() - _limit(step).bit_length()
        lowering.refuse(step.name, f"a norm of {count} numbers has {bits} bits too few", "normalise fewer")
    gain, bias = (compressed(_full(each, rank)) / grid.scale for each in (step.gain, step.bias))
    bias = np.rint(bias)
    low, high = int(grid.low - bias.max()), int(grid.high - bias.min())
    natural = spellings.norm_reach(gain, count)
    free = 2 * natural <= SLACK * (high - low)
    if free:
        low, high = -natural, natural
    centring, fraction = _centring(step, reach)
    name = spellings.norm(
        lowering,
        x.name,
        axes=tuple(range(rank - step.axes, rank)),
        count=count,
        epsilon=step.epsilon / float(x.scale.reshape(-1)[0]) ** 2,
        gain=gain,
        limits=None if free else (low, high),
        centring=centring,
        fraction=fraction,
    )
    if bias.any():
        name = lowering.add("Add", name, lowering.constant(bias))
    several = sum(size > 1 for size in bias.shape) > 1
    # An engine may meet either term alone; the prover knows cells along one dimension.
    below, above = (bias.min(), bias.max()) if several else (bias, bias)
    return lowering.made(name, step, low=low + np.minimum(below, 0), high=high + np.maximum(above, 0))


def _count(step: Norm) -> int:
    return prod(step.shape[len(step.shape) - step.axes :])


def _full(values: Reals, rank: int) -> Reals:
    """With dimensions of 1 before, up to the rank."""
    return values.reshape((1,) * (rank - values.ndim) + values.shape)


def _limit(step: Norm) -> int:
    """Greatest magnitude of the integers that it takes."""
    count = _count(step)
    if not step.centred:
        return spellings.norm_limit(count, Centring.NOTHING)
    exact = spellings.norm_limit(count, Centring.MEAN)
    if exact >= _EXACT_MIN:
        return exact
    return max(exact, spellings.norm_limit(count, Centring.ROUNDED_MEAN, _FRACTIONS[0]))


def _centring(step: Norm, reach: int) -> tuple[Centring, int]:
    """What is taken away from integers up to that magnitude, and how fine a rounded mean is."""
    if not step.centred:
        return Centring.NOTHING, 0
    count = _count(step)
    if reach <= spellings.norm_limit(count, Centring.MEAN):
        return Centring.MEAN, 0
    mean = Centring.ROUNDED_MEAN
    return mean, max(each for each in _FRACTIONS if reach <= spellings.norm_limit(count, mean, each))


def _wants(step: Norm, index: int) -> Want:
    return Want(bits_max=min(BITS_MAX, _limit(step).bit_length()))


def _gives(step: Norm) -> Want:
    """Scales follow the gain along the one dimension that it belongs to; others are no channels."""
    return Want(per_channel=step.axes == 1 and bool(np.ptp(step.gain) > 0))


NORM: Final = Rule(lower=_norm, wants=_wants, gives=_gives)
