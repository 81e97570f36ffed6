"""Two inputs multiplied with each other, and sums of many elements, up to the bound."""

from collections.abc import Iterator

from inference.graph import Port
from inference.selftest.matrices import product
from inference.selftest.vector import TO_DOUBLE, TO_FLOAT, TO_INT32, TOP, Tensors, Vector, file, node, numbers
from inference.tensor import Tensor, from_integers


def vectors() -> Iterator[Vector]:
    yield _between()
    yield _sum()
    yield _squares()


def _between() -> Vector:
    """Two inputs multiplied with each other, both from left to right and back."""
    width = TOP // 255**2
    nodes = [
        node("Cast", "a", "left", to=TO_FLOAT),
        node("Cast", "b", "right", to=TO_FLOAT),
        node("MatMul", "left right", "sums"),
        node("Cast", "sums", "y", to=TO_INT32),
    ]
    shapes = (1, 2, width), (1, width, 3)
    ports = [Port("a", "uint8", shapes[0]), Port("b", "uint8", shapes[1])]
    noise = numbers(1)
    cases: list[tuple[Tensors, Tensors]] = []
    for top in (1, 256):
        rows = [[255 - next(noise) % top for _ in range(width)] for _ in range(2)]
        columns = [[255 - next(noise) % top for _ in range(width)] for _ in range(3)]
        flat = [value for row in zip(*columns, strict=True) for value in row]
        a = from_integers("uint8", shapes[0], [value for row in rows for value in row])
        inputs = (a, from_integers("uint8", shapes[1], flat))
        cases.append((inputs, (from_integers("int32", (1, 2, 3), product(rows, columns)),)))
    model = file(nodes, ports, [Port("y", "int32", (1, 2, 3))], {})
    return Vector("two inputs multiplied", model, tuple(cases))


def _squares() -> Vector:
    """A sum of squares in float64, with more bits than float32 has."""
    width = 2**15 - 1
    nodes = [
        node("Cast", "x", "real", to=TO_DOUBLE),
        node("ReduceSumSquare", "real", "sums", axes=(1,), keepdims=0),
        node("Cast", "sums", "y", to=TO_INT32),
    ]
    model = file(nodes, [Port("x", "uint8", (1, width))], [Port("y", "int32", (1,))], {})
    cases = tuple(
        (
            (Tensor(dtype="uint8", shape=(1, width), data=data),),
            (from_integers("int32", (1,), [sum(value * value for value in data)]),),
        )
        for data in (bytes([255]) * width, bytes(range(1, 255)) * (width // 254) + bytes(width % 254))
    )
    return Vector("a long sum of squares", model, cases)


def _sum() -> Vector:
    """A sum of many elements up to the bound."""
    width = TOP // 255
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("ReduceSum", "real axes", "sums", keepdims=0, noop_with_empty_axes=0),
        node("Cast", "sums", "y", to=TO_INT32),
    ]
    model = file(
        nodes,
        [Port("x", "uint8", (1, width))],
        [Port("y", "int32", (1,))],
        {"axes": from_integers("int64", (1,), [1])},
    )
    cases = tuple(
        (
            (Tensor(dtype="uint8", shape=(1, width), data=data),),
            (from_integers("int32", (1,), [sum(data)]),),
        )
        for data in (bytes([255]) * width, bytes(range(1, 256)) * (width // 255) + bytes(width % 255))
    )
    return Vector("a long sum", model, cases)
