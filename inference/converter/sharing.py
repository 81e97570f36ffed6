"""Which tensors can share what: one scale or one for each channel, rounding done once, whole scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inference.converter.code import channel_array
from inference.converter.groups import Groups, Wiring, channel_axes, moved, wire
from inference.converter.lower_linear import channel_axis, is_linear
from inference.converter.lower_moves import moved_scale
from inference.converter.program import (
    Combination,
    Combine,
    Convolution,
    Form,
    Map,
    Matrix,
    Move,
    Movement,
    Pool,
    Program,
    Reals,
    Reduce,
    Step,
    Trees,
)
from inference.converter.registry import given_by, rule_of

OWN_SCALES_MAX: Final = 96
"""Most features with scales of their own: their certificate stays below its limit, whatever the scales."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a program before calibration."""

    wiring: Wiring
    groups: Groups
    axes: Mapping[str, int]
    """The dimension of each tensor's channels."""


def survey(program: Program) -> Survey:
    """Raises Refused for a step that has no rule."""
    wiring = wire(program)
    groups = Groups(wiring)
    return Survey(wiring, groups, channel_axes(wiring, groups))


def share(survey: Survey, int8: bool) -> "Sharing":
    """Decided from the wiring, and whether all tensors are to be bytes. Joins the groups of parts that must
    share a scale."""
    sharing = Sharing(survey, int8)
    sharing.decide()
    return sharing


def other_input(reader: Combine, name: str) -> str:
    """The tensor that meets another."""
    return reader.inputs[1] if reader.inputs[0] == name else reader.inputs[0]


