"""Exact models changed with their structure in mind: most changes keep a graph well formed, so that a good
share of the results is proved, and what engines make of them can be compared.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from math import prod
from random import Random
from typing import Any, Final, cast

import onnx

from inference.canonical import write
from inference.graph import AttributeValue, Graph, Node, Port, read
from inference.operators.registry import EXACT
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import ITEM_BYTES, Tensor
from tests.fuzz.models.insertion import (
    KINDS,
    LETTERS,
    NUMBERS,
    UNSPEAKABLE,
    WHOLE,
    element,
    free,
    insert,
    names,
    numbered,
    replace_tensor,
)

CHANGES_MAX: Final = 4
MENDS: Final = 4
"""How often the declared outputs are made to fit before the prover's word counts."""

ALIKE: Final = (
    ("Add", "Sub", "Mul", "Max", "Min", "Div"),
    (
        "Round",
        "Floor",
        "Ceil",
        "Relu",
        "Identity",
        "Sqrt",
        "HardSigmoid",
        "Exp",
        "Sigmoid",
        "Tanh",
        "Softmax",
    ),
    ("ReduceMax", "ReduceMin"),
    ("Conv", "ConvTranspose"),
    ("MatMul", "Gemm"),
    ("Squeeze", "Unsqueeze", "Reshape", "Expand", "Tile"),
    ("ArgMax", "ArgMin", "TopK"),
)

Change = Callable[[Graph, Random], Graph]


def twisted(data: bytes, random: Random) -> bytes:
    """The file after some changes of its graph, of its header or of its bytes."""
    if random.random() < 0.1:
        return bytes_changed(data, random)
    try:
        graph = read(data, EXACT)
        for _ in range(random.choice((1, 1, 1, 2, CHANGES_MAX))):
            graph = random.choice(CHANGES)(graph, random)
        file = mended(graph)
    except (*UNSPEAKABLE, Refused):
        return bytes_changed(data, random)
    return header_changed(file, random) if random.random() < 0.05 else file


def bytes_changed(data: bytes, random: Random) -> bytes:
    """A few bytes set, cut out, put in, or a stretch said twice."""
    spoilt = bytearray(data)
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(spoilt) + 1)
        match random.randrange(5):
            case 0 if at < len(spoilt):
                spoilt[at] ^= 1 << random.randrange(8)
            case 1 if at < len(spoilt):
                spoilt[at] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
            case 2:
                spoilt[at:at] = random.randbytes(random.randint(1, 4))
            case 3:
                del spoilt[at : at + random.randint(1, 8)]
            case _:
                spoilt[at:at] = spoilt[at : at + random.randint(1, 40)]
    return bytes(spoilt)


def header_changed(file: bytes, random: Random) -> bytes:
    """Another version, domain, or something that an exact model may not have."""
    model = onnx.load_from_string(file)
    node = random.choice(model.graph.node)
    match random.randrange(7):
        case 0:
            model.opset_import[0].version = random.choice((1, 7, 12, 13, 14, 18, 20, 21, 22, 2**40))
        case 1:
            model.opset_import.add(domain=random.choice(("com.microsoft", "ai.onnx", "x")), version=1)
        case 2:
            node.domain = random.choice(("com.microsoft", "ai.onnx.ml", "ai.onnx"))
        case 3:
            model.ir_version = random.choice((0, 1, 3, 7, 10, 13, 2**40))
        case 4 if model.graph.initializer:
            tensor = random.choice(model.graph.initializer)
            tensor.external_data.add(key="location", value="/etc/passwd")
            tensor.data_location = onnx.TensorProto.EXTERNAL
        case 5:
            node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.name = "inner"
        case _:
            node.doc_string = model.doc_string = "x" * random.choice((1, 1000))
    return bytes(model.SerializeToString())


