"""What follows a linear node up to its Round: limits and one rounding, as one function of the exact sum.

Clip, Relu and Round are monotonic, and limits that are integers commute with Round, so any sequence of them
with one Round among them is: round, then limit to the last limits as the earlier ones leave them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf

from inference.graph import Graph, Node
from inference.twin.intervals import limits


@dataclass(frozen=True, slots=True)
class Chain:
    """Round, then limit to low..high."""

    nodes: tuple[Node, ...]
    low: float
    high: float

    @property
    def result(self) -> str:
        return self.nodes[-1].outputs[0]


Users = Mapping[str, Sequence[Node]]


def users(graph: Graph) -> Users:
    """The nodes that read each tensor; a tensor that is an output has one more than read it."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    for port in graph.outputs:
        found.setdefault(port.name, []).extend(graph.nodes[-1:] * 2)
    return found


def only_user(readers: Users, name: str) -> Node | None:
    """The one node that reads a tensor, if it is one and the tensor no output."""
    found = readers.get(name, ())
    return found[0] if len(found) == 1 else None


def chain_after(graph: Graph, readers: Users, name: str, whole: bool) -> Chain | None:
    """The longest such sequence from a tensor on; None if it has no Round, and the tensor is not `whole`."""
    nodes: list[Node] = []
    low, high, rounded = -inf, inf, whole
    while (node := only_user(readers, name)) is not None:
        ends = limits(graph, node)
        if node.operator == "Round":
            rounded = True
        elif ends is not None and all(isinf(end) or end.is_integer() for end in ends):
            low, high = (min(max(end, ends[0]), ends[1]) for end in (low, high))
        else:
            break
        nodes.append(node)
        name = node.outputs[0]
    return Chain(tuple(nodes), low, high) if nodes and rounded else None
