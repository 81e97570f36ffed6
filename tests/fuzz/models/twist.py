"""Exact models changed with their structure in mind: most changes keep a graph well formed, so that a good
share of the results is proved, and what engines make of them can be compared.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from random import Random
from typing import Any, Final, cast

import onnx

from inference.canonical import write
from inference.graph import AttributeValue, Graph, Node, Port, read
from inference.operators.registry import EXACT
from inference.prover import examine, prove
from inference.refusal import Refused
from inference.schema import ELEMENT_CODES
from inference.tensor import INTEGER_RANGES, ITEM_BYTES, Tensor, from_integers

CHANGES_MAX: Final = 4
MENDS: Final = 4
"""How often the declared outputs are made to fit before the prover's word counts."""

NUMBERS: Final = (
    *(0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 0.25, 0.3, 1 / 3, 0.1, 3.0, 7.0, 255.0, 127.5, 2.5, -0.5),
    *(2.0**24 - 1, 2.0**24, 2.0**-24, 2.0**-36, 2.0**-37, 2.0**-51, 2.0**15, 2.0**16, 2.0**31, 2.0**63, 1e6),
    *(2.0**-126, 2.0**-127, 1e-45, 3.4e38, float("inf"), float("-inf"), float("nan"), 1 + 2.0**-23),
)
WHOLE: Final = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 16, 63, 64, 65, 127, 128, 255, 256, 1000, 65_535, 65_536, 2**24, 2**26),
    *(-1, -2, -3, -4, -128, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63)),
)
KINDS: Final = tuple(ITEM_BYTES)
LETTERS: Final = {"float32": "f", "float64": "d"}
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

_UNSPEAKABLE: Final = (AssertionError, KeyError, OverflowError, ValueError, struct.error)
"""What is raised by whoever writes a graph that no file can hold."""

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
    except (*_UNSPEAKABLE, Refused):
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


def numbered(graph: Graph, nodes: list[Node], constants: Mapping[str, Tensor] | None = None) -> Graph:
    """The graph with other nodes, and with more constants."""
    placed = tuple(replace(node, position=at) for at, node in enumerate(nodes))
    return replace(graph, nodes=placed, constants={**graph.constants, **(constants or {})})


def _changed(graph: Graph, at: int, **changes: Any) -> Graph:
    """The graph with another node at one place."""
    nodes = list(graph.nodes)
    nodes[at] = replace(nodes[at], **changes)
    return numbered(graph, nodes)


def _names(graph: Graph) -> list[str]:
    computed = [name for node in graph.nodes for name in node.outputs]
    return [*(port.name for port in graph.inputs), *computed]


def _free(graph: Graph, stem: str) -> str:
    taken = {*_names(graph), *graph.constants}
    return next(name for name in (f"{stem}{at}" for at in range(len(taken) + 1)) if name not in taken)


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
            return replace_tensor(tensor, data=_element(tensor.dtype, random) * count)
    at = random.randrange(count) * size
    return replace_tensor(
        tensor, data=tensor.data[:at] + _element(tensor.dtype, random) + tensor.data[at + size :]
    )


def replace_tensor(tensor: Tensor, **changes: Any) -> Tensor:
    """A tensor with other fields."""
    return Tensor(**{"dtype": tensor.dtype, "shape": tensor.shape, "data": tensor.data, **changes})


def _element(dtype: str, random: Random) -> bytes:
    """The bytes of one element: most often small, now and then as odd as can be."""
    if dtype in LETTERS:
        value = random.randint(-20, 20) * 2.0 ** random.randint(-3, 1)
        if random.random() < 0.4:
            value = random.choice(NUMBERS)
        return struct.pack(f"<{LETTERS[dtype]}", value)
    low, high = INTEGER_RANGES[dtype]
    value = random.choice(WHOLE) if random.random() < 0.4 else random.randint(-5, 9)
    return from_integers(dtype, (), [min(max(value, low), high)]).data


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
            inputs[random.randrange(len(inputs))] = random.choice(["", *_names(graph)])
        case _:
            inputs[0] = random.choice(before[-6:])
    return _changed(graph, at, inputs=tuple(inputs))


def operator(graph: Graph, random: Random) -> Graph:
    """Another operator with like inputs."""
    at = random.randrange(len(graph.nodes))
    alike = [each for each in ALIKE if graph.nodes[at].operator in each]
    return _changed(graph, at, operator=random.choice(alike[0])) if alike else graph


