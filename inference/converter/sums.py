"""Weighted sums within 24 bits: how fine weights may be, and what rounding them and their inputs costs.

A convolution or a matrix is seen here as one array of weights[out, in, tap]: the products with one input
channel, for one output channel. Groups have an input channel only for their own outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.bounds import STEP_MIN
from inference.converter.program import Convolution, Integers, Matrix, Reals

SUM_MAX: Final = 2**24 - 1
"""Greatest magnitude of a sum, in steps."""

FINE_MAX: Final = -STEP_MIN - 12
"""Finest weights: beyond this nothing is gained, and the steps of what they meet need room."""

_COARSE_MAX: Final = 12
"""Coarsest weights: multiples of 2^12; larger ones come from scales that make no sense."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The weights of a linear step."""

    weights: Reals
    """float64[out, in of its group, tap]"""
    bias: Reals
    sources: Integers
    """int64[out, in of its group]: which input channel each weight meets."""

    def of_inputs(self, values: Reals) -> Reals:
        """Per input channel (or one for all) to per weight: [out, in, 1]."""
        if values.size == 1:
            return values.reshape(1, 1, 1)
        chosen: Reals = values.reshape(-1)[self.sources][:, :, None]
        return chosen


def kernel_of(step: Convolution | Matrix) -> Kernel:
    """The weights of either kind."""
    if isinstance(step, Matrix):
        inputs, outputs = step.weights.shape
        sources = np.broadcast_to(np.arange(inputs), (outputs, inputs))
        return Kernel(step.weights.T[:, :, None], step.bias, sources)
    groups = step.groups
    if step.transposed:
        inputs, outputs = step.weights.shape[0] // groups, step.weights.shape[1]
        parts = step.weights.reshape(groups, inputs, outputs, -1).transpose(0, 2, 1, 3)
        weights = parts.reshape(groups * outputs, inputs, -1)
    else:
        inputs, outputs = step.weights.shape[1], step.weights.shape[0] // groups
        weights = step.weights.reshape(groups * outputs, inputs, -1)
    first = np.repeat(np.arange(groups) * inputs, outputs)
    return Kernel(weights, step.bias, first[:, None] + np.arange(inputs))


def channels_of_input(step: Convolution | Matrix) -> int:
    """Input channels of a linear step."""
    if isinstance(step, Matrix) or step.transposed:
        return int(step.weights.shape[0])
    return int(step.weights.shape[1]) * step.groups


def shaped(step: Convolution | Matrix, weights: Reals) -> Reals:
    """Weights [out, in, tap] in the layout of the step: the inverse of `kernel_of`."""
    if isinstance(step, Matrix):
        return np.ascontiguousarray(weights[:, :, 0].T)
    if not step.transposed:
        return weights.reshape(step.weights.shape)
    groups, outputs = step.groups, step.weights.shape[1]
    parts = weights.reshape(groups, outputs, -1, weights.shape[2]).transpose(0, 2, 1, 3)
    return parts.reshape(step.weights.shape)


@dataclass(frozen=True, slots=True)
class Terms:
    """The whole numbers that enter a sum, per input channel or one for all: range and mean, in steps."""

    low: Reals
    high: Reals
    mean: Reals


@dataclass(frozen=True, slots=True)
class Whole:
    """Weights and bias as integers: each sum is a multiple of 2^-fine of the result's unit."""

    weights: Reals
    bias: Reals
    fine: Integers
    low: Reals
    """Least and greatest sum of any subset of the terms of each output, in units of the result."""
    high: Reals

    @property
    def bits(self) -> int:
        """Bits, the sign included, of the largest weight, for the output in the middle of all.

        Outputs that are always far beyond a limit have next to none, and need none.
        """
        return bits_of(np.abs(self.weights).max(axis=(1, 2)))


