"""What every operator rule works with: values, attributes, the work meter, and how to refuse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from math import prod
from types import GenericAlias
from typing import Final, NoReturn

from inference.bounds import Bounds, unfit
from inference.graph import AttributeValue, Node
from inference.operators.loose import Loose
from inference.refusal import refuse
from inference.tensor import ELEMENTS_MAX, ITEM_BYTES, RANK_MAX, Tensor, integers

STEPS_BASE: Final = 200_000
"""Elementary steps that a proof of any file may take: some 60 ms of Python."""

STEPS_PER_BYTE: Final = 4
"""And those for each byte: four times what weights need that are used once, for layers that widen. A proof
that takes them all takes some five times what its gas pays for, which the deadline of its job allows for.
"""

CELL_STEPS: Final = 32
"""Steps that the bounds of one channel count as: some 150 bytes, so that a proof stays below 1 GB."""

REQUIRED: Final = None
"""Stands for the default of an attribute that has none."""

Kind = type[int] | type[float] | type[bytes] | GenericAlias
"""The type of an attribute."""

INTS: Final = GenericAlias(tuple, (int, ...))
FLOATS: Final = GenericAlias(tuple, (float, ...))
TEXTS: Final = GenericAlias(tuple, (bytes, ...))


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor as the prover knows it."""

    dtype: str
    shape: tuple[int, ...]
    bounds: Bounds
    """Without cells if the value is a constant or loose."""
    constant: Tensor | None = None
    loose: Loose | None = None
    linear: bool = False
    """Whether an engine may fold a factor that comes next into the weights that made this value: no Round
    stands between. The prover fills it in, from the flows of the rules.
    """
    adjusted: bool = False
    """Whether a constant was multiplied in or added since the last Round, with which an engine may merge one
    that comes next. The prover fills it in likewise.
    """
    least: Fraction | None = None
    """What no element is below, if the bounds say less: those of a sum hold its parts as well."""
    squares: str = ""
    """A tensor of which no element that broadcasts against one here has a greater square or, once the root is
    taken, a greater magnitude.
    """

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * ITEM_BYTES[self.dtype]


@dataclass(slots=True)
class Work:
    """Counts what a model costs to run, and bounds what it costs to prove."""

    steps_max: int
    macs: int = 0
    """Multiply-accumulate operations."""
    elements: int = 0
    """Elements that nodes write."""
    handling: int = 0
    """Gas of where the elements lie that nodes read and write; see `costs`."""
    comparisons: int = 0
    """Nodes that trees pass from their roots to their leaves, at most."""
    steps: int = 0
    """Elementary steps of the proof."""
    ulps: int | None = None
    """Units in the last place by which a certified function may be off; None if none is assumed."""
    margin: int | None = None
    """Least distance so far to a boundary of rounding; None if no certified function came to a Round."""

    def spend(self, steps: int) -> None:
        """Raises Refused once the proof takes too many steps."""
        self.steps += steps
        if self.steps > self.steps_max:
            refuse(f"the proof takes more than {self.steps_max} steps, too many for so short a file")

    def spend_cells(self, count: int) -> None:
        """For the bounds of so many channels, which take memory as well. Raises Refused."""
        self.spend(CELL_STEPS * count)

    def note_margin(self, margin: int) -> None:
        """Keep the least."""
        self.margin = margin if self.margin is None else min(self.margin, margin)


def work_on(size_bytes: int) -> Work:
    """What the proof of a file of `size_bytes` starts with: whoever wants more steps pays for more bytes."""
    return Work(STEPS_BASE + STEPS_PER_BYTE * size_bytes)


