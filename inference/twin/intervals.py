"""What a proved model's graph says of its own tensors, for the twin: which hold integers, and how large.

Coarser than the prover's bounds, one interval for a whole tensor, and cheap: what is not understood is
unknown, and stays float32. All of it assumes a model that was proved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import isinf
from typing import Final

import numpy as np

from inference.engines.interface import to_array
from inference.graph import Graph, Node
from inference.schema import ELEMENT_TYPES
from inference.tensor import INTEGER_RANGES, Tensor
from inference.twin.linear import linear_of

MOVES: Final = frozenset(
    {
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Reshape",
        "Resize",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose output elements are elements of their first input."""


LOOKUPS: Final = frozenset({"Gather", "GatherElements"})
"""Operators that take elements of a table at the places that their second input says."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Every element is at least `low` and at most `high`; integers, if `whole`."""

    low: float
    high: float
    whole: bool

    def clipped(self, low: float, high: float) -> "Interval":
        """After a limit from below and from above."""
        whole = self.whole and all(isinf(limit) or limit.is_integer() for limit in (low, high))
        return Interval(min(max(self.low, low), high), min(max(self.high, low), high), whole)

    def times(self, other: "Interval") -> "Interval":
        """The products of both."""
        corners = [left * right for left in (self.low, self.high) for right in (other.low, other.high)]
        return Interval(min(corners), max(corners), self.whole and other.whole)

    def union(self, other: "Interval") -> "Interval":
        """Whatever is in either."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Interval(low, high, self.whole and other.whole)

    def rounded(self) -> "Interval":
        """After rounding, halves to even, which is monotonic."""
        return Interval(round(self.low), round(self.high), whole=True)


Intervals = Mapping[str, Interval]
"""By tensor; one that is not here is unknown."""


def intervals(graph: Graph) -> Intervals:
    """What is known of each computed tensor."""
    known: dict[str, Interval] = {}
    for port in graph.inputs:
        low, high = INTEGER_RANGES[port.dtype]
        known[port.name] = Interval(low, high, whole=True)
    for node in graph.nodes:
        result = _result(graph, node, known)
        if result is not None:
            known.update(dict.fromkeys(node.outputs, result))
    return known


def limits(graph: Graph, node: Node) -> tuple[float, float] | None:
    """The two limits of a Clip or Relu, which are constants; None for other operators."""
    if node.operator == "Relu":
        return 0.0, float("inf")
    if node.operator != "Clip":
        return None
    low, high = (float(to_array(graph.constants[name]).reshape(())) for name in node.inputs[1:3])
    return low, high


def _result(graph: Graph, node: Node, known: Mapping[str, Interval]) -> Interval | None:
    if linear := linear_of(graph, node):
        source = known.get(linear.source)
        return None if source is None else Interval(*linear.reach(source.low, source.high), whole=False)
    if node.operator in LOOKUPS and node.inputs[0] in graph.constants:
        return _entries(graph.constants[node.inputs[0]])
    if node.operator in MOVES:
        return known.get(node.inputs[0])
    if node.operator in ("HardSigmoid", "Mul"):
        return _factor(graph, node, known)
    return _limited_or_joined(graph, node, known)


def _factor(graph: Graph, node: Node, known: Mapping[str, Interval]) -> Interval | None:
    if node.operator == "HardSigmoid":
        return Interval(0.0, 1.0, whole=False)
    left, right = (known.get(name) or _power(graph, name) for name in node.inputs)
    return left.times(right) if left and right else None


def _limited_or_joined(graph: Graph, node: Node, known: Mapping[str, Interval]) -> Interval | None:
    arguments = [known.get(name) for name in node.inputs if name and name not in graph.constants]
    ends = limits(graph, node)
    if not arguments or None in arguments:
        return None if ends is None or isinf(ends[0]) or isinf(ends[1]) else Interval(*ends, whole=False)
    first = arguments[0]
    assert first is not None
    if ends is not None:
        return first.clipped(*ends)
    if node.operator == "Round":
        return first.rounded()
    if node.operator == "Concat" and len(arguments) == len(node.inputs):
        return reduce(Interval.union, filter(None, arguments))
    if node.operator == "Cast":
        return first if first.whole or "float" in ELEMENT_TYPES[_target(node)] else None
    if node.operator == "Add" and len(arguments) == 2:
        second = arguments[1]
        assert second is not None
        return Interval(first.low + second.low, first.high + second.high, first.whole and second.whole)
    return None


def _entries(table: Tensor) -> Interval:
    """Any number of a constant."""
    values = to_array(table).astype(np.float64)
    return Interval(float(values.min()), float(values.max()), whole=bool((values % 1 == 0).all()))


def _power(graph: Graph, name: str) -> Interval | None:
    """Of a constant whose products are not rounded: a power of two, or several of them."""
    tensor = graph.constants.get(name)
    if tensor is None or tensor.dtype != "float32":
        return None
    values = to_array(tensor).astype(np.float64)
    if (np.frexp(values)[0] != 0.5).any():
        return None
    return Interval(float(values.min()), float(values.max()), whole=bool((values >= 1).all()))


def _target(node: Node) -> int:
    to = node.attributes["to"]
    assert isinstance(to, int)
    return to


def zero_point(interval: Interval | None) -> int | None:
    """The byte that stands for zero, so that the interval's integers fit into unsigned bytes; None if they
    do not fit.
    """
    if interval is None or not interval.whole or interval.high < 0 or interval.low < -255:
        return None
    zero = int(-min(interval.low, 0))
    return zero if interval.high + zero <= 255 else None
