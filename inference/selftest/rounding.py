"""Operators that round once: ties, products, quotients, roots, very small numbers."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from inference.graph import Node, Port
from inference.ieee import nearest, nearest_root
from inference.selftest.vector import TO_DOUBLE, TO_FLOAT, TO_INT32, Vector, file, floats, node, numbers
from inference.tensor import Tensor, from_integers

_SMALL: Final = 2.0**-36
"""The least step of a proof."""


Cases = Sequence[tuple[Sequence[int], Sequence[int]]]
"""What goes in, and what must come out."""


def vectors() -> Iterator[Vector]:
    yield _ties()
    yield _small()
    yield _products()
    yield _quotients()
    yield _roots()


def _one_input(name: str, nodes: Sequence[Node], constants: dict[str, Tensor], cases: Cases) -> Vector:
    """int32 x to int32 y of the same length."""
    shape = (1, len(cases[0][0]))
    ports = [Port("x", "int32", shape)], [Port("y", "int32", shape)]
    tensors = [[(from_integers("int32", shape, list(each)),) for each in case] for case in cases]
    return Vector(name, file(nodes, *ports, constants), tuple((x, y) for x, y in tensors))


def _limited(low: int, high: int) -> tuple[list[Node], dict[str, Tensor]]:
    """int32 x limited and turned into float32 `real`."""
    nodes = [node("Clip", "x low high", "limited"), node("Cast", "limited", "real", to=TO_FLOAT)]
    return nodes, {"low": from_integers("int32", (), [low]), "high": from_integers("int32", (), [high])}


def _rounded(name: str) -> list[Node]:
    """From the float tensor of that name to y."""
    return [node("Round", name, "whole"), node("Cast", "whole", "y", to=TO_INT32)]


def _ties() -> Vector:
    """Halves round to even, also where a float has no more room for quarters."""
    nodes, constants = _limited(-(2**24) + 1, 2**24 - 1)
    nodes += [node("Mul", "real half", "halves"), *_rounded("halves")]
    constants["half"] = floats((), [0.5])
    x = [*range(-9, 9), 2**24 - 1, 2**24 - 3, -(2**24) + 1, -(2**24) + 3]
    cases = [(each, [round(Fraction(value, 2)) for value in each]) for each in (x, x[::-1])]
    return _one_input("ties", nodes, constants, cases)


def _small() -> Vector:
    """Numbers of the least step, there and back: none is taken for zero."""
    nodes, constants = _limited(-(2**20), 2**20)
    nodes += [
        node("Mul", "real down", "small"),
        node("Round", "small", "none"),
        node("Sub", "small none", "rest"),
        node("Mul", "rest up", "large"),
        node("Cast", "large", "y", to=TO_INT32),
    ]
    constants |= {"down": floats((), [_SMALL]), "up": floats((), [1 / _SMALL])}
    x = [0, 1, -1, 2, 3, 1000, -(2**20), 2**20 - 1]
    return _one_input("small numbers", nodes, constants, [(x, x), (x[::-1], x[::-1])])


def _products() -> Vector:
    """Products of two inputs next to a tie, too close for float32: a wider type rounds them another way."""
    factors = range(2049, 2305, 2)
    nodes, constants = _limited(0, 2**24 - 1)
    nodes += [
        node("Clip", "d none most", "kept"),
        node("Cast", "kept", "factor", to=TO_FLOAT),
        node("HardSigmoid", "factor", "part", alpha=2.0**-12, beta=0.0),
        node("Mul", "real part", "product"),
        *_rounded("product"),
    ]
    constants |= {"none": from_integers("int32", (), [0]), "most": from_integers("int32", (), [4095])}
    shape = (1, len(factors))
    cases = []
    for beside in (1, -1):
        inverses = [(2048 + beside) * pow(factor, -1, 4096) % 4096 for factor in factors]
        x = [2**23 + 4096 * at + inverse for at, inverse in enumerate(inverses)]
        products = [nearest(Fraction(a * b, 4096), "float32") for a, b in zip(x, factors, strict=True)]
        inputs = from_integers("int32", shape, x), from_integers("int32", shape, list(factors))
        cases.append((inputs, (from_integers("int32", shape, [round(each) for each in products]),)))
    ports = [Port("x", "int32", shape), Port("d", "int32", shape)], [Port("y", "int32", shape)]
    return Vector("products", file(nodes, *ports, constants), tuple(cases))


def _quotients() -> Vector:
    """x / d where the answer is a tie, or next to one: a product with an inverse misses some."""
    divisors = range(2, 130)
    nodes, constants = _limited(0, 2**20)
    nodes += [
        node("Clip", "d one most", "kept"),
        node("Cast", "kept", "by", to=TO_FLOAT),
        node("Div", "real by", "ratio"),
        *_rounded("ratio"),
    ]
    constants |= {"one": from_integers("int32", (), [1]), "most": from_integers("int32", (), [255])}
    shape = (1, len(divisors))
    cases = []
    for seed in range(3):
        noise = numbers(seed)
        x = [each * (2 * (next(noise) % 900) + 1) // 2 + (each & next(noise) & 1) for each in divisors]
        y = [round(nearest(Fraction(a, b), "float32")) for a, b in zip(x, divisors, strict=True)]
        inputs = from_integers("int32", shape, x), from_integers("int32", shape, list(divisors))
        cases.append((inputs, (from_integers("int32", shape, y),)))
    ports = [Port("x", "int32", shape), Port("d", "int32", shape)], [Port("y", "int32", shape)]
    return Vector("quotients", file(nodes, *ports, constants), tuple(cases))


def _roots() -> Vector:
    """sqrt(n * n + n) and the root of the next number lie on both sides of n + 1/2, too close for float32."""
    nodes, constants = _limited(0, 2**24 - 1)
    nodes += [
        node("Cast", "real", "double", to=TO_DOUBLE),
        node("Sqrt", "double", "root"),
        *_rounded("root"),
    ]
    starts = [1, 2, 3, 100, 1023, 1024, 2047, 4000]
    x = [n * n + n + more for n in starts for more in (0, 1)]
    y = [round(nearest_root(Fraction(value), "float64")) for value in x]
    return _one_input("roots", nodes, constants, [(x, y), (x[::-1], y[::-1])])
