"""Which integers stand for each tensor: grids that readers can share.

How many bits each gets says `bits`; here they become scales, and the ends of what has an integer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, inf
from typing import Final

import numpy as np

from inference.converter.arithmetic import short_scale
from inference.converter.bits import BYTE_BITS, Bits, choice_of_bits, is_fixed
from inference.converter.code import Grid, channel_array, one
from inference.converter.groups import Wiring, moved
from inference.converter.lower_linear import is_padded
from inference.converter.lower_moves import joined, moved_scale
from inference.converter.options import Method, Options
from inference.converter.plan import Correlation, Plan, Spread
from inference.converter.program import (
    Combination,
    Combine,
    Convolution,
    Form,
    Integers,
    Map,
    Matrix,
    Move,
    Movement,
    Reals,
    Reduce,
    Reduction,
    Source,
    Step,
    Trees,
)
from inference.converter.ranges import TINY, scale_for, short_scales, whole_ends
from inference.converter.registry import given_by, rule_of
from inference.converter.rule import BITS_MAX, Want
from inference.converter.sharing import Sharing, Survey, share
from inference.converter.sums import (
    SUM_MAX,
    channels_of_input,
    kernel_of,
)
from inference.refusal import refuse

MARGIN: Final = 1.0625
"""How far beyond what was seen, by its size, a tensor's integers reach."""

BYTE_MAX: Final = 2**BYTE_BITS - 1
"""What activations have if all are to be bytes."""

THRESHOLDS_MAX: Final = 16.0
"""How far beyond what was seen, by its width, thresholds of trees are told apart."""

INPUT_MARGIN: Final = 1.25
"""The same for an input of a table of features, from the middle of what was seen."""

SCORE_BITS: Final = 16
"""Bits of scores that are not whole sums of a linear step."""


def allocate(
    survey: Survey,
    spreads: Mapping[str, Spread],
    correlations: Mapping[str, Correlation],
    pixels: Mapping[str, Fraction],
    options: Options,
) -> Plan:
    """A grid for every tensor. `pixels`: inputs that only take multiples of a number, and that number."""
    sharing, bits = share(survey, options.int8), choice_of_bits(survey, spreads, options)
    return _Allocation(survey, sharing, spreads, correlations, pixels, options, bits).plan()


