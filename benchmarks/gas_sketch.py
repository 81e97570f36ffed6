"""Graphs of which one kind of node takes nearly all the time, put together for measuring gas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.gas_models import tree_lists
from inference.canonical import write
from inference.engines.interface import Array, from_array
from inference.graph import LEARNERS, AttributeValue, Graph, Node, Port
from inference.schema import ELEMENT_CODES
from inference.tensor import Shape, Tensor

FLOAT: Final = "float32"
INT32: Final = ELEMENT_CODES["int32"]

Named = tuple[str, int]
"""A tensor and its rank."""


@dataclass(slots=True)
class Sketch:
    """A graph that grows from one input of small integers."""

    shape: Shape
    dtype: str = FLOAT
    """Of the tensor `x` that the input is cast to."""
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    scores: tuple[str, Shape] | None = None
    """A tensor that is given as it is."""

    def __post_init__(self) -> None:
        if self.dtype == "int8":
            self.add("Identity", "input")
        else:
            self.add("Cast", "input", to=ELEMENT_CODES[self.dtype])

    def add(self, operator: str, *inputs: "str | Array", **attributes: AttributeValue) -> str:
        """One node; the name of its output."""
        return self.split(operator, 1, *inputs, **attributes)[0]

    def split(
        self, operator: str, count: int, *inputs: "str | Array", **attributes: AttributeValue
    ) -> tuple[str, ...]:
        """One node; the names of its outputs."""
        names = tuple(each if isinstance(each, str) else self.constant(each) for each in inputs)
        base = f"t{len(self.nodes)}"
        outputs = tuple(f"{base}.{at}" for at in range(count))
        known = dict(sorted(attributes.items()))
        domain = LEARNERS if operator == "TreeEnsembleRegressor" else ""
        self.nodes.append(Node(len(self.nodes), operator, names, outputs, known, domain))
        return outputs

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = from_array(array)
        return name

    def model(self, ends: Sequence[Named]) -> bytes:
        """The file, an output of one element for each end."""
        ports = []
        for name, _ in ends:
            # Optimisers would move a Slice before the nodes that only move elements.
            flat = self.add("Reshape", name, ints(-1))
            last = self.add("Slice", flat, ints(0), ints(1), ints(0))
            ports.append(Port(self.add("Cast", last, to=INT32), "int32", (1,)))
        if self.scores is not None:
            ports.append(Port(self.scores[0], "int32", self.scores[1]))
        inputs = (Port("input", "int8", self.shape),)
        return write(Graph(inputs, tuple(ports), tuple(self.nodes), self.constants, {}))


Work = Callable[[Sketch, tuple[Named, ...]], tuple[Named, ...]]


@dataclass(frozen=True, slots=True)
class Case:
    """Nodes to be measured, on tensors that `prepare` makes."""

    shape: Shape
    work: Work
    dtype: str = FLOAT
    prepare: Work = lambda sketch, ends: ends
    high: int = 100
    """Greatest number of the input."""

    def models(self) -> tuple[bytes, bytes]:
        """Without and with the nodes to be measured."""
        files = []
        for measured in (False, True):
            sketch = Sketch(self.shape, self.dtype)
            ends = self.prepare(sketch, (("t0.0", len(self.shape)),))
            files.append(sketch.model((*ends, *self.work(sketch, ends)) if measured else ends))
        return files[0], files[1]

    def input(self) -> Tensor:
        random = np.random.default_rng(1)
        return from_array(random.integers(0, self.high + 1, self.shape).astype(np.int8))


def one(operator: str, rank: int, *others: Array, **attributes: AttributeValue) -> Work:
    """A node on the last tensor that was prepared, whose result has `rank` dimensions."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.add(operator, ends[-1][0], *others, **attributes), rank),)

    return work


def several(*works: Work) -> Work:
    """Each of them on the same tensors."""
    return lambda sketch, ends: tuple(each for work in works for each in work(sketch, ends))


def before(operator: str, rank: int, *constants: Array, **attributes: AttributeValue) -> Work:
    """As `one`, with constants before the tensor."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.add(operator, *constants, ends[-1][0], **attributes), rank),)

    return work


def both(operator: str, rank: int, **attributes: AttributeValue) -> Work:
    """A node on the first two tensors that were prepared."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.add(operator, ends[0][0], ends[1][0], **attributes), rank),)

    return work


