"""From layers to integers: scales, bits and weights such that no sum leaves the 24 bits that float32 holds.

Every channel of a layer gets a real scale of its own, so that all use the whole range of their integers; the
power of two by which its weights are fine lives in the weights themselves, as large as the bound allows. So
no product with a scale, and no rounding but one per layer, is left in the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isinf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.bounds import STEP_MAX, STEP_MIN
from inference.converter.arithmetic import Reals, row_sum, short_scale
from inference.converter.network import Layer
from inference.refusal import refuse

SUM_MAX: Final = 2**24 - 1
BITS_MIN: Final = 6
BITS_MAX: Final = 12
"""Least and most bits of an activation: fewer lose accuracy, more leave the weights too few."""

STEP_BITS_MAX: Final = -STEP_MIN
"""Finest step of a weight, since the integers that it meets have the step 1."""

INPUT_MARGIN: Final = 1.25
"""How far beyond the calibration samples, from their middle, an input may lie before it is limited."""
HIDDEN_MARGIN: Final = 1.0625

OWN_SCALES_MAX: Final = 96
"""Most features with scales of their own: their certificate stays below its limit, whatever the scales."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """The integers that stand for a tensor's real numbers: (integer - zero) * scale, per channel."""

    low: int
    high: int
    scales: Reals
    zeros: Integers

    @property
    def bits(self) -> int:
        return max(-self.low, self.high).bit_length() + (self.low < 0)


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """integers[in] to limited(round(integers * weights / 2^steps + bias / 2^steps))[out]."""

    weights: Integers
    bias: Integers
    steps: Integers
    """For each output, the power of two that its weights and bias are divided by."""
    grid: Grid
    """Of the result."""

    def apply(self, x: Integers) -> Integers:
        """For rows of inputs; exact, since every sum is below 2^24."""
        sums = (x @ self.weights + self.bias) * 2.0**-self.steps
        return np.clip(np.rint(sums), self.grid.low, self.grid.high).astype(np.int64)