def insert(graph: Graph, random: Random) -> Graph:
    """Something between a tensor and those that take it: what an optimiser likes to fold, fuse or drop."""
    name = random.choice(_names(graph))
    made, constants = _inserted(graph, name, types(graph), random)
    nodes: list[Node] = []
    ready = name in {port.name for port in graph.inputs}
    if ready:
        nodes += made
    chosen = random.random() < 0.2
    for node in graph.nodes:
        if not ready:
            nodes.append(node)
            if name in node.outputs:
                nodes += made
                ready = True
            continue
        inputs = tuple(made[-1].outputs[0] if each == name else each for each in node.inputs)
        skips = chosen and random.random() < 0.5
        nodes.append(node if skips else replace(node, inputs=inputs))
    outputs = tuple(
        replace(port, name=made[-1].outputs[0]) if port.name == name else port for port in graph.outputs
    )
    return replace(numbered(graph, nodes, constants), outputs=outputs)


def types(graph: Graph) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of what is computed, as far as the prover gets."""
    known = {port.name: (port.dtype, port.shape) for port in graph.inputs}
    try:
        findings = examine(write(graph))[1]
    except (*_UNSPEAKABLE, Refused):
        return known
    for node, finding in zip(graph.nodes, findings, strict=True):
        for name, value in zip(node.outputs, finding.values, strict=True):
            known[name] = (value.dtype, value.shape)
    return known


Made = tuple[list[Node], dict[str, Tensor]]


def _inserted(
    graph: Graph, name: str, known: Mapping[str, tuple[str, tuple[int, ...]]], random: Random
) -> Made:
    """One node or several after the tensor `name`, with their constants."""
    dtype, shape = known.get(name, ("float32", (1, 3)))
    if dtype in INTEGER_RANGES and random.random() < 0.4:
        back = ELEMENT_CODES[random.choice((dtype, "int32", "float32"))]
        (middle, *more), constants = random.choice(INSERTED)(graph, name, "float32", shape, random)
        real, whole = _free(graph, "real"), _free(graph, "whole")
        before = Node(0, "Cast", (name,), (real,), {"to": ELEMENT_CODES["float32"]})
        inputs = tuple(real if each == name else each for each in middle.inputs)
        last = more[-1] if more else middle
        after = Node(0, "Cast", last.outputs, (whole,), {"to": back})
        return [before, replace(middle, inputs=inputs), *more, after], constants
    return random.choice(INSERTED)(graph, name, dtype, shape, random)


def _unary(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    operators = ("Relu", "Round", "Identity", "Floor", "Ceil", "Sqrt", "HardSigmoid", "Sigmoid", "Neg")
    return [Node(0, random.choice(operators), (name,), (_free(graph, "i"),), {})], {}


def _binary(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """With a constant for all elements, or for each of one dimension; now and then two such in a row."""
    made: list[Node] = []
    constants: dict[str, Tensor] = {}
    for _ in range(random.choice((1, 1, 2))):
        own = tuple(size if size <= 64 and random.random() < 0.3 else 1 for size in shape)
        own = random.choice(((), (1,), own, own))
        value, result = f"{_free(graph, 'k')}n{len(made)}", f"{_free(graph, 'i')}n{len(made)}"
        alike = random.random() < 0.5
        one = _element(dtype, random)
        data = b"".join(one if alike else _element(dtype, random) for _ in range(prod(own)))
        constants[value] = Tensor(dtype=dtype, shape=own, data=data)
        inputs = [made[-1].outputs[0] if made else name, value]
        if random.random() < 0.3:
            inputs.reverse()
        operator = random.choice(("Add", "Sub", "Mul", "Mul", "Div", "Max", "Min"))
        made.append(Node(0, operator, tuple(inputs), (result,), {}))
    return made, constants


def _casts(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    middle, last = _free(graph, "cast"), _free(graph, "back")
    first = Node(0, "Cast", (name,), (middle,), {"to": ELEMENT_CODES[random.choice(KINDS)]})
    back = Node(0, "Cast", (middle,), (last,), {"to": ELEMENT_CODES[random.choice((dtype, dtype, *KINDS))]})
    return [first, back], {}


def _limits(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Clip, alone or beside Relu or another Clip."""
    made: list[Node] = []
    constants: dict[str, Tensor] = {}
    for operator in random.choice((("Clip",), ("Clip", "Relu"), ("Relu", "Clip"), ("Clip", "Clip"))):
        given, result = made[-1].outputs[0] if made else name, f"{_free(graph, 'i')}n{len(made)}"
        names = []
        if operator == "Clip":
            for limit in sorted((_small(random), _small(random))):
                names.append(f"{_free(graph, 'k')}n{len(constants)}")
                constants[names[-1]] = _number(dtype, limit)
        made.append(Node(0, operator, (given, *names), (result,), {}))
    return made, constants