@dataclass(slots=True)
class Sharing:
    """What the wiring of a program allows."""

    survey: Survey
    int8: bool
    """A sum of bytes takes both as bytes, and a pool as well: only limits take unrounded results."""
    unrounded: frozenset[str] = frozenset()
    """Results that their only reader takes as they come."""
    scores: frozenset[str] = frozenset()
    """First members of groups that leave the model as whole sums."""
    addends: Mapping[str, str] = field(default_factory=dict)
    """For those that are added to something: what."""
    bends: Mapping[str, Map] = field(default_factory=dict)
    """For unrounded results that a hard swish takes: that."""
    _own: dict[str, bool] = field(default_factory=dict)

    @property
    def wiring(self) -> Wiring:
        return self.survey.wiring

    def decide(self) -> None:
        self._join_parts()
        self._own.clear()
        self.unrounded = frozenset(name for name in self.wiring.steps if self._is_unrounded(name))
        self.addends = {
            name: other_input(reader, name)
            for name in sorted(self.unrounded)
            if isinstance(reader := self.wiring.sole_reader(name), Combine)
        }
        self.bends = {
            name: reader
            for name in sorted(self.unrounded)
            if isinstance(reader := self.wiring.sole_reader(name), Map) and reader.form is Form.HARD_SWISH
        }
        members = self.survey.groups.members()
        self.scores = frozenset(first for first, names in members.items() if self._is_scores(names))

    def _join_parts(self) -> None:
        """Concatenated tensors share one scale unless every reader can do with scales of their own."""
        for step in reversed(self.wiring.program.steps):
            if isinstance(step, Move) and step.movement is Movement.CONCAT:
                self._own.clear()
                (axis,) = step.arguments["axis"]
                parts = (step.name, *step.inputs)
                alike = all(self.survey.axes[each] == axis for each in parts)
                # Scales of its own need those of its parts, which come before it only if it leads its group.
                leads = self.survey.groups.of(step.name) == step.name
                if not alike or not leads or not self.has_own(step.name):
                    for name in step.inputs:
                        self.survey.groups.join(step.name, name)

    def has_own(self, name: str) -> bool:
        """Whether every member of the group can have a scale for each channel."""
        first = self.survey.groups.of(name)
        if first not in self._own:
            self._own[first] = False
            self._own[first] = self._can_have_own(self.survey.groups.members()[first])
        return self._own[first]

    def _can_have_own(self, names: Sequence[str]) -> bool:
        wiring, axes = self.wiring, self.survey.axes
        elsewhere = moved(wiring, list(names))
        native = [name for name in names if name not in elsewhere]
        layouts = {
            (axes[name], wiring.shapes[name][axes[name]] if wiring.shapes[name] else 1) for name in native
        }
        ranks = {len(wiring.shapes[name]) for name in native}
        if len(layouts) > 1 or len(ranks) > 1 or not wiring.sinks.isdisjoint(names):
            return False
        if any(not isinstance(wiring.steps[name], Move) for name in elsewhere):
            return False
        return all(self._member_can(name, set(names)) for name in names)

    def _member_can(self, name: str, names: set[str]) -> bool:
        step = self.wiring.steps.get(name)
        if step is None:
            return self._source_can(name)
        gives = given_by(step)
        if not gives.per_channel or gives.unit or gives.scale:
            return False
        return all(
            self._reader_can(name, reader, index, names) for reader, index in self.wiring.readings[name]
        )

    def _reader_can(self, name: str, reader: Step, index: int, names: set[str]) -> bool:
        want = rule_of(reader).wants(reader, index)
        if want.follows:
            if reader.name in names:
                return True
            varies = self.survey.axes[name]
            if isinstance(reader, Reduce) and (varies in reader.axes or not self._keeps(reader, name)):
                return False
            return self.has_own(reader.name)
        if isinstance(reader, Convolution | Matrix):
            scales = self._where_moved(name, moved(self.wiring, sorted(names)))
            varying = {axis for axis, size in enumerate(scales.shape) if size > 1}
            return varying <= {channel_axis(reader)}
        return want.per_channel

    def _where_moved(self, name: str, elsewhere: set[str]) -> Reals:
        """Numbers of which each channel has its own, as they lie in a tensor after moves."""
        step, shape = self.wiring.steps.get(name), self.wiring.shapes[name]
        if name in elsewhere and isinstance(step, Move) and step.movement is not Movement.CONCAT:
            (x,) = step.inputs
            scales: Reals = moved_scale(step, self._where_moved(x, elsewhere), self.wiring.shapes[x])
            return scales
        axis = self.survey.axes[name]
        return channel_array(np.arange(1.0, (shape[axis] if shape else 1) + 1), len(shape), axis)

    def _keeps(self, reader: Reduce, name: str) -> bool:
        """Whether channels are where they are looked for after the reduction."""
        before = sum(axis < self.survey.axes[name] for axis in reader.axes)
        return self.survey.axes[reader.name] == self.survey.axes[name] - (0 if reader.keep else before)

    def _source_can(self, name: str) -> bool:
        """A table of features whose readers fold scales: an input that only matrices and trees read."""
        shape = self.wiring.shapes[name]
        readers = [reader for reader, _ in self.wiring.readings[name]]
        return (
            len(shape) == 2
            and 1 < shape[1] <= OWN_SCALES_MAX
            and all(isinstance(each, Matrix | Trees) for each in readers)
            and name not in self.wiring.sinks
        )

    def _is_unrounded(self, name: str) -> bool:
        reader = self.wiring.sole_reader(name)
        if isinstance(reader, Map) and reader.form is Form.HARD_SWISH and not self.int8:
            return is_linear(self.wiring.steps[name])
        if isinstance(reader, Map) or self.int8:
            return isinstance(reader, Map) and reader.form is Form.CLIP
        if isinstance(reader, Pool):
            return True
        if not isinstance(reader, Combine) or not is_linear(self.wiring.steps[name]):
            return False
        if reader.combination not in (Combination.ADD, Combination.SUBTRACT):
            return False
        other = other_input(reader, name)
        later = self.wiring.order[name] > self.wiring.order[other]
        return later or not (is_linear(self.wiring.steps.get(other)) and self.wiring.sole_reader(other))

    def _is_scores(self, names: Sequence[str]) -> bool:
        """A linear step, then perhaps moves, then the end."""
        wiring = self.wiring
        if not is_linear(wiring.steps.get(names[0])):
            return False
        for name in names[1:]:
            step = wiring.steps[name]
            if not isinstance(step, Move) or step.movement is Movement.PAD:
                return False
        readers = [reader.name for name in names for reader, _ in wiring.readings[name]]
        return not wiring.sinks.isdisjoint(names) and set(readers) <= set(names)
