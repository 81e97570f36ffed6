"""Layer normalisation: its gain makes the units of the result, its bias is added in whole units."""

from math import prod
from typing import Final

import numpy as np

from inference.converter import spellings
from inference.converter.code import Code
from inference.converter.lowering import SLACK, Lowering
from inference.converter.program import Norm, Reals
from inference.converter.rule import BITS_MAX, Rule, Want


def _norm(lowering: Lowering, step: Norm) -> Code:
    x, grid, count = lowering.integers(step.inputs[0]), lowering.grid(step.name), _count(step)
    rank, reach = len(x.shape), int(np.maximum(-x.low, x.high).max())
    if reach > spellings.layer_norm_limit(count):
        bits = reach.bit_length() - spellings.layer_norm_limit(count).bit_length()
        lowering.refuse(step.name, f"a norm of {count} numbers has {bits} bits too few", "normalise fewer")
    gain, bias = (_trailing(each, step) / grid.scale for each in (step.gain, step.bias))
    bias = np.rint(bias)
    low, high = int(grid.low - bias.max()), int(grid.high - bias.min())
    natural = spellings.layer_norm_reach(gain, count)
    free = 2 * natural <= SLACK * (high - low)
    if free:
        low, high = -natural, natural
    name = spellings.layer_norm(
        lowering,
        x.name,
        axes=tuple(range(rank - step.axes, rank)),
        count=count,
        epsilon=step.epsilon / float(x.scale.reshape(-1)[0]) ** 2,
        gain=gain,
        limits=None if free else (low, high),
    )
    if bias.any():
        name = lowering.add("Add", name, lowering.constant(bias))
    # An engine may meet either term alone.
    return lowering.made(name, step, low=low + np.minimum(bias, 0), high=high + np.maximum(bias, 0))


def _count(step: Norm) -> int:
    return prod(step.shape[len(step.shape) - step.axes :])


def _trailing(values: Reals, step: Norm) -> Reals:
    """Against the result: the last dimensions, ones before."""
    shape = step.shape[len(step.shape) - step.axes :]
    full: Reals = np.broadcast_to(values, shape).reshape((1,) * (len(step.shape) - step.axes) + shape)
    return full


def _wants(step: Norm, index: int) -> Want:
    return Want(bits_max=min(BITS_MAX, spellings.layer_norm_limit(_count(step)).bit_length()))


NORM: Final = Rule(lower=_norm, wants=_wants)
