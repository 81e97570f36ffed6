"""How the inputs of sums go together, so that the errors of rounded weights can make up for one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.converter.calibrate import Floats, View, short
from inference.converter.options import Sample, Watch
from inference.converter.plan import Correlation
from inference.converter.program import Convolution, Integers, Matrix, Program, Reals

Array = NDArray[Any]

TERMS_MAX: Final = 1024
"""Most terms of a sum whose weights are rounded together: the work grows with their square."""

ENTRIES_MAX: Final = 1 << 21
"""Most entries of one step's covariance: a mean over an image would have many, and is rounded as well without
(`sums.carried`)."""

SAMPLES_MAX: Final = 64
"""Samples that are enough for this."""

PLACES_MAX: Final = 256
"""Places of one sample at which a sum's inputs are taken, evenly spread."""


def correlate(
    program: Program, views: Mapping[str, View], floats: Floats, samples: Sequence[Sample], watch: Watch
) -> dict[str, Correlation]:
    """By the name of the linear step. Raises EngineError."""
    steps = [step for step in program.steps if _is_considered(step)]
    meters = {step.name: _Meter() for step in steps}
    for index, sample in enumerate(samples[:SAMPLES_MAX]):
        watch("correlating", index, min(len(samples), SAMPLES_MAX))
        arrays = floats.run(sample)
        for step in steps:
            meters[step.name].add(_places(step, views[step.inputs[0]].of(arrays)))
    return {name: meter.correlation() for name, meter in meters.items()}


def _is_considered(step: object) -> bool:
    if isinstance(step, Matrix):
        return len(step.weights) <= TERMS_MAX
    if not isinstance(step, Convolution) or step.transposed:
        return False
    terms = prod(step.weights.shape[1:])
    return terms <= TERMS_MAX and step.groups * terms**2 <= ENTRIES_MAX


@dataclass(slots=True)
class _Meter:
    """Sums over places."""

    count: int = 0
    total: Reals | float = 0.0
    products: Reals | float = 0.0

    def add(self, places: Reals) -> None:
        """float64[groups, places, terms]"""
        self.count += places.shape[1]
        self.total = self.total + places.sum(axis=1)
        self.products = self.products + places.transpose(0, 2, 1) @ places

    def correlation(self) -> Correlation:
        mean = np.asarray(self.total) / self.count
        covariance = np.asarray(self.products) / self.count - mean[:, :, None] * mean[:, None, :]
        return Correlation(short(covariance), self.count)


def _places(step: Any, array: Array) -> Reals:
    """What some sums of a linear step are made of: float64[groups, places, terms]."""
    if isinstance(step, Matrix):
        rows = array.reshape(-1, array.shape[-1])
        return rows[_spread(len(rows))][None].astype(np.float64)
    window = step.window
    padding = [(0, 0), *zip(window.before, window.after, strict=True)]
    padded = np.pad(array[0], padding)
    at = np.unravel_index(_spread(prod(step.shape[2:])), step.shape[2:])
    taps = np.unravel_index(np.arange(prod(window.kernel)), window.kernel)
    index = tuple(
        place[:, None] * stride + tap * dilation
        for place, tap, stride, dilation in zip(at, taps, window.strides, window.dilations, strict=True)
    )
    found = padded[(slice(None), *index)]
    inputs = found.reshape(step.groups, -1, *found.shape[1:]).transpose(0, 2, 1, 3)
    return inputs.reshape(step.groups, found.shape[1], -1).astype(np.float64)


def _spread(count: int) -> Integers:
    """Some of so many places."""
    some = min(count, PLACES_MAX)
    return np.arange(some) * count // some