def bits_for(layer: Layer, magnitudes: Reals) -> int:
    """Bits of the integers that enter a layer: half of what the number of its terms leaves of 24.

    `magnitudes` are the real magnitudes that its inputs reach.
    """
    shares = np.abs(layer.weights) * magnitudes[:, None]
    largest = np.max(shares, axis=0)
    terms = row_sum(shares)[largest > 0] / largest[largest > 0]
    effective = int(np.ceil(np.max(terms))) if terms.size else 1
    return min(max((24 - effective.bit_length()) // 2, BITS_MIN), BITS_MAX)


def input_grid(samples: Reals, bits: int) -> tuple[Grid, tuple[Fraction, ...]]:
    """Integers of `bits` bits around the middle of what each feature was seen to be, and the exact scales.

    Many features are taken for pixels or the like, which share one scale.
    """
    top = 2 ** (bits - 1) - 1
    low, high = samples.min(axis=0), samples.max(axis=0)
    if samples.shape[1] > OWN_SCALES_MAX:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    middle, reach = (low + high) / 2, (high - low) / 2 * INPUT_MARGIN
    reach = np.where(reach > 0, reach, np.maximum(np.abs(middle), 1.0))
    scales = tuple(short_scale(float(each) / top) for each in reach)
    zeros = [-round(Fraction(float(each)) / scale) for each, scale in zip(middle, scales, strict=True)]
    for channel, (scale, zero) in enumerate(zip(scales, zeros, strict=True)):
        if max(scale.numerator, scale.denominator, abs(zero)) >= 2**62:
            refuse(f"feature {channel} varies too little, or is too small or large, to be encoded", "input")
    shape = samples.shape[1:]
    real_scales = np.broadcast_to(np.array([float(scale) for scale in scales]), shape)
    return Grid(-top, top, real_scales, np.broadcast_to(np.array(zeros, dtype=np.int64), shape)), scales


def hidden_grid(layer: Layer, reached: Reals, bits: int) -> Grid:
    """Integers of `bits` bits for a limited result; `reached` is the greatest magnitude of each channel.

    Channels may have scales of their own only if no limit but zero has to mean the same in all of them.
    """
    top = 2**bits - 1 if layer.low >= 0 else 2 ** (bits - 1) - 1
    limits = [abs(limit) for limit in (layer.low, layer.high) if not isinf(limit) and limit]
    whole = max(limits) if limits else max(float(reached.max()) * HIDDEN_MARGIN, 2.0**-40)
    per_channel = np.full(reached.shape, whole / top)
    if not limits:
        own = reached * HIDDEN_MARGIN / top
        per_channel = np.where(own > whole / top * 2**-10, own, per_channel)
    low = -top if layer.low == -inf else round(layer.low / (whole / top))
    high = top if layer.high == inf else round(layer.high / (whole / top))
    return Grid(low, high, per_channel, np.zeros(reached.shape, dtype=np.int64))


def lower(layer: Layer, source: Grid, grid: Grid) -> IntegerLayer:
    """The layer on integers, each output as fine as its sums allow."""
    weights, bias = _in_units(layer, source, grid.scales)
    columns = [
        _finest(column, each, source, layer.name) for column, each in zip(weights.T, bias, strict=True)
    ]
    return IntegerLayer(
        weights=np.stack([column for column, _, _ in columns], axis=1),
        bias=np.array([each for _, each, _ in columns], dtype=np.int64),
        steps=np.array([steps for _, _, steps in columns], dtype=np.int64),
        grid=grid,
    )


def lower_scores(layer: Layer, source: Grid) -> tuple[IntegerLayer, Fraction]:
    """The last layer: whole weights and one scale for all scores, as fine as the largest sum allows."""
    weights, bias = _in_units(layer, source, np.ones(layer.bias.shape))
    magnitude = max(-source.low, source.high)
    reach = float(np.max(row_sum(np.abs(weights)) * magnitude + np.abs(bias)))
    room = SUM_MAX - (weights.shape[0] + 1) * magnitude
    if room < SUM_MAX // 2:
        refuse(f"{weights.shape[0]} terms of {magnitude} leave no room for weights", layer.name)
    scale = short_scale(max(reach, 2.0**-40) / room)
    integers = np.rint(weights / float(scale)).astype(np.int64)
    offsets = np.rint(bias / float(scale)).astype(np.int64)
    grid = Grid(-SUM_MAX, SUM_MAX, np.full(bias.shape, float(scale)), np.zeros(bias.shape, dtype=np.int64))
    return IntegerLayer(integers, offsets, np.zeros(bias.shape, dtype=np.int64), grid), scale


def _in_units(layer: Layer, source: Grid, scales: Reals) -> tuple[Reals, Reals]:
    """Weights and bias for integers of `source`, with results in units of `scales`."""
    weights = layer.weights * source.scales[:, None]
    offset = layer.bias - row_sum(weights * source.zeros[:, None].astype(np.float64))
    return weights / scales, offset / scales


def _finest(weights: Reals, bias: float, source: Grid, name: str) -> tuple[Integers, int, int]:
    """The weights and bias of one output times the largest power of two that keeps its sums in 24 bits."""
    fine = [*(float(each) for each in weights), bias]
    largest = max(abs(each) for each in fine)
    for steps in range(STEP_BITS_MAX, -STEP_MAX - 1, -1):
        if largest * 2.0**steps <= SUM_MAX:
            *integers, offset = (round(each * 2.0**steps) for each in fine)
            if _reach(integers, offset, source) <= SUM_MAX:
                break
    else:
        refuse("the weights are too large for any step", name)
    return np.array(integers, dtype=np.int64), offset, steps


def _reach(weights: Sequence[int], bias: int, source: Grid) -> int:
    """The greatest magnitude of any subset of the products and the bias."""
    ends = [(weight * source.low, weight * source.high) for weight in weights]
    above = max(bias, 0) + sum(max(*pair, 0) for pair in ends)
    below = min(bias, 0) + sum(min(*pair, 0) for pair in ends)
    return max(above, -below)
