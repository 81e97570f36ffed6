"""How many bits each group of tensors gets: those that make the least error.

Per linear step the bits of the activations, those of the weights and the logarithm of the number of terms
add up to 24. So for each group of tensors that share a grid, the number of bits is the one at which the
predicted errors of all linear steps that read it, from rounding their inputs and from rounding their weights,
are least.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, log2
from typing import Final

import numpy as np

from inference.converter.code import one
from inference.converter.deferral import DEFERRED_BITS, MEAN_NOISE_MAX, NOISE_MAX, deferrals, means
from inference.converter.options import Method, Options
from inference.converter.plan import Deferral, Spread
from inference.converter.program import Convolution, Form, Map, Matrix, Reals
from inference.converter.ranges import TINY, is_open
from inference.converter.rule import BITS_MAX, BITS_MIN
from inference.converter.sharing import Survey
from inference.converter.sums import Moments, channels_of_input, effective_terms, kernel_of, sum_noise

WIDER: Final = (4.0, 2.0, 1.5)
"""How much further, where that costs next to nothing: samples are few, and what comes may be larger."""

NEXT_TO_NOTHING: Final = 2.0**-16
"""Predicted variance of the error of a sum, by that of the sum: 0.4 %."""

BYTE_BITS: Final = 8
"""Of every activation, if all are to be bytes."""


def is_fixed(options: Options) -> bool:
    """Whether the bits of activations or weights were asked for."""
    return options.int8 or options.weight_bits is not None


def choice_of_bits(survey: Survey, spreads: Mapping[str, Spread], options: Options) -> "Bits":
    """Before any group has its bits."""
    if is_fixed(options):
        return Bits(survey, spreads, options, {}, {})
    return Bits(survey, spreads, options, deferrals(survey.wiring), means(survey.wiring))


@dataclass(slots=True)
class Bits:
    """A choice in progress."""

    survey: Survey
    spreads: Mapping[str, Spread]
    options: Options
    deferred: dict[str, Deferral]
    """Sums left unrounded: those found good enough, once what makes them has its bits."""
    means: dict[str, int]
    """Means read as sums, likewise, and of how many terms."""

    def least_noisy(self, names: Sequence[str], width: Reals, most: int) -> int:
        """At which the predicted errors of the linear steps that read the group are least."""
        readers = self._sums(names)
        if self.options.int8:
            return min(most, BYTE_BITS)
        if not readers:
            return most
        if self.options.weight_bits is not None:
            return min(self._rest(each, width) for each in readers)
        if any(each.read in names for each in self.deferred.values()):
            return min(DEFERRED_BITS, most)
        candidates = range(min(BITS_MIN, most), most + 1)
        best = min(candidates, key=lambda bits: sum(self._noises(names, width, bits)))
        return self.least_noisy(names, width, most) if self.undefer(names, width, best) else best

    def undefer(self, names: Sequence[str], width: Reals, bits: int) -> bool:
        """Have sums rounded that would be too noisy; says whether there were any."""
        noises = [(each, self._noise(each, width, bits)) for each in self._sums(names)]
        noisy = {each.step.name for each, noise in noises if noise > NOISE_MAX}
        noisy |= {each.mean for each, noise in noises if noise > MEAN_NOISE_MAX}
        before = self.deferred.keys() | self.means.keys()
        self.deferred = {name: each for name, each in self.deferred.items() if name not in noisy}
        self.means = {name: count for name, count in self.means.items() if name not in noisy}
        return not noisy.isdisjoint(before)

    def wider(self, names: Sequence[str], width: Reals, most: int) -> float:
        """How much further than planned a group reaches; sums left unrounded would be coarser."""
        if any(each.read in names for each in self.deferred.values()):
            return 1.0
        if (
            is_fixed(self.options)
            or self.options.method is not Method.MINMAX
            or not self._is_open_ended(names)
        ):
            return 1.0
        for wider in WIDER:
            noises = [self._noises(names, width * wider, bits) for bits in range(BITS_MIN, most + 1)]
            if min(max(each, default=inf) for each in noises) <= NEXT_TO_NOTHING:
                return wider
        return 1.0

    def _is_open_ended(self, names: Sequence[str]) -> bool:
        """Whether only sums, and limits that no grid's end stands for, make and read a group."""
        members = [self.survey.wiring.steps[name] for name in names if name in self.survey.wiring.steps]
        readers = [reader for name in names for reader, _ in self.survey.wiring.readings[name]]
        return all(is_open(step) for step in (*members, *readers))

    def _rest(self, reading: "_Reading", width: Reals) -> int:
        """What the weights and the number of terms leave of 24."""
        assert self.options.weight_bits is not None
        terms = effective_terms(kernel_of(reading.step), reading.width(width))
        return min(max(24 - (self.options.weight_bits - 1) - ceil(log2(terms)), 2), BITS_MAX)

    def _sums(self, names: Sequence[str]) -> "list[_Reading]":
        """The linear steps that read a group, perhaps through an affine map, which has the same integers."""
        found = []
        for name in names:
            for step, _ in self.survey.wiring.readings[name]:
                if isinstance(step, Convolution | Matrix):
                    found.append(_Reading(step, name, one(1.0)))
                elif isinstance(step, Map) and step.form is Form.AFFINE:
                    factor = np.abs(step.scale).reshape(-1)
                    found += [_Reading(each.step, each.name, factor) for each in self._sums([step.name])]
                elif step.name in self.means:
                    group = self.survey.groups.of(step.name)
                    read = self._sums(self.survey.groups.members()[group])
                    found += [replace(each, mean=step.name) for each in read]
        return found

    def _noises(self, names: Sequence[str], width: Reals, bits: int) -> list[float]:
        return [self._noise(each, width, bits) for each in self._sums(names)]

    def _noise(self, reading: "_Reading", width: Reals, bits: int) -> float:
        step, width = reading.step, reading.width(width)
        spread, result = self.spreads.get(reading.name), self.spreads[step.name]
        square = spread.square if spread is not None else width**2 / 3
        if square.size not in (1, channels_of_input(step)):
            square = np.array([square.mean()])
        power = np.maximum(result.square - result.mean**2, result.square * 2.0**-10)
        power = np.maximum(power, max(float(power.max()) * 2.0**-10, TINY**2))
        if power.size != len(step.bias):
            power = np.array([power.mean()])
        deferral, steps = self.deferred.get(step.name), np.zeros(1)
        if deferral is not None:
            reach = self.spreads[deferral.read]
            steps = deferral.finest_steps(np.maximum(-reach.low, reach.high))
        more = log2(self.means.get(reading.mean, 1))
        return sum_noise(kernel_of(step), width, Moments(square, power), bits + more, steps)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A linear step, and the tensor of its input: one that is allotted, that times a factor, or its mean."""

    step: Convolution | Matrix
    name: str
    factor: Reals
    mean: str = ""
    """The mean by which it is read, if it is."""

    def width(self, width: Reals) -> Reals:
        """What each channel of the input covers, given what the tensor that is allotted covers."""
        return self._fitting(width) * self._fitting(self.factor)

    def _fitting(self, values: Reals) -> Reals:
        return values if values.size in (1, channels_of_input(self.step)) else np.array([values.max()])
