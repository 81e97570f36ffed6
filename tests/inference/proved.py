"""What is proved of an operator: an image for it, its attributes, and how to ask."""

from math import prod
from typing import Any

import pytest

from inference.bounds import Bounds, Cell
from inference.prover import examine, prove
from inference.refusal import Refused
from inference.tensor import Tensor, from_integers
from tests.inference.build import floats

SLIDING: dict[str, Any] = {
    "kernel_shape": (2, 2),
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (0, 0, 0, 0),
}
CONV: dict[str, Any] = SLIDING | {"group": 1}
SPREAD: dict[str, Any] = CONV | {"output_padding": (0, 0)}
RESIZE: dict[str, Any] = {
    "mode": b"nearest",
    "nearest_mode": b"floor",
    "coordinate_transformation_mode": b"asymmetric",
}
IMAGE = (1, 2, 4, 4)
"""The first channel is made of whole numbers, the second of halves."""
WHOLE, HALVES = Cell(0, -128, 127), Cell(-1, -128, 127)


def along(axis: int, *cells: Cell) -> Bounds:
    return Bounds(cells, axis)


EITHER = Bounds((Cell(-1, -256, 254),))
"""Elements of both channels, together."""
BOTH = along(1, WHOLE, HALVES)


def ints(*values: int) -> Tensor:
    return from_integers("int64", (len(values),), values)


def ones(*shape: int) -> Tensor:
    return floats(shape, [1] * prod(shape))


def known(data: bytes) -> dict[str, Bounds]:
    """What is proved of every tensor that a node computes."""
    return {
        name: value.bounds
        for finding in examine(data)[1]
        for name, value in zip(finding.node.outputs, finding.values, strict=True)
    }


def reason(data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        prove(data)
    return refused.value.refusal.reason