def shaped(*shapes: Shape) -> Work:
    """The input in each of several shapes."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        x = ends[0][0]
        return tuple((sketch.add("Reshape", x, ints(*shape)), len(shape)) for shape in shapes)

    return work


def conv(
    inputs: int, outputs: int, kernel: Shape, *, group: int = 1, transposed: bool = False, **more: Shape
) -> Work:
    """Of ones, so that sums stay small."""
    rank = len(kernel)
    shape = (inputs, outputs // group, *kernel) if transposed else (outputs, inputs // group, *kernel)
    window: dict[str, AttributeValue] = {
        "kernel_shape": kernel,
        "strides": (1,) * rank,
        "dilations": (1,) * rank,
        "pads": (0,) * 2 * rank,
        "group": group,
        **more,
    }
    if transposed:
        window.setdefault("output_padding", (0,) * rank)
    return one("ConvTranspose" if transposed else "Conv", rank + 2, np.ones(shape, np.float32), **window)


def pool(kernel: Shape, **more: Shape) -> Work:
    rank = len(kernel)
    window: dict[str, AttributeValue] = {
        "kernel_shape": kernel,
        "strides": (1,) * rank,
        "dilations": (1,) * rank,
        "pads": (0,) * 2 * rank,
        **more,
    }
    return one("MaxPool", rank + 2, **window)


def matmul(rows: int, inner: int, columns: int, batch: int) -> Case:
    """Of two computed tensors."""
    size = batch * max(rows * inner, inner * columns)
    shapes = shaped((batch, rows, size // batch // rows), (batch, size // batch // columns, columns))

    def prepare(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        found = shapes(sketch, ends)
        limits = ints(0, 0), ints(rows, inner), ints(inner, columns)
        first = sketch.add("Slice", found[0][0], limits[0], limits[1], ints(1, 2))
        second = sketch.add("Slice", found[1][0], limits[0], limits[2], ints(1, 2))
        return (first, 3), (second, 3)

    return Case((size,), both("MatMul", 3), prepare=prepare, high=1)


def table(rows: int, width: int, count: int) -> Case:
    """Looked up at places all over it, which no cache foresees: an index of four bytes of the input."""
    bits = rows.bit_length() - 1
    digits = (bits + 6) // 7
    weights = np.array([[2 ** max(0, bits - 7 * (at + 1))] for at in range(digits)], np.float32)

    def prepare(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        clipped = sketch.add("Clip", ends[0][0], number(0), number(127))
        mixed = sketch.add("MatMul", clipped, weights)
        limited = sketch.add("Clip", mixed, number(0), number(rows - 1))
        index = sketch.add("Cast", limited, to=ELEMENT_CODES["int32"])
        return ((sketch.add("Reshape", index, ints(count)), 1),)

    values = np.ones((rows, width) if width > 1 else (rows,), np.float32)
    rank = 2 if width > 1 else 1
    return Case((count, digits), before("Gather", rank, values, axis=0), prepare=prepare, high=127)


def elements(rows: int, count: int) -> Case:
    """As `table`, element by element."""
    known = table(rows, 1, count)
    return replace(known, work=before("GatherElements", 1, np.ones(rows, np.float32), axis=0))


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def number(value: float, dtype: str = FLOAT) -> Array:
    return np.array(value, dtype)


def perms(*orders: Shape) -> Work:
    return several(*(one("Transpose", len(order), perm=order) for order in orders))


def cast(to: str, rank: int = 1) -> Work:
    return one("Cast", rank, to=ELEMENT_CODES[to])


def resize(*factors: int) -> Work:
    """`Resize` leaves its second input out."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        scales = sketch.constant(np.array(factors, np.float32))
        modes = {"coordinate_transformation_mode": b"asymmetric", "mode": b"nearest"}
        return (
            (sketch.add("Resize", ends[-1][0], "", scales, nearest_mode=b"floor", **modes), len(factors)),
        )

    return work


def concat(parts: int, axis: int, rank: int) -> Work:
    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.add("Concat", *[ends[-1][0]] * parts, axis=axis), rank),)

    return work


def split(parts: int, axis: int, rank: int, size: int = 1) -> Work:
    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        names = sketch.split("Split", parts, ends[-1][0], ints(*[size] * parts), axis=axis)
        return tuple((name, rank) for name in names)

    return work


def divided(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
    x, rank = ends[-1]
    quotient = sketch.add("Div", ends[0][0], x)
    return ((sketch.add("Round", quotient), rank),)


def positive(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
    x, rank = ends[0]
    return (ends[0], (sketch.add("Clip", x, number(1, sketch.dtype), number(99, sketch.dtype)), rank))


def rooted(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
    x, rank = ends[-1]
    return ((sketch.add("Round", sketch.add("Sqrt", x)), rank),)


def whole(operator: str, **attributes: AttributeValue) -> Work:
    """With the Round that it needs."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.add("Round", sketch.add(operator, ends[-1][0], **attributes)), ends[-1][1]),)

    return work


def trees(count: int, depth: int, features: int, rows: int, targets: int = 1) -> Case:
    attributes = tree_lists(count, depth, targets, features, np.random.default_rng(1))

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.add("TreeEnsembleRegressor", ends[-1][0], **attributes), 2),)

    return Case((rows, features), work)


def ranked(operator: str, shape: Shape, *others: Array, count: int = 1, **attributes: AttributeValue) -> Case:
    """The scores are outputs themselves, as they must be."""

    def prepare(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        sketch.scores = sketch.add("Cast", ends[0][0], to=INT32), shape
        return ((sketch.scores[0], len(shape)),)

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        return ((sketch.split(operator, count, ends[-1][0], *others, **attributes)[0], len(shape)),)

    return Case(shape, work, prepare=prepare)


def many(count: int, size: int) -> Case:
    """Tiny nodes in great number, none of which an optimiser melts with the next."""

    def work(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
        name, rank = ends[-1]
        for at in range(count):
            name = sketch.add("Max" if at % 2 else "Min", name, number(at % 7 + 50))
        return ((name, rank),)

    return Case((1, size), work)
