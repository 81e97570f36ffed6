"""Which tensors of a program should share a grid, and along which dimension their channels run."""

from collections.abc import Mapping
from dataclasses import dataclass

from inference.converter.program import (
    Convolution,
    Matrix,
    Move,
    Movement,
    Norm,
    Pool,
    Program,
    Shape,
    Step,
    shapes_of,
)
from inference.converter.registry import rule_of

Reading = tuple[Step, int]
"""A step, and the index of the input by which it reads a tensor."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """A program as a network: who makes and who reads each tensor."""

    program: Program
    shapes: Mapping[str, Shape]
    steps: Mapping[str, Step]
    readings: Mapping[str, tuple[Reading, ...]]
    sinks: frozenset[str]
    order: Mapping[str, int]
    """Inputs first, then steps."""

    def sole_reader(self, name: str) -> Step | None:
        """The step that alone reads a tensor, which is no output."""
        readings = self.readings[name]
        return readings[0][0] if len(readings) == 1 and name not in self.sinks else None


def wire(program: Program) -> Wiring:
    shapes = shapes_of(program)
    readings: dict[str, list[Reading]] = {name: [] for name in shapes}
    for step in program.steps:
        for index, name in enumerate(step.inputs):
            readings[name].append((step, index))
    return Wiring(
        program=program,
        shapes=shapes,
        steps={step.name: step for step in program.steps},
        readings={name: tuple(each) for name, each in readings.items()},
        sinks=frozenset(sink.step for sink in program.sinks),
        order={name: index for index, name in enumerate(shapes)},
    )


class Groups:
    """Tensors joined by the ties of the steps between them."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._parents = {name: name for name in wiring.shapes}
        for step in wiring.program.steps:
            for index in rule_of(step).ties(step):
                self.join(step.name, step.inputs[index])

    def of(self, name: str) -> str:
        """The name that stands for the group of a tensor: its first member."""
        while self._parents[name] != name:
            self._parents[name] = self._parents[self._parents[name]]
            name = self._parents[name]
        return name

    def join(self, left: str, right: str) -> None:
        first, second = sorted((self.of(left), self.of(right)), key=self._wiring.order.__getitem__)
        self._parents[second] = first

    def members(self) -> dict[str, list[str]]:
        """The members of each group, in order, by its first; groups in the order of their firsts."""
        members: dict[str, list[str]] = {}
        for name in self._wiring.shapes:
            members.setdefault(self.of(name), []).append(name)
        return members


def channel_axes(wiring: Wiring, groups: Groups) -> dict[str, int]:
    """For each tensor the dimension of its channels: that of the linear steps around its group.

    Where convolutions and matrices meet, that of convolutions; where there is neither, the second for
    images, else the last. Moves may change it: for what they moved, the steps that read that decide.
    """
    votes: dict[str, set[type[Step]]] = {}
    for step in wiring.program.steps:
        kind: type[Step] = Convolution if isinstance(step, Pool) else type(step)
        if kind in (Convolution, Matrix, Norm):
            for name in (step.inputs[0], step.name):
                votes.setdefault(groups.of(name), set()).add(kind)
    axes = {}
    for name, shape in wiring.shapes.items():
        kinds = votes.get(groups.of(name), set())
        if _is_elsewhere(wiring.steps.get(name)):
            near = {type(reader) for reader, _ in wiring.readings[name]}
            kinds = near & {Convolution, Matrix, Norm} or kinds
        last = max(len(shape) - 1, 0)
        second = Convolution in kinds or (len(shape) == 4 and not kinds)
        axes[name] = min(1, last) if second else last
    return axes


def moved(wiring: Wiring, members: list[str]) -> set[str]:
    """Members of a group whose elements lie elsewhere than in its first members'.

    The parts of a concatenation are of its group only if all have one scale.
    """
    found: set[str] = set()
    for name in members:
        step = wiring.steps.get(name)
        if step is None:
            continue
        if _is_elsewhere(step) or any(each in found for each in step.inputs):
            found.add(name)
    return found


def _is_elsewhere(step: Step | None) -> bool:
    """Whether elements of the result lie elsewhere than in the input."""
    return isinstance(step, Move) and step.movement not in (Movement.CONCAT, Movement.IDENTITY)
