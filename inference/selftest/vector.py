"""A model, inputs for it, and the outputs that integer arithmetic gives."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from inference.canonical import write
from inference.graph import AttributeValue, Graph, Node, Port
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor

TO_FLOAT: Final = ELEMENT_CODES["float32"]
TO_DOUBLE: Final = ELEMENT_CODES["float64"]
TO_INT32: Final = ELEMENT_CODES["int32"]

TOP: Final = 2**24 - 1
"""The largest sum that a proof admits, in steps."""

Tensors = tuple[Tensor, ...]
Matrix = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Vector:
    """Cases are (inputs, outputs); they differ, so that an engine that repeats itself is found."""

    name: str
    model: bytes
    cases: tuple[tuple[Tensors, Tensors], ...]


def node(operator: str, inputs: str, outputs: str, domain: str = "", **attributes: AttributeValue) -> Node:
    """Names are separated by spaces."""
    return Node(0, operator, tuple(inputs.split()), tuple(outputs.split()), attributes, domain)


def file(
    nodes: Sequence[Node], inputs: Sequence[Port], outputs: Sequence[Port], constants: dict[str, Tensor]
) -> bytes:
    """The model of these nodes."""
    numbered = (
        replace(each, position=position, attributes=dict(sorted(each.attributes.items())))
        for position, each in enumerate(nodes)
    )
    return write(Graph(tuple(inputs), tuple(outputs), tuple(numbered), constants, {}))


def floats(shape: Sequence[int], values: Sequence[float], dtype: str = "float32") -> Tensor:
    """A constant of real numbers."""
    letter = {"float32": "f", "float64": "d"}[dtype]
    return Tensor(dtype=dtype, shape=tuple(shape), data=struct.pack(f"<{len(values)}{letter}", *values))


def numbers(seed: int) -> Iterator[int]:
    """A fixed stream of numbers. Source: Knuth, MMIXware, the linear congruential generator."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def rounded(value: int, shift: int) -> int:
    """value / 2^shift to the nearest integer, halves to even."""
    whole, rest = value >> shift, (value & ((1 << shift) - 1)) * 2
    return whole + (rest > 1 << shift or (rest == 1 << shift and whole & 1))
