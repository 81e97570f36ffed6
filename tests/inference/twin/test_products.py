"""Products of bytes: onnxruntime computes what the proof takes them to be; hard swish and gates use them."""

from dataclasses import replace

import numpy as np
import pytest

from inference.canonical import write
from inference.engines.interface import Array, InferenceEngine, from_array, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.graph import AttributeValue, Graph, Node, Port, read
from inference.prover import prove
from inference.twin.derive import twin
from inference.twin.factors import BITS_MAX, Factor, factor_of
from inference.twin.proof import CONTRIBUTED, TWIN, Unequal, ensure_equal
from inference.wire import bytes_field, number_field
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node
from tests.inference.twin.quantized import quantized

ALL = np.arange(256, dtype=np.uint8)


def with_domain(graph: Graph) -> bytes:
    return write(graph) + bytes_field(8, bytes_field(1, CONTRIBUTED.encode()) + number_field(2, 1))


def product(left: Array, right: Array, bits: int, zeros: tuple[int, int, int]) -> tuple[Array, Array]:
    """By onnxruntime, and as halves to even give it."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    ports = tuple(Port(name, "uint8", each.shape) for name, each in (("a", left), ("b", right)))
    constants = {
        "one": floats((), [1]),
        "scale": floats((), [2.0**-bits]),
        **{f"z{at}": from_array(np.array(zero, np.uint8)) for at, zero in enumerate(zeros)},
    }
    names = ("a", "one", "z0", "b", "scale", "z1", "one", "z2")
    nodes = (Node(0, "QLinearMul", names, ("y",), {}, CONTRIBUTED),)
    model = with_domain(Graph(ports, (Port("y", "uint8", shape),), nodes, constants, {}))
    (y,) = OnnxRuntimeEngine().load(model).run([from_array(left), from_array(right)])
    integers = (left.astype(np.int64) - zeros[0]) * (right.astype(np.int64) - zeros[1])
    below, rest = integers >> bits, (integers & ((1 << bits) - 1)) * 2
    up = (rest > 1 << bits) | ((rest == 1 << bits) & (below % 2 == 1))
    return to_array(y), np.clip(below + up + zeros[2], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("bits", [0, 1, 7, 8, BITS_MAX])
@pytest.mark.parametrize("zeros", [(0, 0, 0), (64, 0, 24), (128, 255, 254), (3, 1, 2)])
def test_all_pairs_of_bytes(bits: int, zeros: tuple[int, int, int]) -> None:
    """As equal shapes and as rows against columns, for which engines have loops of their own."""
    left, right = np.repeat(ALL, 256), np.tile(ALL, 256)
    for shapes in ((left, right), (ALL[:, None], ALL[None, :]), (ALL[None, :], ALL[:, None])):
        found, expected = product(*shapes, bits, zeros)
        assert np.array_equal(found, expected)


def test_a_zero_that_is_odd_moves_halves() -> None:
    """Which is why no twin has one."""
    found, expected = product(ALL, np.full(256, 1, np.uint8), 1, (0, 0, 1))
    assert not np.array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 2, 7, 15, 16, 17, 31, 33])
def test_rows_of_every_length(size: int) -> None:
    """The ends of rows go through code of their own."""
    random = np.random.default_rng(size)
    left = random.integers(0, 256, (5, size), dtype=np.uint8)
    for right in (left[:1], left[:, :1], left):
        found, expected = product(left, right, 5, (100, 0, 50))
        assert np.array_equal(found, expected)


CHANNELS = 3


def gated(fine: int = 6, foot: int = -32, gate: int = 8, low: int = -12) -> bytes:
    """A hard swish of 2^fine steps from zero to one on integers from `foot` on, then a gate for each channel;
    its result is at least `low`."""
    constants = {
        "w": floats((CHANNELS, CHANNELS, 1, 1), [5 * (at % 4 - 1) / 64 for at in range(CHANNELS**2)]),
        "v": floats((CHANNELS, CHANNELS, 1, 1), [3 * (at % 3) / 16 for at in range(CHANNELS**2)]),
        "u": floats((CHANNELS, CHANNELS, 1, 1), [at % 5 - 2 for at in range(CHANNELS**2)]),
        "foot": floats((), [foot]),
        "head": floats((), [foot + 255]),
        "bottom": floats((), [low]),
        "top": floats((), [low + 255]),
        "none": floats((), [0]),
        "full": floats((), [255]),
        "share": floats((), [2.0**-gate]),
    }
    window: dict[str, AttributeValue] = {
        "dilations": (1, 1),
        "group": 1,
        "kernel_shape": (1, 1),
        "pads": (0,) * 4,
        "strides": (1, 1),
    }
    pool: dict[str, AttributeValue] = {
        "dilations": (1, 1),
        "kernel_shape": (4, 4),
        "pads": (0,) * 4,
        "strides": (1, 1),
    }
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Conv", "real w", "s0", **window),
        node("Clip", "s0 foot head", "c0"),
        node("Round", "c0", "h"),
        node("HardSigmoid", "h", "slope", alpha=2.0**-fine, beta=0.5),
        node("Mul", "h slope", "s1"),
        node("Clip", "s1 bottom top", "c1"),
        node("Round", "c1", "swish"),
        node("MaxPool", "swish", "most", **pool),
        node("Conv", "most v", "s2", **window),
        node("Clip", "s2 none full", "c2"),
        node("Round", "c2", "g"),
        node("Mul", "g share", "shares"),
        node("Mul", "swish shares", "s3"),
        node("Clip", "s3 bottom top", "c3"),
        node("Round", "c3", "open"),
        node("Conv", "open u", "scores", **window),
        node("Cast", "scores", "y", to=TO_INT32),
    ]
    shape = (1, CHANNELS, 4, 4)
    return prove(file(nodes, [Port("x", "uint8", shape)], [Port("y", "int32", shape)], constants)).canonical


def operators(model: bytes) -> list[str]:
    return [each.operator for each in read(model, TWIN).nodes]


def same_bits(model: bytes, derived: bytes) -> bool:
    random = np.random.default_rng(0)
    reference = NumpyEngine().load(model)
    engines: list[InferenceEngine] = [quantized(), OnnxRuntimeEngine()]
    twins = [engine.load(derived) for engine in engines]
    for _ in range(20):
        x = [from_array(random.integers(0, 256, (1, CHANNELS, 4, 4), dtype=np.uint8))]
        if any(each.run(x) != reference.run(x) for each in twins):
            return False
    return True


@pytest.mark.parametrize(("fine", "foot"), [(6, -32), (7, -64), (5, -40), (8, -128)])
def test_hard_swish_and_gates_go_from_bytes_to_bytes(fine: int, foot: int) -> None:
    model = gated(fine=fine, foot=foot)
    derived = twin(model)
    assert derived is not None
    assert operators(derived).count("QLinearMul") == 2
    assert not {"HardSigmoid", "Mul", "QuantizeLinear"} & set(operators(derived))
    ensure_equal(model, derived)
    assert same_bits(model, derived)


def test_a_hard_swish_whose_foot_is_no_byte_stays_as_it_is() -> None:
    derived = twin(gated(fine=7, foot=-32))
    assert derived is not None
    assert operators(derived).count("QLinearMul") == 1
    assert "HardSigmoid" in operators(derived)


def test_products_with_an_odd_zero_stay_as_they_are() -> None:
    derived = twin(gated(low=-13))
    assert derived is not None
    assert "QLinearMul" not in operators(derived)


def test_a_product_with_an_odd_zero_is_refused() -> None:
    even = twin(gated(low=-12))
    assert even is not None
    graph = read(even, TWIN)
    twelve, thirteen = (from_array(np.array(each, np.uint8)) for each in (12, 13))
    constants = {name: thirteen if tensor == twelve else tensor for name, tensor in graph.constants.items()}
    with pytest.raises(Unequal, match="halves"):
        ensure_equal(gated(low=-13), with_domain(replace(graph, constants=constants)))


def test_a_changed_byte_of_a_product_is_refused_or_changes_nothing() -> None:
    model = gated()
    derived = twin(model)
    assert derived is not None
    graph, refused = read(derived, TWIN), 0
    for at, each in enumerate(graph.nodes):
        for index, name in enumerate(each.inputs):
            if name not in graph.constants or each.operator not in ("Clip", "QLinearMul"):
                continue
            array = to_array(graph.constants[name])
            for value in (array + array.dtype.type(1), array * array.dtype.type(2)):
                inputs = tuple("other" if here == index else old for here, old in enumerate(each.inputs))
                nodes = (*graph.nodes[:at], replace(each, inputs=inputs), *graph.nodes[at + 1 :])
                constants = {**graph.constants, "other": from_array(np.asarray(value, array.dtype))}
                changed = with_domain(replace(graph, nodes=nodes, constants=constants))
                try:
                    ensure_equal(model, changed)
                except Unequal:
                    refused += 1
                else:
                    assert same_bits(model, changed)
    assert refused > 20


def test_what_is_a_factor() -> None:
    nodes = [
        Node(0, "HardSigmoid", ("x",), ("ramp",), {"alpha": 0.25, "beta": 0.5}),
        Node(1, "HardSigmoid", ("x",), ("uneven",), {"alpha": 0.25, "beta": 0.3}),
        Node(2, "HardSigmoid", ("x",), ("steep",), {"alpha": 0.3, "beta": 0.5}),
        Node(3, "Mul", ("x", "eighth"), ("part",), {}),
        Node(4, "Mul", ("third", "x"), ("no",), {}),
        Node(5, "Mul", ("x", "row"), ("many",), {}),
    ]
    constants = {
        "eighth": floats((), [0.125]),
        "third": floats((), [1 / 3]),
        "row": floats((2,), [0.5, 0.25]),
    }
    graph = Graph((), (), tuple(nodes), constants, {})
    makers = {name: each for each in nodes for name in each.outputs}
    assert factor_of(graph, makers, "ramp") == Factor("x", 2, 2)
    assert [Factor("x", 2, 2).integer(value) for value in (-9, -2, -1, 1, 2, 9)] == [0, 0, 1, 3, 4, 4]
    assert factor_of(graph, makers, "part") == Factor("x", 3)
    for name in ("x", "uneven", "steep", "no", "many"):
        assert factor_of(graph, makers, name) == Factor(name)