def mended(graph: Graph) -> bytes:
    """The file, with outputs declared as what the prover finds them to be."""
    for _ in range(MENDS):
        file = write(graph)
        try:
            prove(file)
        except Refused as refused:
            found = re.fullmatch(r"the output is (\w+)\[([0-9, ]*)\], not .*", refused.refusal.reason)
            if not found:
                return file
            shape = tuple(int(size) for size in found[2].split(", ") if size)
            ports = [
                Port(port.name, found[1], shape) if port.name == refused.refusal.node else port
                for port in graph.outputs
            ]
            graph = replace(graph, outputs=tuple(ports))
        else:
            return file
    return write(graph)


def _changed(graph: Graph, at: int, **changes: Any) -> Graph:
    """The graph with another node at one place."""
    nodes = list(graph.nodes)
    nodes[at] = replace(nodes[at], **changes)
    return numbered(graph, nodes)


def attribute(graph: Graph, random: Random) -> Graph:
    """Another number, list or text in one attribute."""
    places = [(at, name) for at, node in enumerate(graph.nodes) for name in node.attributes]
    if not places:
        return graph
    at, name = random.choice(places)
    attributes = dict(graph.nodes[at].attributes)
    attributes[name] = _other(attributes[name], random)
    return _changed(graph, at, attributes=attributes)


def _other(value: AttributeValue, random: Random) -> AttributeValue:
    if isinstance(value, bool | int):
        return random.choice((value + 1, value - 1, 1 - value, random.choice(WHOLE)))
    if isinstance(value, float):
        return random.choice((value * 2, -value, random.choice(NUMBERS)))
    if isinstance(value, bytes):
        return random.choice(
            (b"", b"constant", b"reflect", b"edge", b"linear", b"floor", b"BRANCH_LT", b"LEAF")
        )
    if isinstance(value, tuple) and value:
        at, changed = random.randrange(len(value)), list(cast(tuple[int, ...], value))
        match random.randrange(4):
            case 0:
                del changed[at]
            case 1:
                changed.insert(at, changed[random.randrange(len(value))])
            case 2:
                random.shuffle(changed)
            case _:
                changed[at] = cast(int, _other(changed[at], random))
        return cast(AttributeValue, tuple(changed))
    return value


def constant(graph: Graph, random: Random) -> Graph:
    """Other elements in one constant, or another shape or type."""
    if not graph.constants:
        return graph
    name = random.choice(list(graph.constants))
    return replace(graph, constants={**graph.constants, name: _tensor(graph.constants[name], random)})


def _tensor(tensor: Tensor, random: Random) -> Tensor:
    size, count = ITEM_BYTES[tensor.dtype], prod(tensor.shape)
    match random.randrange(6):
        case 0:
            shape = random.choice(
                ((1, *tensor.shape), (*tensor.shape, 1), tensor.shape[::-1], (count,), tensor.shape[1:])
            )
            if len(shape) <= 8 and prod(shape) == count:
                return replace_tensor(tensor, shape=shape)
        case 1:
            kind = random.choice([kind for kind in KINDS if ITEM_BYTES[kind] == size])
            return replace_tensor(tensor, dtype=kind)
        case 2 if tensor.dtype in LETTERS:
            factor = random.choice((2.0, 0.5, 2.0**-10, 2.0**10, -1.0, 2.0**-40, 3.0, 0.1))
            letter = LETTERS[tensor.dtype]
            values = [value * factor for (value,) in struct.iter_unpack(f"<{letter}", tensor.data)]
            if all(abs(value) < 3e38 for value in values):
                return replace_tensor(tensor, data=struct.pack(f"<{count}{letter}", *values))
        case 3:
            return replace_tensor(tensor, data=element(tensor.dtype, random) * count)
    at = random.randrange(count) * size
    return replace_tensor(
        tensor, data=tensor.data[:at] + element(tensor.dtype, random) + tensor.data[at + size :]
    )