def bits_of(largest: Reals) -> int:
    """Bits, the sign included, of the number in the middle of all."""
    return int(np.sort(largest)[largest.size // 2]).bit_length() + 1


Rounded = Callable[[Reals, Integers, float], Reals]
"""Gives whole numbers for the weights[row, in, tap] of some outputs; none should be above a cap."""


def nearest(exact: Reals, rows: Integers, cap: float) -> Reals:
    """Each weight by itself."""
    whole: Reals = np.rint(exact)
    return whole


def carried(exact: Reals, rows: Integers, cap: float) -> Reals:
    """Each weight makes up for the error of those before it, for inputs that are much alike."""
    totals = np.rint(np.cumsum(exact.reshape(len(rows), -1), axis=1))
    whole: Reals = np.clip(np.diff(totals, axis=1, prepend=0.0), -cap, cap)
    return whole.reshape(exact.shape)


def finest(
    kernel: Kernel,
    terms: Terms,
    room: float,
    cap: float,
    fine_max: Integers | int = FINE_MAX,
    rounded: Rounded = nearest,
) -> Whole | None:
    """The weights times the largest power of two, for each output, that keeps every sum in 24 bits.

    `kernel` is in units of the result, per step of the terms; `room` is what will be added to the result
    before it is rounded; `cap` the greatest weight. What rounding the weights shifts the mean by goes into
    the bias. None if weights must be coarser than makes sense.
    """
    ends = (kernel.of_inputs(np.minimum(terms.low, 0)), kernel.of_inputs(np.maximum(terms.high, 0)))
    means = kernel.of_inputs(terms.mean)
    fine = _at_most(kernel, ends, room, cap, fine_max)
    weights, bias = np.empty_like(kernel.weights), np.empty_like(kernel.bias)
    low, high = np.empty_like(bias), np.empty_like(bias)
    rows = np.arange(len(bias))
    while rows.size:
        if (fine[rows] < -_COARSE_MAX).any():
            return None
        chosen = [each if each.shape[0] == 1 else each[rows] for each in (*ends, means)]
        exact = np.ldexp(kernel.weights[rows], fine[rows, None, None])
        whole = rounded(exact, rows, cap)
        shift = ((whole - exact).sum(axis=2, keepdims=True) * chosen[2]).sum(axis=(1, 2))
        offset = np.rint(np.ldexp(kernel.bias[rows], fine[rows]) - shift)
        below, above = _hull(whole, offset, chosen[0], chosen[1])
        beyond = np.ldexp(room, fine[rows])
        good = np.maximum(above, -below) + np.maximum(beyond, 0) <= SUM_MAX
        good &= np.rint(np.abs(exact)).max(axis=(1, 2), initial=0) <= cap
        done = rows[good]
        weights[done], bias[done] = whole[good], offset[good]
        low[done] = np.ldexp(below[good], -fine[done])
        high[done] = np.ldexp(above[good], -fine[done])
        rows = rows[~good]
        fine[rows] -= 1
    return Whole(weights, bias, fine, low, high)


def _hull(weights: Reals, bias: Reals, low: Reals, high: Reals) -> tuple[Reals, Reals]:
    """Least and greatest sum of any subset; exact in any order, being sums of integers below 2^53."""
    up, down = np.maximum(weights, 0).sum(axis=2), np.minimum(weights, 0).sum(axis=2)
    above = (up * high[:, :, 0] + down * low[:, :, 0]).sum(axis=1)
    below = (up * low[:, :, 0] + down * high[:, :, 0]).sum(axis=1)
    return below + np.minimum(bias, 0), above + np.maximum(bias, 0)


def _at_most(
    kernel: Kernel, ends: tuple[Reals, Reals], room: float, cap: float, fine_max: Integers | int
) -> Integers:
    """One more than what real weights allow: where the search begins."""
    below, above = _hull(kernel.weights, kernel.bias, *ends)
    reach = np.maximum(np.maximum(above, -below) + room, 2.0**-100)
    largest = np.maximum(np.abs(kernel.weights).max(axis=(1, 2), initial=0), 2.0**-100)
    fine = np.floor(np.minimum(np.log2(SUM_MAX / reach), np.log2(cap / largest))) + 1
    found: Integers = np.minimum(fine, fine_max).astype(np.int64)
    return found


@dataclass(frozen=True, slots=True)
class Moments:
    """What calibration says of a sum."""

    square: Reals
    """Mean square of its inputs, per input channel or one for all."""
    powers: Reals
    """Variance of each output, or one for all."""


def sum_noise(kernel: Kernel, width: Reals, moments: Moments, bits: float, steps: Reals) -> float:
    """Mean, over the outputs, of the predicted error's variance by the variance of the result.

    `width`: the reals that each input channel's integers cover; `bits`: of those integers; `steps`: the
    finest step, in reals, that each sum may have for other reasons than its own terms.
    """
    scale = kernel.of_inputs(width) / (2**bits - 1)
    magnitudes = np.abs(kernel.weights)
    reach = (magnitudes.sum(axis=2) * kernel.of_inputs(width)[:, :, 0]).sum(axis=1) * 0.5
    step = np.maximum(np.maximum(reach, 2.0**-100) * 2.0**-23.5, steps)
    taps = kernel.weights.shape[2]
    energy = (kernel.of_inputs(moments.square) / scale**2)[:, :, 0]
    terms = taps * (energy.sum(axis=1) if energy.shape[1] > 1 else energy[:, 0] * kernel.weights.shape[1])
    of_weights = step**2 * terms / 12
    of_inputs = (kernel.weights**2 * scale**2).sum(axis=(1, 2)) / 12
    return float(np.mean((of_weights + of_inputs) / moments.powers))


def effective_terms(kernel: Kernel, width: Reals) -> float:
    """How many of the largest terms the sum of an output amounts to, for the output with the most."""
    shares = np.abs(kernel.weights) * kernel.of_inputs(width)
    largest = shares.max(axis=(1, 2), initial=0)
    some = largest > 0
    return float((shares.sum(axis=(1, 2))[some] / largest[some]).max(initial=1.0))
