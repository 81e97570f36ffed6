"""How softmax, layer norm, tables and certified functions are spelled in an exact graph.

Each takes the name of a float32 tensor of integers and appends nodes that the prover admits and that no
engine fuses into another computation. The integers stand for reals by scales that the caller keeps. Constants
come from exact arithmetic: the same model on every machine.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from math import isqrt, prod
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.canonical import write
from inference.certificate import Assumption
from inference.converter.program import Reals
from inference.enclosures import ONE, enclose
from inference.engines.interface import from_array
from inference.graph import AttributeValue, Graph, Node, Port
from inference.prover import prove
from inference.refusal import Refused, refuse
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor

_SUM_MAX: Final = 2**24 - 1
_WIDE_MAX: Final = 2**53 - 1

_EXPONENTIAL_MAX: Final = 2**20
"""Largest exponential in a softmax: more bits than its result can show."""

_TRIALS_MAX: Final = 64
"""Scales tried, each smaller by 2^-12, until no value of a certified function lies near a boundary."""


_ELEMENTS_MIN: Final = 256
"""Elements from which a lookup pays for two changes of shape: Gather, which takes any shape, needs four times
as long as GatherElements, here of one dimension.
"""

Limits = tuple[int, int]
"""Least and greatest."""


class Nodes(Protocol):
    """A graph as it grows: the converter's `Lowering` is one."""

    def add(self, operator: str, *inputs: str, **attributes: AttributeValue) -> str:
        """Append a node; the name of its output."""
        ...

    def constant(self, values: NDArray[Any], *, wide: bool = False) -> str:
        """The name of a constant: of integers as they are, of reals as float32, or as float64 if `wide`."""
        ...


def table(nodes: Nodes, x: str, low: int, values: Reals, shape: tuple[int, ...]) -> str:
    """values[x - low], for x from `low` to low + len(values) - 1, of that shape. The values are exact in
    float32.

    Integers below 0 find their entries at the end, as indices do.
    """
    size = prod(shape)
    table = nodes.constant(np.roll(values, low) if low <= 0 else np.concatenate([np.zeros(low), values]))
    many = size >= _ELEMENTS_MIN and len(shape) != 1
    flat = nodes.add("Reshape", x, nodes.constant(np.array([size]))) if many else x
    index = nodes.add("Cast", flat, to=ELEMENT_CODES["int32"])
    found = nodes.add("GatherElements" if many or len(shape) == 1 else "Gather", table, index, axis=0)
    return nodes.add("Reshape", found, nodes.constant(np.array(shape))) if many else found