def wire(graph: Graph, random: Random) -> Graph:
    """Another tensor for one input of a node, or its inputs in another order."""
    at = random.randrange(len(graph.nodes))
    inputs = list(graph.nodes[at].inputs)
    if not inputs:
        return graph
    before = [port.name for port in graph.inputs] + [
        name for node in graph.nodes[:at] for name in node.outputs
    ]
    match random.randrange(4):
        case 0:
            random.shuffle(inputs)
        case 1:
            inputs[random.randrange(len(inputs))] = random.choice(list(graph.constants) or [""])
        case 2:
            inputs[random.randrange(len(inputs))] = random.choice(["", *names(graph)])
        case _:
            inputs[0] = random.choice(before[-6:])
    return _changed(graph, at, inputs=tuple(inputs))


def operator(graph: Graph, random: Random) -> Graph:
    """Another operator with like inputs."""
    at = random.randrange(len(graph.nodes))
    alike = [each for each in ALIKE if graph.nodes[at].operator in each]
    return _changed(graph, at, operator=random.choice(alike[0])) if alike else graph


def twice(graph: Graph, random: Random) -> Graph:
    """A node computed again, and something made of both results, which an optimiser may see to be one."""
    at = random.randrange(len(graph.nodes))
    node = graph.nodes[at]
    if len(node.outputs) > 1:
        return graph
    own, again, both = node.outputs[0], free(graph, "again"), free(graph, "both")
    extra = [
        replace(node, outputs=(again,)),
        Node(0, random.choice(("Add", "Sub", "Mul", "Max", "Div")), (own, again), (both,), {}),
    ]
    rest = [
        replace(each, inputs=tuple(both if name == own else name for name in each.inputs))
        for each in graph.nodes[at + 1 :]
    ]
    outputs = tuple(replace(port, name=both) if port.name == own else port for port in graph.outputs)
    return replace(numbered(graph, [*graph.nodes[: at + 1], *extra, *rest]), outputs=outputs)


def bypass(graph: Graph, random: Random) -> Graph:
    """One node less."""
    at = random.randrange(len(graph.nodes))
    gone, nodes = graph.nodes[at], list(graph.nodes)
    del nodes[at]
    if not nodes or not gone.inputs:
        return graph
    rest = [
        replace(node, inputs=tuple(gone.inputs[0] if name in gone.outputs else name for name in node.inputs))
        for node in nodes
    ]
    return numbered(graph, rest)


def order(graph: Graph, random: Random) -> Graph:
    """Two nodes that change places."""
    nodes = list(graph.nodes)
    one, other = (random.randrange(len(nodes)) for _ in range(2))
    nodes[one], nodes[other] = nodes[other], nodes[one]
    return numbered(graph, nodes)


def ports(graph: Graph, random: Random) -> Graph:
    """Another type, shape or name of an input or output, one more output, or two of the same name."""
    given, wanted = list(graph.inputs), list(graph.outputs)
    side = random.choice((given, wanted))
    at = random.randrange(len(side))
    port = side[at]
    match random.randrange(6):
        case 0:
            side[at] = replace(port, dtype=random.choice(KINDS))
        case 1:
            sizes = list(port.shape) or [1]
            sizes[random.randrange(len(sizes))] = random.choice((1, 2, 3, 5, 0, 2**20, 2**40))
            side[at] = replace(port, shape=tuple(sizes))
        case 2:
            side[at] = replace(port, name=random.choice(names(graph)))
        case 3:
            side.append(random.choice(side))
        case 4:
            wanted.append(replace(wanted[0], name=random.choice(names(graph))))
        case _:
            random.shuffle(side)
    return replace(graph, inputs=tuple(given), outputs=tuple(wanted))


def metadata(graph: Graph, random: Random) -> Graph:
    """A scale, right or wrong."""
    port = random.choice((*graph.inputs, *graph.outputs)).name
    key = random.choice((f"exact.scale.{port}", f"exact.zero_point.{port}", "exact.other"))
    value = random.choice(("1/7", "1/0", "0", "-1/2", "1 2 3", "1/1 " * 500, f"1/{2**70}", "nan", ""))
    return replace(graph, metadata={**graph.metadata, key: value})


CHANGES: Final[tuple[Change, ...]] = (
    *(attribute, attribute, constant, constant, constant, wire, operator, insert, insert, insert, insert),
    *(twice, twice, bypass, order, ports, metadata),
)
