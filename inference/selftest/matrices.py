"""Sums of products at the bound: any lost bit, any operand or sum of reduced precision shows."""

from collections.abc import Iterator, Sequence
from operator import mul
from typing import Final

from inference.graph import Port
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
from inference.tensor import Tensor, from_integers

_WIDTHS: Final = (1, 3, 16, 17, 64, 257, 1024)
"""Numbers of terms: below, at and beyond the widths of vector units, odd ones included."""

_CANARY_SIZES: Final = (31, 24, 9)
_CANARIES: Final = 3
_ROWS: Final = 5


def vectors() -> Iterator[Vector]:
    for width in _WIDTHS:
        yield _stress(width)
    for width in (2, 64, 1023):
        yield _bytes(width)
        yield _narrowed_bytes(width)
    yield _rows()
    yield from (_canary(seed) for seed in range(_CANARIES))


def product(x: Matrix, columns: Matrix) -> list[int]:
    """Row-major x times the matrix of these columns."""
    return [sum(map(mul, row, column)) for row in x for column in columns]


def weights(columns: Sequence[Sequence[float]]) -> Tensor:
    """The matrix of these columns."""
    rows = zip(*columns, strict=True)
    return floats((len(columns[0]), len(columns)), [value for row in rows for value in row])


def _linear(name: str, columns: Matrix, dtype: str, limit: int, rows: Sequence[Matrix]) -> Vector:
    """x, limited to 0..limit, through one MatMul; a case for each of `rows`."""
    count, size = len(rows[0]), len(columns[0])
    nodes = [
        node("Clip", "x low high", "limited"),
        node("Cast", "limited", "real", to=TO_FLOAT),
        node("MatMul", "real w", "sums"),
        node("Cast", "sums", "y", to=TO_INT32),
    ]
    constants = {
        "low": from_integers(dtype, (), [0]),
        "high": from_integers(dtype, (), [limit]),
        "w": weights(columns),
    }
    shapes = (count, size), (count, len(columns))
    model = file(nodes, [Port("x", dtype, shapes[0])], [Port("y", "int32", shapes[1])], constants)
    cases = tuple(
        (
            (from_integers(dtype, shapes[0], [value for row in x for value in row]),),
            (from_integers("int32", shapes[1], product(x, columns)),),
        )
        for x in rows
    )
    return Vector(name, model, cases)


def _stress(width: int) -> Vector:
    """Weights whose partial sums climb to the limit and come back; in two columns, one the negative of the
    other."""
    share = TOP // width
    column = [share + (TOP % width if at == 0 else 0) for at in range(width)]
    alternating = [share if at % 2 else -share for at in range(width)]
    columns = (column, [-weight for weight in column], alternating)
    return _linear(f"sums of {width}", columns, "int8", 1, [[[1] * width], [[at % 2 for at in range(width)]]])


def _bytes(width: int) -> Vector:
    """The largest bytes by the largest weights that an int8 twin takes: what saturates shows."""
    columns = (
        [64] * width,
        [-64] * width,
        [64 if at < width // 2 else -63 for at in range(width)],
        [64 if at % 4 < 2 else -64 for at in range(width)],
    )
    cases = [[[255] * width], [[255 if at < width // 2 else 0 for at in range(width)]]]
    return _linear(f"bytes, {width} terms", columns, "uint8", 255, cases)


def _narrowed_bytes(width: int) -> Vector:
    """The same, scaled and rounded to a byte: a byte from bytes."""
    noise = numbers(width)
    shift = width.bit_length() + 5
    columns = [[64] * width] + [[next(noise) % 129 - 64 for _ in range(width)] for _ in range(6)]
    bias = [0] + [next(noise) % 4001 - 2000 for _ in range(6)]
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Gemm", "real w b", "sums", alpha=1.0, beta=1.0, transA=0, transB=0),
        node("Clip", "sums low high", "limited"),
        node("Round", "limited", "whole"),
        node("Cast", "whole", "y", to=TO_INT32),
    ]
    constants = {
        "w": weights([[weight / 2**shift for weight in column] for column in columns]),
        "b": floats((len(bias),), [each / 2**shift for each in bias]),
        "low": floats((), [0.0]),
        "high": floats((), [255.0]),
    }
    cases: list[tuple[Tensors, Tensors]] = []
    for x in ([255] * width, [next(noise) % 256 for _ in range(width)]):
        sums = [total + each for total, each in zip(product([x], columns), bias, strict=True)]
        y = [min(max(rounded(total, shift), 0), 255) for total in sums]
        inputs = from_integers("uint8", (1, width), x)
        cases.append(((inputs,), (from_integers("int32", (1, len(y)), y),)))
    ports = [Port("x", "uint8", (1, width))], [Port("y", "int32", (1, len(bias)))]
    return Vector(f"bytes to bytes, {width} terms", file(nodes, *ports, constants), tuple(cases))


def _rows() -> Vector:
    """Several rows, each of which must stay with its own."""
    columns = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1000, -1000, 1]]
    first = [[row, row + 1, 120 - row] for row in range(_ROWS)]
    return _linear("rows", columns, "int8", 127, [first, first[::-1]])


def _canary(seed: int) -> Vector:
    """Two layers; the weights of the first count in thirty-seconds."""
    noise = numbers(seed)
    inputs, hidden, outputs = _CANARY_SIZES
    first = [[next(noise) % 255 - 127 for _ in range(inputs)] for _ in range(hidden)]
    bias = [next(noise) % 8191 - 4095 for _ in range(hidden)]
    second = [[next(noise) % 511 - 255 for _ in range(hidden)] for _ in range(outputs)]
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Gemm", "real w1 b1", "sums", alpha=1.0, beta=1.0, transA=0, transB=0),
        node("Clip", "sums low high", "limited"),
        node("Round", "limited", "hidden"),
        node("MatMul", "hidden w2", "products"),
        node("Cast", "products", "y", to=TO_INT32),
    ]
    constants = {
        "w1": weights([[weight / 32 for weight in column] for column in first]),
        "b1": floats((hidden,), [each / 32 for each in bias]),
        "low": floats((), [0.0]),
        "high": floats((), [511.0]),
        "w2": weights(second),
    }
    cases: list[tuple[Tensors, Tensors]] = []
    for _ in range(2):
        x = [next(noise) % 256 - 128 for _ in range(inputs)]
        sums = [total + each for total, each in zip(product([x], first), bias, strict=True)]
        limited = [min(max(rounded(each, 5), 0), 511) for each in sums]
        y = from_integers("int32", (1, outputs), product([limited], second))
        cases.append(((from_integers("int8", (1, inputs), x),), (y,)))
    ports = [Port("x", "int8", (1, inputs))], [Port("y", "int32", (1, outputs))]
    return Vector(f"canary {seed}", file(nodes, *ports, constants), tuple(cases))