@dataclass(slots=True)
class _Allocation:
    """One allocation in progress."""

    survey: Survey
    sharing: Sharing
    spreads: Mapping[str, Spread]
    correlations: Mapping[str, Correlation]
    pixels: Mapping[str, Fraction]
    options: Options
    bits: Bits
    grids: dict[str, Grid] = field(default_factory=dict)
    scales: dict[str, tuple[Fraction, ...]] = field(default_factory=dict)
    zeros: dict[str, Integers] = field(default_factory=dict)
    wider: dict[str, float] = field(default_factory=dict)
    """How much further than planned a tensor reaches."""

    @property
    def wiring(self) -> Wiring:
        return self.survey.wiring

    def plan(self) -> Plan:
        program = self.wiring.program
        for names in self.survey.groups.members().values():
            self._allot(names)
        return Plan(
            program=program,
            options=self.options,
            spreads=self.spreads,
            correlations=self.correlations,
            grids=self.grids,
            steps=self.wiring.steps,
            unrounded=self.sharing.unrounded,
            deferred=self.bits.deferred,
            means=self.bits.means,
            scores=self.sharing.scores,
            addends=self.sharing.addends,
            bends=self.sharing.bends,
            source_scales=self.scales,
            source_zeros=self.zeros,
        )

    # The grids of one group.

    def _allot(self, names: Sequence[str]) -> None:
        first = names[0]
        source = next((each for each in self.wiring.program.sources if each.name == first), None)
        elsewhere = moved(self.wiring, list(names))
        native = [name for name in names if name not in elsewhere]
        own = self.sharing.has_own(first)
        if source is not None and not source.dtype.startswith("float"):
            scale: Reals = one(1.0)
            ends = {name: whole_ends(self.spreads[name], self.wiring.readings[name]) for name in names}
        elif first in self.sharing.scores:
            scale = self._score_scale(first)
            ends = dict.fromkeys(names, (-SUM_MAX, SUM_MAX))
        elif source is not None:
            scale, ends = self._source(source, names, own)
        else:
            scale = self._scale(names, native, own)
            ends = {}
            for name in names:
                maker = self.wiring.steps[name]
                alike = name in elsewhere and isinstance(maker, Move) and ends.keys() >= {*maker.inputs}
                ends[name] = _hull(ends, maker.inputs) if alike else self._ends(name, scale, own)
        axis = self.survey.axes[first]
        array = (
            channel_array(scale, len(self.wiring.shapes[first]), axis)
            if scale.size > 1
            else scale.reshape(())
        )
        for name in names:
            step = self.wiring.steps.get(name)
            here = array
            if isinstance(step, Move) and step.movement is Movement.CONCAT and array.size > 1:
                here = self._joined(step)
            elif name in elsewhere and isinstance(step, Move) and array.size > 1:
                (x,) = step.inputs
                here = moved_scale(step, self.grids[x].scale, self.wiring.shapes[x])
            self.grids[name] = Grid(here, *ends[name])

    def _joined(self, step: Move) -> Reals:
        (axis,) = step.arguments["axis"]
        shaped = [_Shaped(self.wiring.shapes[each]) for each in step.inputs]
        scales: Reals = joined([self.grids[each].scale for each in step.inputs], shaped, axis)
        return scales

    def _reach(self, name: str) -> tuple[Reals, Reals]:
        """Least and greatest value of each channel that shall have an integer."""
        spread, step = self.spreads[name], self.wiring.steps.get(name)
        if _is_within(step) and not is_fixed(self.options):
            assert step is not None
            low, high = self._reach(step.inputs[0])
            if low.size == spread.low.size:
                return low, high
        margin = MARGIN if self.options.method is Method.MINMAX else 1.0
        margin *= self.wider.get(name, 1.0)
        low, high = np.minimum(spread.low, 0) * margin, np.maximum(spread.high, 0) * margin
        reader = self.wiring.sole_reader(name)
        if isinstance(reader, Map) and reader.form is Form.HARD_SWISH:
            slope, shift = reader.parameters
            low = np.maximum(low, -shift / slope)
        if self.options.int8:
            low = np.minimum(low, self._foot(name))
        if isinstance(step, Map) and step.form is Form.CLIP:
            low, high = np.maximum(low, min(step.parameters[0], 0)), np.minimum(high, step.parameters[1])
        return low, high

    def _foot(self, name: str) -> float:
        """The integers of a hard sigmoid are a part of its bytes if these begin where it does, or before."""
        readers = [reader for reader, _ in self.wiring.readings[name] if isinstance(reader, Map)]
        feet = [-each.parameters[1] / each.parameters[0] for each in readers if each.form is Form.HARD_SWISH]
        return min(feet, default=0.0)

    def _scale(self, names: Sequence[str], native: Sequence[str], own: bool) -> Reals:
        """The scale, per channel or one, with the bits that make the least error."""
        low, high = self._range(native, own)
        derived = self._derived(names)
        concat = self.wiring.steps[names[0]]
        wants = [self._wants(name) for name in names]
        if isinstance(concat, Move) and concat.movement is Movement.CONCAT and own:
            scale = self._joined(concat).reshape(-1)
            bits = max(self.grids[each].bits for each in concat.inputs)
            self.bits.undefer(names, one(scale.max() * (2**bits - 1)), bits)
            return scale
        fixed = next((want.scale for each in wants for want in each if want.scale), 0.0)
        if fixed:
            return one(fixed)
        most = min(want.bits_max for each in wants for want in each)
        width = scale_for(low, high, BITS_MAX) * (2**BITS_MAX - 1)
        wider = self.bits.wider(names, width, most)
        self.wider.update(dict.fromkeys(names, wider))
        bits = self.bits.least_noisy(names, width * wider, most)
        scale = scale_for(low * wider, high * wider, bits)
        unit = next((want.unit for each in wants for want in each if want.unit), 0.0)
        if unit:
            # A hard swish is a product of that many steps by that many parts of a unit.
            scale = np.maximum(scale, np.sqrt(np.maximum(-low, high) * wider * unit / SUM_MAX))
            return unit * 2.0 ** np.ceil(np.log2(scale / unit) - 1e-6)
        if derived is not None and derived.size in (1, scale.size):
            base = derived.reshape(-1) if derived.size > 1 else derived.reshape(())
            octaves = np.ceil(np.log2(scale / base) - 1e-6)
            # Products of bytes have one scale for all channels.
            return base * 2.0 ** (octaves.max() if self.options.int8 else octaves)
        return short_scales(scale)

    def _range(self, native: Sequence[str], own: bool) -> tuple[Reals, Reals]:
        """What the members of a group that are rounded reach, per channel or in all."""
        counted = [name for name in native if name not in self.sharing.unrounded] or list(native)
        reaches = [self._reach(name) for name in counted]
        if own:
            return (
                np.minimum.reduce([low for low, _ in reaches]),
                np.maximum.reduce([high for _, high in reaches]),
            )
        return (
            np.array([min(float(low.min()) for low, _ in reaches)]),
            np.array([max(float(high.max()) for _, high in reaches)]),
        )

    def _derived(self, names: Sequence[str]) -> Reals | None:
        """The scale that a member has by itself, if its inputs' grids are known."""
        for name in names:
            step = self.wiring.steps.get(name)
            if step is not None and all(each in self.grids for each in step.inputs):
                found = rule_of(step).derives(step, self.grids, self.wiring.shapes)
                if found is not None:
                    return found
        return self._gate(names)

    def _gate(self, names: Sequence[str]) -> Reals | None:
        """For the factor of a product whose grid is known already: what its scale must be for that."""
        for name in names:
            for reader, index in self.wiring.readings[name]:
                if not isinstance(reader, Combine) or reader.combination is not Combination.MULTIPLY:
                    continue
                other = reader.inputs[1 - index]
                if reader.name in self.grids and other in self.grids:
                    ratio = self.grids[reader.name].scale / self.grids[other].scale
                    if ratio.size == 1 or np.ptp(ratio) <= 1e-9 * ratio.max():
                        return one(float(ratio.reshape(-1)[0]))
        return None

    def _wants(self, name: str) -> list[Want]:
        wants = [rule_of(reader).wants(reader, index) for reader, index in self.wiring.readings[name]]
        if name in self.wiring.steps:
            wants.append(given_by(self.wiring.steps[name]))
        if name in self.wiring.sinks:
            sole = not self.wiring.readings[name]
            wants = [
                Want(want.bits_max if not sole else SCORE_BITS, unit=want.unit, scale=want.scale)
                for want in wants
            ]
        return wants

    def _ends(self, name: str, scale: Reals, own: bool) -> tuple[int, int]:
        """The least and greatest integers, the same for all channels."""
        low, high = self._reach(name)
        if not own:
            low, high, scale = low.min(keepdims=True), high.max(keepdims=True), np.min(scale, keepdims=True)
        least, greatest = float(np.min(low / scale)), float(np.max(high / scale))
        ends = floor(least + 1e-6), ceil(greatest - 1e-6)
        return self._byte_ends(name, ends) if self.options.int8 else ends

    def _byte_ends(self, name: str, ends: tuple[int, int]) -> tuple[int, int]:
        """The same, as 256 integers if it is so many but for rounding.

        More than were seen cost nothing, and a limit that is a byte's own needs no Clip; but the end of a
        limited tensor may stand for its limit. What stands for zero is even (`inference/twin/factors.py`).
        """
        low, high = ends[0] - ends[0] % 2, ends[1]
        step = self.wiring.steps.get(name)
        limited = isinstance(step, Map) and step.form is Form.CLIP and step.parameters[1] < inf
        if name in self.sharing.unrounded or high - low > BYTE_MAX + 2:
            return ends
        if high - low > BYTE_MAX:
            low, high = max(low, -BYTE_MAX), min(high, BYTE_MAX)
            return (low, low + BYTE_MAX) if high > -low else (high - BYTE_MAX, high)
        return (low, high) if limited or low > 0 else (low, low + BYTE_MAX)

    # Inputs and outputs.

    def _source(
        self, source: Source, names: Sequence[str], own: bool
    ) -> tuple[Reals, dict[str, tuple[int, int]]]:
        """The grid of a real input, with its exact scales."""
        low, high = self._told_apart(source)
        unit = self.pixels.get(source.name)
        if unit is not None and not (self.options.int8 and low.min() < 0):
            scales: tuple[Fraction, ...] = (unit,)
            zeros = np.zeros(1, dtype=np.int64)
            ends = (-255 if low.min() < 0 else 0, 255)
        else:
            scales, zeros, ends = self._real(source, names, low, high, own)
        self.scales[source.name], self.zeros[source.name] = scales, zeros
        scale = np.array([float(each) for each in scales])
        least, greatest = int(ends[0] - zeros.max()), int(ends[1] - zeros.min())
        return scale, dict.fromkeys(names, (least, greatest))

    def _told_apart(self, source: Source) -> tuple[Reals, Reals]:
        """Least and greatest of each channel that make a difference: what was seen, and what trees ask for.

        Beyond its outermost thresholds a feature may be limited: it takes the same branches.
        """
        spread = self.spreads[source.name]
        low, high = spread.low.copy(), spread.high.copy()
        far = THRESHOLDS_MAX * np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
        for trees in (step for step, _ in self.wiring.readings[source.name] if isinstance(step, Trees)):
            inner = trees.left >= 0
            features = trees.features[inner]
            asked = np.clip(
                trees.thresholds[inner], (spread.low - far)[features], (spread.high + far)[features]
            )
            np.minimum.at(low, features, asked)
            np.maximum.at(high, features, asked)
        return low, high

    def _real(
        self, source: Source, names: Sequence[str], low: Reals, high: Reals, own: bool
    ) -> tuple[tuple[Fraction, ...], Integers, tuple[int, int]]:
        """Around the middle of what was seen, or around zero if zero has a meaning (as in a padded image)."""
        if not own:
            low, high = low.min(keepdims=True), high.max(keepdims=True)
        readers = [reader for reader, _ in self.wiring.readings[source.name]]
        centred = all(
            isinstance(each, Trees) or (isinstance(each, Convolution | Matrix) and not is_padded(each))
            for each in readers
        )
        middle = (low + high) / 2 if centred else np.zeros_like(low)
        reach = np.maximum(high - middle, middle - low) * INPUT_MARGIN
        reach = np.where(reach > 0, reach, np.maximum(np.abs(middle), 1.0))
        signed = bool(centred or low.min() < 0)
        most = min(want.bits_max for want in self._wants(source.name))
        reach *= self.bits.wider(names, 2 * reach if signed else reach, most)
        bits = self.bits.least_noisy(names, 2 * reach if signed else reach, most)
        top = 2 ** (bits - signed) - 1
        scales = tuple(short_scale(float(each) / top) for each in reach)
        zeros = [-round(Fraction(float(each)) / scale) for each, scale in zip(middle, scales, strict=True)]
        for channel, (scale, zero) in enumerate(zip(scales, zeros, strict=True)):
            if max(scale.numerator, scale.denominator, abs(zero)) >= 2**62:
                refuse(
                    f"feature {channel} varies too little, or is too small or large, to be encoded",
                    source.name,
                )
        return scales, np.array(zeros, dtype=np.int64), (-top if signed else 0, top)

    def _score_scale(self, name: str) -> Reals:
        """One scale for all scores, so fine that the largest sum just fits 24 bits, or all its parts do."""
        step = self.wiring.steps[name]
        assert isinstance(step, Convolution | Matrix)
        kernel = kernel_of(step)
        grid = self.grids[step.inputs[0]]
        scale = (
            grid.scale.reshape(-1)
            if grid.scale.size in (1, channels_of_input(step))
            else np.array([grid.scale.max()])
        )
        terms = kernel.weights.shape[1] * kernel.weights.shape[2] + 1
        room = SUM_MAX - terms * grid.magnitude
        if room < SUM_MAX // 2 and self.options.int8:
            refuse(f"{terms} terms of {grid.magnitude} leave no room for weights", name)
        room = max(room, SUM_MAX // 2)  # Such a sum may be made in parts.
        shares = np.abs(kernel.weights) * kernel.of_inputs(scale) * grid.magnitude
        reach = float((shares.sum(axis=(1, 2)) + np.abs(kernel.bias)).max())
        return one(float(short_scale(max(reach, TINY) / room)))


def _is_within(step: Step | None) -> bool:
    """What cannot leave the limits of its input needs none of its own."""
    gated = isinstance(step, Combine) and step.combination is Combination.GATE
    return gated or (isinstance(step, Reduce) and step.reduction is Reduction.MEAN)


@dataclass(frozen=True, slots=True)
class _Shaped:
    """Something with a shape."""

    shape: tuple[int, ...]


def _hull(ends: Mapping[str, tuple[int, int]], names: Sequence[str]) -> tuple[int, int]:
    return min(ends[name][0] for name in names), max(ends[name][1] for name in names)
