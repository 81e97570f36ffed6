"""One spelling for each model: names, comments, metadata and the ways to store constants are normalised.

The engine only ever sees bytes written here. Two files that say the same in other words get the same hash.
"""

import struct
from collections.abc import Mapping
from typing import Final

from inference.graph import LEARNERS, AttributeValue, Graph, Node, Port
from inference.schema import ELEMENT_CODES, AttributeType
from inference.tensor import Tensor
from inference.wire import bytes_field, fixed32_field, number_field, numbers

IR_VERSION: Final = 8
OPERATOR_SET: Final = 17
"""Old enough for every engine in use; the operators admitted mean the same in the versions that the prover
reads.
"""

LEARNER_SET: Final = 3
"""The version of ai.onnx.ml, of which the same holds."""

GRAPH_NAME: Final = b"exact"


Attributes = Mapping[int, Mapping[str, AttributeValue]]
"""The attributes of each node, by its position; in the order in which they are written."""


def rebuild(graph: Graph, attributes: Attributes) -> bytes:
    """The canonical file of a graph, given the complete attributes of its nodes, in order of name."""
    return _file(graph, attributes, _names(graph))


def write(graph: Graph) -> bytes:
    """A file of the graph with names and attributes as they are."""
    names = [name for node in graph.nodes for name in (*node.inputs, *node.outputs)]
    return _file(
        graph, {node.position: node.attributes for node in graph.nodes}, {name: name for name in names}
    )


def _file(graph: Graph, attributes: Attributes, names: Mapping[str, str]) -> bytes:
    """The file of a graph; `names` maps every tensor that a node reads or writes, in order, to a new name."""
    parts = [
        bytes_field(1, _node(node, attributes[node.position], names, f"n{number}"))
        for number, node in enumerate(graph.nodes)
    ]
    parts.append(bytes_field(2, GRAPH_NAME))
    used = [name for name in names if name in graph.constants]
    parts += [bytes_field(5, _tensor(names[name], graph.constants[name])) for name in used]
    parts += [bytes_field(11, _port(port)) for port in graph.inputs]
    parts += [bytes_field(12, _port(port)) for port in graph.outputs]
    model = [number_field(1, IR_VERSION), bytes_field(7, b"".join(parts))]
    model.append(bytes_field(8, bytes_field(1, b"") + number_field(2, OPERATOR_SET)))
    if any(node.domain == LEARNERS for node in graph.nodes):
        model.append(bytes_field(8, bytes_field(1, LEARNERS.encode()) + number_field(2, LEARNER_SET)))
    for key, value in sorted(graph.metadata.items()):
        model.append(bytes_field(14, bytes_field(1, key.encode()) + bytes_field(2, value.encode())))
    return b"".join(model)


def spell_node(node: Node) -> bytes:
    """One node's message, with names and attributes as they are."""
    return _node(node, node.attributes, {name: name for name in (*node.inputs, *node.outputs)}, "")


def spell_tensor(name: str, tensor: Tensor) -> bytes:
    """One constant's message."""
    return _tensor(name, tensor)


def _names(graph: Graph) -> dict[str, str]:
    """New names in order of appearance; inputs and outputs of the model keep theirs."""
    kept = {port.name for port in (*graph.inputs, *graph.outputs)}
    names = {"": ""} | {name: name for name in kept}
    for node in graph.nodes:
        for name in (*node.inputs, *node.outputs):
            if name not in names:
                names[name] = f"t{len(names)}"
    return _without_clashes(names, kept)


def _without_clashes(names: dict[str, str], kept: set[str]) -> dict[str, str]:
    """A new name that a port already has gets as many underscores as it takes."""
    return {old: new if old in kept or new not in kept else _free(new, kept) for old, new in names.items()}


def _free(name: str, kept: set[str]) -> str:
    while name in kept:
        name += "_"
    return name


def _node(node: Node, attributes: Mapping[str, AttributeValue], names: Mapping[str, str], own: str) -> bytes:
    """A list without elements says the same as none, and is left out.

    A node has a name of its own in every file: some rewritings of onnxruntime call what they add after the
    node that it stands for, and refuse the graph if two are called the same.
    """
    parts = [bytes_field(1, names[name].encode()) for name in node.inputs]
    parts += [bytes_field(2, names[name].encode()) for name in node.outputs]
    if own:
        parts.append(bytes_field(3, own.encode()))
    parts.append(bytes_field(4, node.operator.encode()))
    present = [(name, value) for name, value in attributes.items() if value != ()]
    parts += [bytes_field(5, _attribute(name, value)) for name, value in present]
    if node.domain:
        parts.append(bytes_field(7, node.domain.encode()))
    return b"".join(parts)


def _attribute(name: str, value: AttributeValue) -> bytes:
    """Only the types of attributes that exact operators have."""
    head = bytes_field(1, name.encode())
    if isinstance(value, int):
        return head + number_field(3, value) + number_field(20, AttributeType.INT)
    if isinstance(value, float):
        return head + fixed32_field(2, struct.pack("<f", value)) + number_field(20, AttributeType.FLOAT)
    if isinstance(value, bytes):
        return head + bytes_field(4, value) + number_field(20, AttributeType.STRING)
    assert isinstance(value, tuple), f"no exact operator has the attribute {name}"
    parts, code = _elements(value)
    return head + b"".join(parts) + number_field(20, code)


def _elements(values: tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...]) -> tuple[list[bytes], int]:
    """The fields of a list's elements, and the list's type."""
    parts, code = [], AttributeType.INTS
    for value in values:
        if isinstance(value, int):
            parts.append(number_field(8, value))
        elif isinstance(value, float):
            parts.append(fixed32_field(7, struct.pack("<f", value)))
            code = AttributeType.FLOATS
        else:
            parts.append(bytes_field(9, value))
            code = AttributeType.STRINGS
    return parts, code


def _tensor(name: str, tensor: Tensor) -> bytes:
    dims = b"".join(numbers(1, tensor.shape))
    code = number_field(2, ELEMENT_CODES[tensor.dtype])
    return dims + code + bytes_field(8, name.encode()) + bytes_field(9, tensor.data)


def _port(port: Port) -> bytes:
    dims = b"".join(bytes_field(1, number_field(1, size)) for size in port.shape)
    kind = bytes_field(1, number_field(1, ELEMENT_CODES[port.dtype]) + bytes_field(2, dims))
    return bytes_field(1, port.name.encode()) + bytes_field(2, kind)