def softmax(
    nodes: Nodes, x: str, *, span: int, scale: float, axis: int, shape: tuple[int, ...], top: int = 255
) -> str:
    """round(top * softmax(x * scale)) along one dimension of x.

    `span`: the greatest difference of two elements. Exponentials are looked up, with the bits that their sum
    leaves; one that would be 0 ends the table.
    """
    count = shape[axis]
    largest = min(_SUM_MAX // count, _EXPONENTIAL_MAX)
    exponentials = _exponentials(Fraction(scale), span, largest)
    below = nodes.add("Sub", nodes.add("ReduceMax", x, axes=(axis,), keepdims=1), x)
    reach = _limited(nodes, below, 0, len(exponentials) - 1)
    looked_up = table(nodes, reach, 0, exponentials, shape)
    total = nodes.add("ReduceSum", looked_up, nodes.constant(np.array([axis])), keepdims=1)
    # By a power of two the few sums are divided, rather than all the shares multiplied.
    part = top if top & (top - 1) == 0 else 1
    total = nodes.add("Mul", total, _number(nodes, 1 / part)) if part > 1 else total
    # The hull of the sum holds 0; the sum never is below the exponential of the greatest.
    total = _limited(nodes, total, largest / part, count * largest / part)
    share = nodes.add("Div", looked_up, total)
    return nodes.add("Round", nodes.add("Mul", share, _number(nodes, top)) if part != top else share)


def _exponentials(scale: Fraction, span: int, largest: int) -> Reals:
    """round(largest * exp(-scale * i)) for i up to the span, or to the first that is 0."""
    values = []
    for at in range(span + 1):
        argument = -(at * scale.numerator * ONE // scale.denominator)
        low, high = enclose("Exp", (argument, argument))
        values.append(round(Fraction(low + high, 2 * ONE) * largest))
        if values[-1] == 0:
            break
    return np.array(values, np.float64)


class Centring(StrEnum):
    """What a norm takes away from its input before it squares it."""

    NOTHING = "nothing"
    MEAN = "the mean"
    ROUNDED_MEAN = "the mean to a part of a step"


def norm_limit(count: int, centring: Centring, fraction: int = 0) -> int:
    """Greatest magnitude of integers that a norm over `count` of them takes; see `norm`.

    The sum of squares fits float64 with room for epsilon; deviations from the mean itself, which are
    count * x - sum, fit float32.
    """
    root = isqrt(_WIDE_MAX // count * 15 // 16)
    match centring:
        case Centring.NOTHING:
            return min(_SUM_MAX, root)
        case Centring.MEAN:
            return min(_SUM_MAX, root) // (2 * count)
        case Centring.ROUNDED_MEAN:
            return min(_SUM_MAX, root // (2 << fraction))


def norm(
    nodes: Nodes,
    x: str,
    *,
    axes: tuple[int, ...],
    count: int,
    epsilon: float,
    gain: Reals,
    limits: Limits | None,
    centring: Centring = Centring.MEAN,
    fraction: int = 0,
) -> str:
    """round(gain * (x - mean) / sqrt(variance + epsilon)), limited, over the `count` elements along `axes`.

    `epsilon`: for the integers x, so divided by the square of their scale. `gain`: in steps of the result;
    broadcasts against x. `limits`: least and greatest integer of the result, if it is to have any; by itself
    it reaches `norm_reach`. `fraction`: a rounded mean is a multiple of 2^-fraction. A bias may follow.
    """
    wide, unit = _deviations(nodes, x, axes, count, centring, fraction)
    # sum((count * (x - mean))^2) + count^3 * epsilon is count^3 * (variance + epsilon).
    step = Fraction(1, 4**fraction)
    least = max(1, round(Fraction(epsilon) * unit**2 * count / step)) * step
    if least > _WIDE_MAX // 16:
        refuse("the epsilon of a layer norm is too large for the scale of its input")
    squares = nodes.add("ReduceSumSquare", wide, axes=axes, keepdims=1)
    variance = nodes.add("Add", squares, _number(nodes, float(least), wide=True))
    normed = nodes.add("Div", wide, nodes.add("Sqrt", variance))
    narrow = nodes.add("Cast", normed, to=ELEMENT_CODES["float32"])
    scaled = nodes.add("Mul", narrow, nodes.constant(_factor(gain, count)))
    return nodes.add("Round", _limited(nodes, scaled, *limits) if limits else scaled)


def _deviations(
    nodes: Nodes, x: str, axes: tuple[int, ...], count: int, centring: Centring, fraction: int
) -> tuple[str, int]:
    """What is squared, in float64, and in how many parts of a step."""
    along = nodes.constant(np.array(axes))
    if centring is Centring.MEAN:
        total = nodes.add("ReduceSum", x, along, keepdims=1)
        deviation = nodes.add("Sub", nodes.add("Mul", x, _number(nodes, count)), total)
        return nodes.add("Cast", deviation, to=ELEMENT_CODES["float64"]), count
    wide = nodes.add("Cast", x, to=ELEMENT_CODES["float64"])
    if centring is Centring.NOTHING:
        return wide, 1
    total = nodes.add("ReduceSum", wide, along, keepdims=1)
    # With the bits of float32 the product stays on the lattice, and is as good once it is rounded.
    part = _number(nodes, float(np.float32(2.0**fraction / count)), wide=True)
    mean = nodes.add("Round", nodes.add("Mul", total, part))
    return nodes.add("Sub", wide, nodes.add("Mul", mean, _number(nodes, 2.0**-fraction, wide=True))), 1


def norm_reach(gain: Reals, count: int) -> int:
    """Greatest magnitude of a norm's result: none is above the root of the sum of squares."""
    return int(np.rint(np.abs(_factor(gain, count)).max()))


def _factor(gain: Reals, count: int) -> Reals:
    """What deviations by the root of the sum of their squares are multiplied by."""
    factor: Reals = (gain * np.sqrt(np.float64(count))).astype(np.float32).astype(np.float64)
    return factor


class Shape(StrEnum):
    """What a certified function is part of."""

    PLAIN = "f(x)"
    GELU = "x * (1 + f(x))"
    GATE = "x * f(x)"


@dataclass(frozen=True, slots=True)
class Activation:
    """round(scale * shape(x)) with f(x) = operator(factor * x), for integers x from low to high."""

    operator: str
    """Erf, Exp, Sigmoid or Tanh."""
    shape: Shape
    low: int
    high: int
    factor: float

    def settled(self, scale: float, assumption: Assumption) -> float:
        """The greatest scale up to `scale` that keeps every value away from boundaries. Raises Refused."""
        scales = (scale * (1 - trial / 4096) for trial in range(_TRIALS_MAX))
        found = next((tried for tried in scales if self._is_clear(tried, assumption)), None)
        if found is None:
            refuse(f"{_TRIALS_MAX} scales of {self.operator} come near a boundary: use a table or fewer bits")
        return found

    def _is_clear(self, scale: float, assumption: Assumption) -> bool:
        try:
            prove(self._alone(scale), assumption)
        except Refused:
            return False
        return True

    def append(self, nodes: Nodes, x: str, scale: float) -> str:
        """The nodes, for a scale that is settled."""
        argument = nodes.add("Mul", x, _number(nodes, self.factor))
        value = nodes.add(self.operator, argument)
        if self.shape is Shape.GELU:
            value = nodes.add("Add", value, _number(nodes, 1))
        if self.shape is not Shape.PLAIN:
            value = nodes.add("Mul", x, value)
        return nodes.add("Round", nodes.add("Mul", value, _number(nodes, scale)))

    def _alone(self, scale: float) -> bytes:
        """A model of nothing else."""
        nodes = _Alone()
        limits = (nodes.constant(np.array(limit, np.int32)) for limit in (self.low, self.high))
        real = nodes.add("Cast", nodes.add("Clip", "x", *limits), to=ELEMENT_CODES["float32"])
        result = nodes.add("Cast", self.append(nodes, real, scale), to=ELEMENT_CODES["int32"])
        port = Port("x", "int32", (1,))
        return write(Graph((port,), (Port(result, "int32", (1,)),), tuple(nodes.nodes), nodes.constants, {}))


@dataclass(slots=True)
class _Alone:
    """The nodes of a small model."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, **attributes: AttributeValue) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(len(self.nodes), operator, inputs, (name,), attributes))
        return name

    def constant(self, values: NDArray[Any], *, wide: bool = False) -> str:
        name = f"c{len(self.constants)}"
        real = values.dtype == np.float64 and not wide
        self.constants[name] = from_array(values.astype(np.float32) if real else values)
        return name


def _limited(nodes: Nodes, x: str, low: float, high: float, *, wide: bool = False) -> str:
    return nodes.add("Clip", x, _number(nodes, low, wide=wide), _number(nodes, high, wide=wide))


def _number(nodes: Nodes, value: float, *, wide: bool = False) -> str:
    """A single number; a real that float32 does not hold is rounded."""
    exact = np.float64(value) if wide else np.float64(np.float32(value))
    return nodes.constant(np.array(exact), wide=wide)
