"""Convolutions at the bound, in the shapes for which engines have kernels of their own, Winograd's among
them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from operator import mul
from typing import Final

from inference.graph import AttributeValue, Port
from inference.selftest.vector import (
    TO_FLOAT,
    TO_INT32,
    TOP,
    Matrix,
    Tensors,
    Vector,
    file,
    floats,
    node,
    numbers,
    rounded,
)
from inference.tensor import from_integers


@dataclass(frozen=True, slots=True)
class _Shape:
    """One convolution over square images, padded so as to keep its size at stride 1."""

    name: str
    size: int
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    group: int = 1
    dilation: int = 1

    @property
    def pad(self) -> int:
        return (self.kernel - 1) * self.dilation // 2

    @property
    def terms(self) -> int:
        return self.inputs // self.group * self.kernel**2

    @property
    def result(self) -> int:
        return (self.size - 1) // self.stride + 1


_SHAPES: Final = (
    _Shape("pointwise convolution", 5, 16, 16, 1),
    _Shape("3x3 convolution", 6, 8, 8, 3),
    _Shape("3x3 convolution of few channels", 7, 3, 5, 3),
    _Shape("strided convolution", 9, 4, 8, 3, stride=2),
    _Shape("dilated convolution", 9, 4, 4, 3, dilation=2),
    _Shape("5x5 convolution", 6, 2, 4, 5),
    _Shape("depthwise convolution", 6, 16, 16, 3, group=16),
    _Shape("grouped convolution", 5, 8, 8, 3, group=2),
)

_WEIGHT_MAX: Final = 64
"""The greatest weight of an int8 twin."""


def vectors() -> Iterator[Vector]:
    for shape in _SHAPES:
        yield _at_the_bound(shape)
        yield _of_bytes(shape)
    yield _largest()


def _at_the_bound(shape: _Shape) -> Vector:
    """Weights so large that 255 everywhere, next to their signs, makes the largest sum."""
    noise = numbers(shape.kernel + shape.inputs)
    share = TOP // 255 // shape.terms
    rows = [[share - next(noise) % 7 for _ in range(shape.terms)] for _ in range(shape.outputs)]
    signed = [[-value if next(noise) % 3 == 0 else value for value in row] for row in rows[1:]]
    return _vector(f"{shape.name} at the bound", shape, [rows[0], *signed], None)


def _of_bytes(shape: _Shape) -> Vector:
    """Weights of a twin, results rounded to bytes."""
    noise, span = numbers(shape.terms), 2 * _WEIGHT_MAX + 1
    rows = [[next(noise) % span - _WEIGHT_MAX for _ in range(shape.terms)] for _ in range(shape.outputs - 1)]
    largest = [_WEIGHT_MAX] * shape.terms
    return _vector(f"{shape.name} of bytes", shape, [largest, *rows], shape.terms.bit_length() + 5)


def _vector(name: str, shape: _Shape, weights: Matrix, shift: int | None) -> Vector:
    """One Conv with a bias. With a shift, weights count in 2^-shift and results are limited to bytes."""
    bias = [0, *(at * 3 - 5 for at in range(1, shape.outputs))]
    window: dict[str, AttributeValue] = {
        "dilations": (shape.dilation,) * 2,
        "group": shape.group,
        "kernel_shape": (shape.kernel,) * 2,
        "pads": (shape.pad,) * 4,
        "strides": (shape.stride,) * 2,
    }
    step = 1.0 if shift is None else 2.0**-shift
    nodes = [node("Cast", "x", "real", to=TO_FLOAT), node("Conv", "real w b", "sums", "", **window)]
    if shift is not None:
        nodes += [node("Clip", "sums low high", "limited"), node("Round", "limited", "whole")]
    nodes.append(node("Cast", "sums" if shift is None else "whole", "y", to=TO_INT32))
    w = (shape.outputs, shape.inputs // shape.group, shape.kernel, shape.kernel)
    constants = {
        "w": floats(w, [value * step for row in weights for value in row]),
        "b": floats((shape.outputs,), [value * step for value in bias]),
    }
    if shift is not None:
        constants |= {"low": floats((), [0.0]), "high": floats((), [255.0])}
    noise, x_shape = numbers(shape.size), (1, shape.inputs, shape.size, shape.size)
    y_shape = (1, shape.outputs, shape.result, shape.result)
    cases: list[tuple[Tensors, Tensors]] = []
    for top in (1, 256):
        x = [255 - next(noise) % top for _ in range(shape.inputs * shape.size**2)]
        y = list(_convolved(shape, weights, bias, x))
        if shift is not None:
            y = [min(max(rounded(total, shift), 0), 255) for total in y]
        cases.append(((from_integers("uint8", x_shape, x),), (from_integers("int32", y_shape, y),)))
    ports = [Port("x", "uint8", x_shape)], [Port("y", "int32", y_shape)]
    return Vector(name, file(nodes, *ports, constants), tuple(cases))


def _convolved(shape: _Shape, weights: Matrix, bias: Sequence[int], x: Sequence[int]) -> Iterator[int]:
    """The sums, channel by channel, row by row."""
    outer = shape.outputs // shape.group
    for group in range(shape.group):
        places = product(range(shape.result), range(shape.result))
        met = [_met(shape, group, row, column, x) for row, column in places]
        for out in range(group * outer, (group + 1) * outer):
            yield from (sum(map(mul, weights[out], elements)) + bias[out] for elements in met)


def _met(shape: _Shape, group: int, row: int, column: int, x: Sequence[int]) -> list[int]:
    """The elements that the weights of a group meet for one element of the output; 0 beyond the edge."""
    inner, size = shape.inputs // shape.group, shape.size
    downs, rights = (
        [place * shape.stride + tap * shape.dilation - shape.pad for tap in range(shape.kernel)]
        for place in (row, column)
    )
    return [
        x[(channel * size + down) * size + right] if 0 <= down < size and 0 <= right < size else 0
        for channel in range(group * inner, (group + 1) * inner)
        for down in downs
        for right in rights
    ]


def _largest() -> Vector:
    """Largest elements of windows."""
    size, half = 6, 3
    pooling: dict[str, AttributeValue] = {
        "dilations": (1, 1),
        "kernel_shape": (2, 2),
        "pads": (0,) * 4,
        "strides": (2, 2),
    }
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("MaxPool", "real", "largest", "", **pooling),
        node("Cast", "largest", "y", to=TO_INT32),
    ]
    noise, shapes = numbers(9), ((1, 1, size, size), (1, 1, half, half))
    cases: list[tuple[Tensors, Tensors]] = []
    for _ in range(2):
        x = [next(noise) % 256 - 128 for _ in range(size**2)]
        y = [
            max(x[(2 * row + down) * size + 2 * column + right] for down in range(2) for right in range(2))
            for row, column in product(range(half), repeat=2)
        ]
        cases.append(((from_integers("int8", shapes[0], x),), (from_integers("int32", shapes[1], y),)))
    ports = [Port("x", "int8", shapes[0])], [Port("y", "int32", shapes[1])]
    return Vector("largest of windows", file(nodes, *ports, {}), tuple(cases))
