"""Small models for tests, written by the project's own writer or, where a file must be odd, by the onnx
library.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.canonical import write
from inference.engines.interface import from_array
from inference.graph import AttributeValue, Graph, Node, Port
from inference.tensor import Tensor

TO_FLOAT = 1
TO_INT32 = 6


def floats(shape: Sequence[int], values: Sequence[float]) -> Tensor:
    """A float32 constant."""
    return Tensor(dtype="float32", shape=tuple(shape), data=struct.pack(f"<{len(values)}f", *values))


def node(operator: str, inputs: str, output: str, **attributes: AttributeValue) -> Node:
    """A node; input names are separated by spaces, `-` stands for one left out."""
    names = tuple("" if name == "-" else name for name in inputs.split())
    return Node(position=-1, operator=operator, inputs=names, outputs=(output,), attributes=attributes)


def file(
    nodes: Sequence[Node],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    constants: dict[str, Tensor] | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """The file of a graph whose nodes are numbered in order."""
    numbered = tuple(replace(each, position=position) for position, each in enumerate(nodes))
    return write(Graph(tuple(inputs), tuple(outputs), numbered, constants or {}, metadata or {}))


def two_layers(
    first: Sequence[float] = (3, -2, 0.5, 4, 1, -1, 2, 0.25, -5, 6, 7, -8),
    first_bias: Sequence[float] = (1, -2.5, 3, 0),
    metadata: dict[str, str] | None = None,
) -> bytes:
    """int8 x[1,3] -> Gemm [3,4] -> Clip 0..255 -> Round -> MatMul [4,2] -> Add -> scores, class."""
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Gemm", "real w1 b1", "sums"),
        node("Clip", "sums zero top", "limited"),
        node("Round", "limited", "hidden"),
        node("MatMul", "hidden w2", "products"),
        node("Add", "products b2", "logits"),
        node("Cast", "logits", "scores", to=TO_INT32),
        node("ArgMax", "scores", "class", axis=1, keepdims=0),
    ]
    constants = {
        "w1": floats((3, 4), first),
        "b1": floats((4,), first_bias),
        "zero": floats((), (0,)),
        "top": floats((), (255,)),
        "w2": floats((4, 2), (1, -2, 3, -4, 5, -6, 7, -8)),
        "b2": floats((2,), (10, 20)),
    }
    outputs = [Port("scores", "int32", (1, 2)), Port("class", "int64", (1,))]
    return file(nodes, [Port("x", "int8", (1, 3))], outputs, constants, metadata)


def one_node(
    operator: str, second: Tensor | None = None, dtype: str = "int8", **attributes: AttributeValue
) -> bytes:
    """int8 x[1,3] -> Cast -> the operator with at most one constant -> Round -> Cast -> y[1,3]."""
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node(operator, "real c" if second else "real", "result", **attributes),
        node("Round", "result", "rounded"),
        node("Cast", "rounded", "y", to=TO_INT32),
    ]
    constants = {"c": second} if second else {}
    return file(nodes, [Port("x", dtype, (1, 3))], [Port("y", "int32", (1, 3))], constants)


@dataclass
class Grown:
    """A graph that code adds to, node by node, as the converter does."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, **attributes: AttributeValue) -> str:
        """The name of the new node's output."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(-1, operator, inputs, (name,), attributes))
        return name

    def constant(self, values: NDArray[Any], *, wide: bool = False) -> str:
        """The name of a new constant; reals are float32 unless `wide`."""
        name = f"c{len(self.constants)}"
        real = values.dtype == np.float64 and not wide
        self.constants[name] = from_array(values.astype(np.float32) if real else values)
        return name

    def file(self, result: str, port: Port, shape: tuple[int, ...]) -> bytes:
        """The file whose output is `result`, cast to int32."""
        last = node("Cast", result, "y", to=TO_INT32)
        return file([*self.nodes, last], [port], [Port("y", "int32", shape)], self.constants)
