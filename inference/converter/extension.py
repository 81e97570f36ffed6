"""The folded file, extended: nodes for results that the exporter's graph computes in other pieces, and other
outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference import schema
from inference.canonical import spell_node, spell_tensor
from inference.engines.interface import Array, from_array
from inference.graph import AttributeValue, Graph, Node
from inference.wire import Reader, bytes_field, number_field


@dataclass(slots=True)
class Extension:
    """Nodes and constants to be added to a file; their names are new to it."""

    taken: set[str]
    """Every name that the file uses."""
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def fresh(self, base: str) -> str:
        """A name like `base` that nobody has."""
        count = 1
        while (name := f"{base[:200]}.{count}") in self.taken:
            count += 1
        self.taken.add(name)
        return name

    def constant(self, base: str, value: Array) -> str:
        """The name of a new constant."""
        name = self.fresh(base)
        self.constants[name] = value
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        attributes: Mapping[str, AttributeValue] | None = None,
        domain: str = "",
    ) -> Node:
        """A new node that reads what the file or an earlier new node computes."""
        node = Node(-1, operator, tuple(inputs), (output,), attributes or {}, domain)
        self.nodes.append(node)
        return node

    def file(self, data: bytes, graph: Graph, outputs: Sequence[str]) -> bytes:
        """The file `data`, which holds `graph`, with the additions, those outputs and no node that they do
        not need.
        """
        needed = _needed((*graph.nodes, *self.nodes), outputs)
        reader = Reader()
        model = reader.message(memoryview(data), "ModelProto", schema.MODEL)
        parts = reader.message(model.part("graph"), "GraphProto", schema.GRAPH)
        pieces = [
            bytes_field(1, bytes(part))
            for part, node in zip(parts.parts("node"), graph.nodes, strict=True)
            if id(node) in needed
        ]
        pieces += [bytes_field(1, spell_node(node)) for node in self.nodes if id(node) in needed]
        pieces.append(bytes_field(2, b"folded"))
        used = {name for node in (*graph.nodes, *self.nodes) if id(node) in needed for name in node.inputs}
        pieces += [
            bytes_field(5, bytes(part))
            for part, name in zip(parts.parts("initializer"), graph.constants, strict=True)
            if name in used
        ]
        pieces += [
            bytes_field(5, spell_tensor(name, from_array(value)))
            for name, value in self.constants.items()
            if name in used
        ]
        pieces += [bytes_field(11, bytes(part)) for part in parts.parts("input")]
        pieces += [bytes_field(12, bytes_field(1, name.encode())) for name in outputs]
        head = [number_field(1, model.number("ir_version")), bytes_field(7, b"".join(pieces))]
        return b"".join(head + [bytes_field(8, bytes(part)) for part in model.parts("opset_import")])


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> set[int]:
    """Which of the nodes the outputs depend on."""
    producers = {name: node for node in nodes for name in node.outputs}
    needed: set[int] = set()
    waiting = list(outputs)
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            waiting += node.inputs
    return needed