def _number(dtype: str, value: float) -> Tensor:
    if dtype in LETTERS:
        return Tensor(dtype=dtype, shape=(), data=struct.pack(f"<{LETTERS[dtype]}", value))
    low, high = INTEGER_RANGES[dtype]
    return from_integers(dtype, (), [min(max(int(value), low), high)])


def _turned(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Transpose, with its inverse after something else: optimisers push them past each other."""
    rank = len(shape)
    order = tuple(random.sample(range(rank), rank))
    back = tuple(order.index(at) for at in range(rank))
    first, middle, last = (_free(graph, stem) for stem in ("turn", "mid", "unturn"))
    operator = random.choice(("Relu", "Round", "Identity"))
    return [
        Node(0, "Transpose", (name,), (first,), {"perm": order}),
        Node(0, operator, (first,), (middle,), {}),
        Node(0, "Transpose", (middle,), (last,), {"perm": random.choice((back, back, order))}),
    ], {}


def _shaped(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Reshape and back."""
    there, again = _free(graph, "there"), _free(graph, "again")
    middle, last = _free(graph, "flat"), _free(graph, "whole")
    sizes = random.choice(((-1,), (1, -1), (0, -1), (*shape, 1), (1, *shape)))
    sizes = sizes[:8]
    constants = {
        there: from_integers("int64", (len(sizes),), list(sizes)),
        again: from_integers("int64", (max(1, len(shape)),), list(shape) or [1]),
    }
    nodes = [
        Node(0, "Reshape", (name, there), (middle,), {}),
        Node(0, "Reshape", (middle, again), (last,), {}),
    ]
    return nodes, constants


def _padded(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Pad, of any fill; then the part that was there before, or a pool over it."""
    rank = len(shape)
    pads = [random.choice((0, 0, 0, 1, 2)) for _ in range(2 * rank)]
    if rank == 4 and random.random() < 0.7:
        pads = [0, 0, *pads[2:4], 0, 0, *pads[6:8]]
    by, fill, wide, result = (_free(graph, stem) for stem in ("by", "fill", "padded", "part"))
    constants = {
        by: from_integers("int64", (2 * rank,), pads),
        fill: Tensor(dtype=dtype, shape=(), data=_element(dtype, random)),
    }
    nodes = [Node(0, "Pad", (name, by, fill), (wide,), {})]
    if rank == 4 and random.random() < 0.3:
        window: dict[str, AttributeValue] = {"kernel_shape": (2, 2), "strides": (1, 1), "dilations": (1, 1)}
        pool = random.choice(((0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 1)))
        return [*nodes, Node(0, "MaxPool", (wide,), (result,), {**window, "pads": pool})], constants
    if rank and random.random() < 0.7:
        lists = [
            pads[:rank],
            [start + size for start, size in zip(pads, shape, strict=False)],
            list(range(rank)),
        ]
        names = [_free(graph, f"list{at}n") for at in range(3)]
        constants |= {
            each: from_integers("int64", (rank,), values) for each, values in zip(names, lists, strict=True)
        }
        nodes.append(Node(0, "Slice", (wide, *names), (result,), {}))
    return nodes, constants


def _parted(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Split and joined again, in either order; or doubled."""
    axis = max(range(len(shape)), key=lambda at: shape[at], default=0)
    size = shape[axis] if shape else 1
    result, sizes = _free(graph, "joined"), _free(graph, "sizes")
    if size < 2:
        return [Node(0, "Concat", (name,), (result,), {"axis": axis})], {}
    first = random.randint(1, size - 1)
    parts = [f"{_free(graph, 'p')}n{at}" for at in range(2)]
    joined = tuple(random.choice((parts, parts, parts[::-1])))
    constants = {sizes: from_integers("int64", (2,), [first, size - first])}
    return [
        Node(0, "Split", (name, sizes), tuple(parts), {"axis": axis}),
        Node(0, "Concat", joined, (result,), {"axis": axis}),
    ], constants


INSERTED: Final = (
    *(_unary, _binary, _binary, _binary, _casts, _limits, _limits, _turned, _shaped, _padded, _parted),
)


def _small(random: Random) -> float:
    return random.choice((0.0, 0.0, 1.0, 6.0, -1.0, 3.5, 255.0, -128.0, 127.0, random.choice(NUMBERS[:16])))


def twice(graph: Graph, random: Random) -> Graph:
    """A node computed again, and something made of both results, which an optimiser may see to be one."""
    at = random.randrange(len(graph.nodes))
    node = graph.nodes[at]
    if len(node.outputs) > 1:
        return graph
    own, again, both = node.outputs[0], _free(graph, "again"), _free(graph, "both")
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
            side[at] = replace(port, name=random.choice(_names(graph)))
        case 3:
            side.append(random.choice(side))
        case 4:
            wanted.append(replace(wanted[0], name=random.choice(_names(graph))))
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
