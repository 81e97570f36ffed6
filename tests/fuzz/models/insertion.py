"""What hostile graphs are made of: odd numbers, free names, and nodes that an optimiser likes to fold, fuse
or drop, put between a tensor and those that take it.
"""

import struct
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from random import Random
from typing import Any, Final

from inference.canonical import write
from inference.graph import AttributeValue, Graph, Node
from inference.prover import examine
from inference.refusal import Refused
from inference.schema import ELEMENT_CODES
from inference.tensor import INTEGER_RANGES, ITEM_BYTES, Tensor, from_integers

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
UNSPEAKABLE: Final = (AssertionError, KeyError, OverflowError, ValueError, struct.error)
"""What is raised by whoever writes a graph that no file can hold."""


def names(graph: Graph) -> list[str]:
    computed = [name for node in graph.nodes for name in node.outputs]
    return [*(port.name for port in graph.inputs), *computed]


def free(graph: Graph, stem: str) -> str:
    taken = {*names(graph), *graph.constants}
    return next(name for name in (f"{stem}{at}" for at in range(len(taken) + 1)) if name not in taken)


def numbered(graph: Graph, nodes: list[Node], constants: Mapping[str, Tensor] | None = None) -> Graph:
    """The graph with other nodes, and with more constants."""
    placed = tuple(replace(node, position=at) for at, node in enumerate(nodes))
    return replace(graph, nodes=placed, constants={**graph.constants, **(constants or {})})


def replace_tensor(tensor: Tensor, **changes: Any) -> Tensor:
    """A tensor with other fields."""
    return Tensor(**{"dtype": tensor.dtype, "shape": tensor.shape, "data": tensor.data, **changes})


def element(dtype: str, random: Random) -> bytes:
    """The bytes of one element: most often small, now and then as odd as can be."""
    if dtype in LETTERS:
        value = random.randint(-20, 20) * 2.0 ** random.randint(-3, 1)
        if random.random() < 0.4:
            value = random.choice(NUMBERS)
        return struct.pack(f"<{LETTERS[dtype]}", value)
    low, high = INTEGER_RANGES[dtype]
    value = random.choice(WHOLE) if random.random() < 0.4 else random.randint(-5, 9)
    return from_integers(dtype, (), [min(max(value, low), high)]).data


def insert(graph: Graph, random: Random) -> Graph:
    """Something between a tensor and those that take it: what an optimiser likes to fold, fuse or drop."""
    name = random.choice(names(graph))
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
    except (*UNSPEAKABLE, Refused):
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
        real, whole = free(graph, "real"), free(graph, "whole")
        before = Node(0, "Cast", (name,), (real,), {"to": ELEMENT_CODES["float32"]})
        inputs = tuple(real if each == name else each for each in middle.inputs)
        last = more[-1] if more else middle
        after = Node(0, "Cast", last.outputs, (whole,), {"to": back})
        return [before, replace(middle, inputs=inputs), *more, after], constants
    return random.choice(INSERTED)(graph, name, dtype, shape, random)


def _unary(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    operators = ("Relu", "Round", "Identity", "Floor", "Ceil", "Sqrt", "HardSigmoid", "Sigmoid", "Neg")
    return [Node(0, random.choice(operators), (name,), (free(graph, "i"),), {})], {}


def _binary(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """With a constant for all elements, or for each of one dimension; now and then two such in a row."""
    made: list[Node] = []
    constants: dict[str, Tensor] = {}
    for _ in range(random.choice((1, 1, 2))):
        own = tuple(size if size <= 64 and random.random() < 0.3 else 1 for size in shape)
        own = random.choice(((), (1,), own, own))
        value, result = f"{free(graph, 'k')}n{len(made)}", f"{free(graph, 'i')}n{len(made)}"
        alike = random.random() < 0.5
        one = element(dtype, random)
        data = b"".join(one if alike else element(dtype, random) for _ in range(prod(own)))
        constants[value] = Tensor(dtype=dtype, shape=own, data=data)
        inputs = [made[-1].outputs[0] if made else name, value]
        if random.random() < 0.3:
            inputs.reverse()
        operator = random.choice(("Add", "Sub", "Mul", "Mul", "Div", "Max", "Min"))
        made.append(Node(0, operator, tuple(inputs), (result,), {}))
    return made, constants


def _casts(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    middle, last = free(graph, "cast"), free(graph, "back")
    first = Node(0, "Cast", (name,), (middle,), {"to": ELEMENT_CODES[random.choice(KINDS)]})
    back = Node(0, "Cast", (middle,), (last,), {"to": ELEMENT_CODES[random.choice((dtype, dtype, *KINDS))]})
    return [first, back], {}


def _limits(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Clip, alone or beside Relu or another Clip."""
    made: list[Node] = []
    constants: dict[str, Tensor] = {}
    for operator in random.choice((("Clip",), ("Clip", "Relu"), ("Relu", "Clip"), ("Clip", "Clip"))):
        given, result = made[-1].outputs[0] if made else name, f"{free(graph, 'i')}n{len(made)}"
        names = []
        if operator == "Clip":
            for limit in sorted((_small(random), _small(random))):
                names.append(f"{free(graph, 'k')}n{len(constants)}")
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
    first, middle, last = (free(graph, stem) for stem in ("turn", "mid", "unturn"))
    operator = random.choice(("Relu", "Round", "Identity"))
    return [
        Node(0, "Transpose", (name,), (first,), {"perm": order}),
        Node(0, operator, (first,), (middle,), {}),
        Node(0, "Transpose", (middle,), (last,), {"perm": random.choice((back, back, order))}),
    ], {}


def _shaped(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Reshape and back."""
    there, again = free(graph, "there"), free(graph, "again")
    middle, last = free(graph, "flat"), free(graph, "whole")
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
    by, fill, wide, result = (free(graph, stem) for stem in ("by", "fill", "padded", "part"))
    constants = {
        by: from_integers("int64", (2 * rank,), pads),
        fill: Tensor(dtype=dtype, shape=(), data=element(dtype, random)),
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
        names = [free(graph, f"list{at}n") for at in range(3)]
        constants |= {
            each: from_integers("int64", (rank,), values) for each, values in zip(names, lists, strict=True)
        }
        nodes.append(Node(0, "Slice", (wide, *names), (result,), {}))
    return nodes, constants


def _parted(graph: Graph, name: str, dtype: str, shape: tuple[int, ...], random: Random) -> Made:
    """Split and joined again, in either order; or doubled."""
    axis = max(range(len(shape)), key=lambda at: shape[at], default=0)
    size = shape[axis] if shape else 1
    result, sizes = free(graph, "joined"), free(graph, "sizes")
    if size < 2:
        return [Node(0, "Concat", (name,), (result,), {"axis": axis})], {}
    first = random.randint(1, size - 1)
    parts = [f"{free(graph, 'p')}n{at}" for at in range(2)]
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
