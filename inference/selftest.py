"""Whether an engine computes as the proofs assume: tried on models whose answers plain integers give.

Stress vectors drive sums to the last integer below 2^24, where any lost bit, any reduced precision and any
unordered trick (Winograd, bf16, TF32, fast-math) shows. Canaries are small networks with rounding, ties and
clipping.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from inference.canonical import write
from inference.engines.interface import EngineError, InferenceEngine
from inference.graph import AttributeValue, Graph, Node, Port
from inference.prover import prove
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers, integers

_WIDTHS: Final = (1, 3, 16, 17, 64, 257, 1024)
"""Numbers of terms: below, at and beyond the widths of vector units, odd ones included."""

_CANARY_SIZES: Final = (31, 24, 9)


@dataclass(frozen=True, slots=True)
class Vector:
    """A model with one input and one output, an input, and the output that integer arithmetic gives."""

    name: str
    model: bytes
    x: tuple[int, ...]
    expected: tuple[int, ...]


def trouble(engine: InferenceEngine) -> str | None:
    """The first difference between what the engine computes and what is true, if there is one."""
    for vector in _vectors():
        proof = prove(vector.model)
        port = proof.certificate.inputs[0]
        inputs = (from_integers(port.dtype, port.shape, vector.x),)
        try:
            outputs = engine.load(proof.canonical).run(inputs)
        except EngineError as error:
            return f"the engine fails the self-test {vector.name}: {error}"
        found = integers(outputs[0])
        if found != vector.expected:
            pairs = enumerate(zip(found, vector.expected, strict=True))
            index, (got, wanted) = next(each for each in pairs if each[1][0] != each[1][1])
            return f"the engine fails the self-test {vector.name}: element {index} is {got}, not {wanted}"
    return None


def _vectors() -> Iterator[Vector]:
    for width in _WIDTHS:
        yield _stress(width)
    for seed in range(4):
        yield _canary(seed)
    yield _ties()


def _stress(width: int) -> Vector:
    """Weights whose partial sums climb to the limit and come back; in two columns, one the negative of the
    other."""
    top = 2**24 - 1
    share = top // width
    column = [share + (top % width if at == 0 else 0) for at in range(width)]
    alternating = [share if at % 2 else -share for at in range(width)]
    columns = (column, [-weight for weight in column], alternating)
    x = tuple(1 for _ in range(width))
    model = _linear(columns, "int8", limit=1)
    return Vector(f"stress {width}", model, x, tuple(sum(each) for each in columns))


def _linear(columns: Sequence[Sequence[int]], dtype: str, limit: int) -> bytes:
    """x[1, in], limited to -limit..limit, through one matrix."""
    size = len(columns[0])
    weights = [float(column[row]) for row in range(size) for column in columns]
    nodes = [
        _node(0, "Clip", ("x", "low", "high"), "limited"),
        _node(1, "Cast", ("limited",), "real", to=ELEMENT_CODES["float32"]),
        _node(2, "MatMul", ("real", "w"), "sums"),
        _node(3, "Cast", ("sums",), "y", to=ELEMENT_CODES["int32"]),
    ]
    constants = {
        "low": from_integers(dtype, (), [0]),
        "high": from_integers(dtype, (), [limit]),
        "w": _floats((size, len(columns)), weights),
    }
    return _file(nodes, Port("x", dtype, (1, size)), Port("y", "int32", (1, len(columns))), constants)


def _canary(seed: int) -> Vector:
    """Two layers with weights of many steps, computed here with fractions."""
    numbers = _numbers(seed)
    inputs, hidden, outputs = _CANARY_SIZES
    first = [[Fraction(next(numbers) % 255 - 127, 32) for _ in range(hidden)] for _ in range(inputs)]
    bias = [Fraction(next(numbers) % 8191 - 4095, 32) for _ in range(hidden)]
    second = [[Fraction(next(numbers) % 511 - 255) for _ in range(outputs)] for _ in range(hidden)]
    x = tuple(next(numbers) % 256 - 128 for _ in range(inputs))
    sums = [sum(first[row][at] * x[row] for row in range(inputs)) + bias[at] for at in range(hidden)]
    limited = [round(min(max(each, Fraction(0)), Fraction(511))) for each in sums]
    expected = tuple(
        int(sum(second[row][at] * limited[row] for row in range(hidden))) for at in range(outputs)
    )
    nodes = [
        _node(0, "Cast", ("x",), "real", to=ELEMENT_CODES["float32"]),
        _node(1, "Gemm", ("real", "w1", "b1"), "sums"),
        _node(2, "Clip", ("sums", "low", "high"), "limited"),
        _node(3, "Round", ("limited",), "hidden"),
        _node(4, "MatMul", ("hidden", "w2"), "products"),
        _node(5, "Cast", ("products",), "y", to=ELEMENT_CODES["int32"]),
    ]
    constants = {
        "w1": _floats((inputs, hidden), [float(weight) for row in first for weight in row]),
        "b1": _floats((hidden,), [float(each) for each in bias]),
        "low": _floats((), [0.0]),
        "high": _floats((), [511.0]),
        "w2": _floats((hidden, outputs), [float(weight) for row in second for weight in row]),
    }
    model = _file(nodes, Port("x", "int8", (1, inputs)), Port("y", "int32", (1, outputs)), constants)
    return Vector(f"canary {seed}", model, x, expected)


def _ties() -> Vector:
    """Halves round to even."""
    x = tuple(range(-8, 8))
    nodes = [
        _node(0, "Cast", ("x",), "real", to=ELEMENT_CODES["float32"]),
        _node(1, "Mul", ("real", "half"), "halves"),
        _node(2, "Round", ("halves",), "rounded"),
        _node(3, "Cast", ("rounded",), "y", to=ELEMENT_CODES["int32"]),
    ]
    shape = (1, len(x))
    model = _file(nodes, Port("x", "int8", shape), Port("y", "int32", shape), {"half": _floats((), [0.5])})
    return Vector("ties", model, x, tuple(round(Fraction(each, 2)) for each in x))


def _numbers(seed: int) -> Iterator[int]:
    """A fixed stream of numbers. Source: Knuth, MMIXware, the linear congruential generator."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def _node(
    position: int, operator: str, inputs: tuple[str, ...], output: str, **attributes: AttributeValue
) -> Node:
    return Node(position, operator, inputs, (output,), attributes)


def _floats(shape: tuple[int, ...], values: Sequence[float]) -> Tensor:
    return Tensor(dtype="float32", shape=shape, data=struct.pack(f"<{len(values)}f", *values))


def _file(nodes: Sequence[Node], x: Port, y: Port, constants: dict[str, Tensor]) -> bytes:
    return write(Graph((x,), (y,), tuple(nodes), constants, {}))