@dataclass(frozen=True, slots=True)
class Application:
    """One node with what is known of its inputs."""

    node: Node
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, AttributeValue]
    work: Work

    def refuse(self, reason: str) -> NoReturn:
        """Raises Refused with the name of this node."""
        refuse(reason, self.node.place)

    def computed(self, index: int, *dtypes: str, loose: bool = False) -> Value:
        """An input that depends on the model's input, of one of the element types given; off the lattice only
        if `loose` says that the rule knows what that means."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or value.constant is not None:
            self.refuse(f"input {index} must be computed from the model's input")
        self._ensure_dtype(value, index, dtypes)
        if value.loose is not None and not (loose and self.node.operator in value.loose.followers):
            allowed = ", ".join(sorted(value.loose.followers))
            self.refuse(f"input {index} is rounded already: only {allowed} may follow")
        return value

    def constant(self, index: int, *dtypes: str) -> Tensor:
        """An input that is a constant, of one of the element types given."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or value.constant is None:
            self.refuse(f"input {index} must be a constant of the model")
        self._ensure_dtype(value, index, dtypes)
        return value.constant

    def integer(self, name: str) -> int:
        """An attribute that is an integer."""
        value = self.attributes[name]
        assert isinstance(value, int)
        return value

    def axis(self, name: str, rank: int, *, end: bool = False) -> int:
        """An attribute that names a dimension, from the front; one past the last if `end` allows it."""
        axis = self.integer(name)
        if not -rank <= axis < rank + end:
            self.refuse(f"{name} {axis} is no dimension of a tensor of rank {rank}")
        return axis + rank if axis < 0 else axis

    def ints(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        values = self.attributes[name]
        assert isinstance(values, tuple)
        return tuple(value for value in values if isinstance(value, int))

    def ensure_shape(self, shape: Sequence[int]) -> None:
        """Raises Refused if an output's shape is none, or too large: before anything is done with it."""
        if len(shape) > RANK_MAX or any(size < 1 for size in shape):
            self.refuse(
                f"the result's shape {list(shape)} has no elements, or more than {RANK_MAX} dimensions"
            )
        if prod(shape) > ELEMENTS_MAX:
            self.refuse(f"the result {list(shape)} has more than {ELEMENTS_MAX} elements")

    def text(self, name: str) -> bytes:
        """An attribute that is a text."""
        value = self.attributes[name]
        assert isinstance(value, bytes)
        return value

    def whole_numbers(self, index: int, *, most: int) -> tuple[int, ...]:
        """A constant list of 1 to `most` integers."""
        tensor = self.constant(index, "int64")
        if len(tensor.shape) != 1 or tensor.shape[0] > most:
            self.refuse(f"input {index} must be a list of 1 to {most} integers")
        return integers(tensor)

    def dimension(self, axis: int, rank: int) -> int:
        """A dimension of a tensor, counted from the front, where -1 is the last."""
        if not -rank <= axis < rank:
            self.refuse(f"{axis} is no dimension of a tensor of rank {rank}")
        return axis % rank

    def dimensions(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Different dimensions of a tensor, in rising order."""
        found = sorted({self.dimension(axis, rank) for axis in axes})
        if len(found) != len(axes):
            self.refuse("a dimension is named twice")
        return tuple(found)

    def fitting(self, bounds: Bounds, dtype: str) -> Bounds:
        """The bounds, once all their numbers are exact in `dtype`."""
        for index, cell in enumerate(bounds.cells):
            if reason := unfit(cell, dtype):
                self.refuse(reason if bounds.axis is None else f"channel {index} {reason}")
        return bounds

    def _ensure_dtype(self, value: Value, index: int, dtypes: tuple[str, ...]) -> None:
        if value.dtype not in dtypes:
            self.refuse(f"input {index} is {value.dtype}, not {' or '.join(dtypes)}")


class Flow(Enum):
    """What an operator does to `Value.linear` and `Value.adjusted`."""

    LINEAR = "linear"
    """It has weights, into which an engine may fold what follows."""
    CARRIES = "carries"
    """An engine may move a factor past it, or it moves elements alone."""
    CUTS = "cuts"
    """No factor gets past it."""


ADJUSTING: Final = frozenset({"Add", "Mul", "Sub"})
"""Operators whose constant an engine may merge with the next."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the prover knows of one operator."""

    arity: range
    """Numbers of inputs allowed."""
    attributes: Mapping[str, tuple[Kind, AttributeValue | None]]
    """Type and default of every attribute allowed."""
    apply: Callable[[Application], tuple[Value, ...]]
    """The value of each output; raises Refused."""
    flow: Flow = Flow.CARRIES


def complete(node: Node, rule: Rule) -> dict[str, AttributeValue]:
    """The node's attributes with defaults filled in, in order of name. A list without elements is none, for a
    canonical file does not write it. Raises Refused.
    """
    for name, value in node.attributes.items():
        if name not in rule.attributes:
            refuse(f"the attribute {name!r} is not allowed", node.place)
        if not _is(value, rule.attributes[name][0]):
            refuse(f"the attribute {name!r} has the wrong type", node.place)
    attributes: dict[str, AttributeValue] = {}
    for name, (_, default) in sorted(rule.attributes.items()):
        given = node.attributes.get(name, ())
        found = default if given == () else given
        if found is None:
            refuse(f"the attribute {name!r} is missing", node.place)
        attributes[name] = found
    return attributes


def _is(value: AttributeValue, kind: Kind) -> bool:
    """Whether an attribute has its type; a list without elements has every list's type."""
    if isinstance(kind, GenericAlias):
        return isinstance(value, tuple) and all(type(each) is kind.__args__[0] for each in value)
    return type(value) is kind
