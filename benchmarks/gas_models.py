"""Models in exact form for measuring gas: of every kind and of many sizes, with random integer weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np

from inference.canonical import write
from inference.engines.interface import Array, from_array
from inference.graph import LEARNERS, AttributeValue, Graph, Node, Port
from inference.tensor import Tensor

FLOAT: Final = 1
INT32: Final = 6
INT64: Final = 7


@dataclass(frozen=True, slots=True)
class Measured:
    """A model and an input."""

    model: bytes
    inputs: tuple[Tensor, ...]


@dataclass(slots=True)
class Builder:
    """Adds nodes to one path."""

    shape: tuple[int, ...]
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    at: str = "x"
    input_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.input_shape = self.shape
        self.node("Cast", self.shape, to=FLOAT)

    def node(self, operator: str, shape: tuple[int, ...], *others: str, **attributes: AttributeValue) -> str:
        """One node on what was computed last, and `others`; the name of its output."""
        output = f"t{len(self.nodes)}"
        ordered = dict(sorted(attributes.items()))
        domain = LEARNERS if operator == "TreeEnsembleRegressor" else ""
        self.nodes.append(Node(len(self.nodes), operator, (self.at, *others), (output,), ordered, domain))
        self.at, self.shape = output, shape
        return output

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = from_array(array)
        return name

    def weights(self, terms: int, *shape: int) -> str:
        """Integers of up to seven bits, fewer where sums of so many products would not stay exact."""
        most = max(1, min(64, 100_000 // terms))
        return self.constant(self.random.integers(-most, most + 1, shape).astype(np.float32))

    def requantise(self) -> None:
        low, high = (self.constant(np.array(value, np.float32)) for value in (0, 127))
        self.node("Clip", self.shape, low, high)
        self.node("Round", self.shape)

    def dense(self, outputs: int) -> None:
        rows, inputs = self.shape
        self.node("Gemm", (rows, outputs), self.weights(inputs, inputs, outputs), self.weights(1, outputs))
        self.requantise()

    def matmul(self, outputs: int) -> None:
        """A linear layer on each row of a sequence."""
        self.node(
            "MatMul", (*self.shape[:-1], outputs), self.weights(self.shape[-1], self.shape[-1], outputs)
        )
        self.requantise()

    def conv(self, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        _, inputs, height, width = self.shape
        each = inputs // groups
        shape = (1, channels, height // stride, width // stride)
        around = (kernel // 2, kernel // 2, (kernel - 1) // 2, (kernel - 1) // 2)
        self.node(
            "Conv",
            shape,
            self.weights(each * kernel**2, channels, each, kernel, kernel),
            self.weights(1, channels),
            dilations=(1, 1),
            group=groups,
            kernel_shape=(kernel, kernel),
            pads=around,
            strides=(stride, stride),
        )
        self.requantise()

    def add(self, before: str) -> None:
        self.node("Add", self.shape, before)

    def pool(self) -> None:
        _, channels, height, width = self.shape
        shape = (1, channels, height // 2, width // 2)
        self.node("MaxPool", shape, dilations=(1, 1), kernel_shape=(2, 2), pads=(0, 0, 0, 0), strides=(2, 2))

    def flatten(self) -> None:
        self.node("Flatten", (1, prod(self.shape)), axis=1)

    def table(self, size: int = 256) -> None:
        """A function of each element, looked up."""
        index = self.node("Cast", self.shape, to=INT64)
        self.at = self.constant(self.random.integers(0, 128, size).astype(np.float32))
        self.node("Gather", self.shape, index, axis=0)

    def attention(self, heads: int) -> None:
        """Of a sequence with itself, the softmax by a table."""
        _, length, width = self.shape
        split = (1, length, heads, width // heads)
        source, parts = self.at, []
        for order in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)):
            self.at, self.shape = source, (1, length, width)
            self.matmul(width)
            self.node("Reshape", split, self.constant(np.array(split, np.int64)))
            shape = tuple(split[at] for at in order)
            parts.append((self.node("Transpose", shape, perm=order), shape))
        (query, _), (key, _), (value, _) = parts
        scores = (1, heads, length, length)
        self.at = query
        self.node("MatMul", scores, key)
        self.requantise()
        self.table()
        self.node("MatMul", (1, heads, length, width // heads), value)
        self.requantise()
        self.node("Transpose", split, perm=(0, 2, 1, 3))
        self.node("Reshape", (1, length, width), self.constant(np.array((1, length, width), np.int64)))
        self.matmul(width)

    def forest(self, trees: int, depth: int, targets: int) -> None:
        """Complete trees."""
        attributes = tree_lists(trees, depth, targets, self.shape[1], self.random)
        self.node("TreeEnsembleRegressor", (self.shape[0], targets), **attributes)

    def finish(self) -> Measured:
        """The model with integers at both ends."""
        self.node("Round", self.shape)
        self.node("Cast", self.shape, to=INT32)
        ports = (Port("x", "uint8", self.input_shape),), (Port(self.at, "int32", self.shape),)
        model = write(Graph(*ports, tuple(self.nodes), self.constants, {}))
        image = self.random.integers(0, 128, self.input_shape).astype(np.uint8)
        return Measured(model, (from_array(image),))


def tree_lists(
    trees: int, depth: int, targets: int, features: int, random: np.random.Generator
) -> dict[str, AttributeValue]:
    """The attributes of an ensemble of complete trees, in the order of a heap."""
    inner, count = 2**depth - 1, 2 ** (depth + 1) - 1
    ids = list(range(count))
    leaves = ids[inner:]
    modes = [b"BRANCH_LEQ"] * inner + [b"LEAF"] * len(leaves)
    below = [2 * each + 1 if each < inner else 0 for each in ids]
    thresholds = random.integers(0, 128, (trees, count)) * (np.array(ids) < inner)
    chosen = random.integers(0, features, (trees, count)) * (np.array(ids) < inner)
    return {
        "n_targets": targets,
        "nodes_treeids": tuple(tree for tree in range(trees) for _ in ids),
        "nodes_nodeids": tuple(ids * trees),
        "nodes_modes": tuple(modes * trees),
        "nodes_featureids": tuple(int(each) for each in chosen.flatten()),
        "nodes_values": tuple(float(each) for each in thresholds.flatten()),
        "nodes_truenodeids": tuple(below * trees),
        "nodes_falsenodeids": tuple([each + 1 if each else 0 for each in below] * trees),
        "target_treeids": tuple(tree for tree in range(trees) for _ in leaves),
        "target_nodeids": tuple(leaves * trees),
        "target_ids": tuple(int(each) for each in random.integers(0, targets, trees * len(leaves))),
        "target_weights": tuple(float(each) for each in random.integers(-99, 99, trees * len(leaves))),
    }


def dense(*sizes: int) -> Measured:
    builder = Builder((1, sizes[0]))
    for size in sizes[1:]:
        builder.dense(size)
    return builder.finish()


def convolutions(side: int, channels: Sequence[int], classes: int = 10) -> Measured:
    """Two layers of each width, the size halved after each pair."""
    builder = Builder((1, 3, side, side))
    for width in channels:
        builder.conv(width, 3)
        builder.conv(width, 3)
        builder.pool()
    builder.flatten()
    builder.dense(classes)
    return builder.finish()


def residual(side: int, channels: Sequence[int]) -> Measured:
    builder = Builder((1, 3, side, side))
    builder.conv(channels[0], 7, stride=2)
    for width in channels:
        builder.conv(width, 3, stride=2)
        for _ in range(2):
            before = builder.at
            builder.conv(width, 3)
            builder.conv(width, 3)
            builder.add(before)
            builder.requantise()
    builder.flatten()
    builder.dense(100)
    return builder.finish()


def separable(side: int, channels: Sequence[int]) -> Measured:
    """Depthwise convolutions, as MobileNet has them."""
    builder = Builder((1, 3, side, side))
    builder.conv(channels[0], 3, stride=2)
    for at, width in enumerate(channels):
        inside = builder.shape[1] * 4
        builder.conv(inside, 1)
        builder.conv(inside, 3, stride=2 if at % 2 else 1, groups=inside)
        builder.conv(width, 1)
    builder.flatten()
    builder.dense(100)
    return builder.finish()


def transformer(length: int, width: int, blocks: int) -> Measured:
    builder = Builder((1, length, width))
    for _ in range(blocks):
        before = builder.at
        builder.attention(heads=4)
        builder.add(before)
        builder.requantise()
        before = builder.at
        builder.matmul(4 * width)
        builder.table()
        builder.matmul(width)
        builder.add(before)
        builder.requantise()
    return builder.finish()


def tables(elements: int, count: int) -> Measured:
    builder = Builder((1, elements))
    for _ in range(count):
        builder.table()
    return builder.finish()


def forest(trees: int, depth: int, targets: int, features: int = 30) -> Measured:
    builder = Builder((1, features))
    builder.forest(trees, depth, targets)
    return builder.finish()


def elementwise(elements: int, count: int) -> Measured:
    builder = Builder((1, elements))
    for _ in range(count):
        builder.requantise()
    return builder.finish()


MODELS: Final[Mapping[str, Callable[[], Measured]]] = {
    "dense 30-16-2": lambda: dense(30, 16, 2),
    "dense 784-512-512-10": lambda: dense(784, 512, 512, 10),
    "dense 2048-2048-2048-1000": lambda: dense(2048, 2048, 2048, 1000),
    "dense, 24 layers of 32": lambda: dense(*[32] * 25),
    "convolutions 16x16": lambda: convolutions(16, (8, 16)),
    "convolutions 64x64": lambda: convolutions(64, (16, 32, 64)),
    "convolutions 128x128": lambda: convolutions(128, (32, 64, 128)),
    "residual 64x64": lambda: residual(64, (16, 32, 64)),
    "residual 224x224": lambda: residual(224, (64, 128, 256)),
    "separable 64x64": lambda: separable(64, (16, 24, 32)),
    "separable 160x160": lambda: separable(160, (16, 24, 32, 64)),
    "transformer 32 x 64": lambda: transformer(32, 64, 2),
    "transformer 128 x 256": lambda: transformer(128, 256, 4),
    "tables, 1,000 elements": lambda: tables(1_000, 2),
    "tables, 100,000 elements": lambda: tables(100_000, 4),
    "forest, 50 trees of depth 4": lambda: forest(50, 4, 1),
    "forest, 200 trees of depth 6": lambda: forest(200, 6, 3),
    "forest, 12 trees of depth 10": lambda: forest(12, 10, 10),
    "elementwise, 1,000 elements": lambda: elementwise(1_000, 8),
    "elementwise, 500,000 elements": lambda: elementwise(500_000, 4),
}
