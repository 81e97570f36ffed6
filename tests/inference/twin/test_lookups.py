"""Tables that are looked up from bytes to bytes."""

from dataclasses import replace

import numpy as np
import pytest

from inference.engines.interface import InferenceEngine, from_array, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.graph import Node, Port, read
from inference.prover import prove
from inference.tensor import from_integers
from inference.twin.derive import twin
from inference.twin.proof import TWIN, Unequal, ensure_equal
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node
from tests.inference.twin.quantized import quantized
from tests.inference.twin.test_products import with_domain

SHAPE = (1, 40)
TYPES = {"Gather": (1, 40), "GatherElements": (40,)}


def table(operator: str, low: int = -100, entry: float = 0.0) -> bytes:
    """x limited to low..155, then the entries of a curve, the first of which is `entry`."""
    values = np.rint(90 * np.tanh(np.arange(256) / 60)) - 20
    values = np.concatenate([values[:156], -values[100:0:-1]])
    values[0] = entry
    matrix = floats((40, 40), [(at * 7 % 11) - 5 for at in range(1600)])
    constants = {
        "w": matrix,
        "low": floats((), [low]),
        "high": floats((), [155]),
        "entries": floats((256,), values.tolist()),
        "flat": from_integers("int64", (len(TYPES[operator]),), list(TYPES[operator])),
        "back": from_integers("int64", (2,), list(SHAPE)),
    }
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Gemm", "real w", "sums"),
        node("Clip", "sums low high", "limited"),
        node("Round", "limited", "whole"),
        node("Cast", "whole", "integers", to=TO_INT32),
        node("Reshape", "integers flat", "index"),
        node(operator, "entries index", "found", axis=0),
        node("Reshape", "found back", "curve"),
        node("Gemm", "curve w", "scores"),
        node("Cast", "scores", "y", to=TO_INT32),
    ]
    ports = [Port("x", "uint8", SHAPE)], [Port("y", "int32", SHAPE)]
    return prove(file(nodes, *ports, constants)).canonical


@pytest.mark.parametrize("operator", list(TYPES))
def test_a_curve_goes_from_bytes_to_bytes(operator: str) -> None:
    model = table(operator)
    derived = twin(model)
    assert derived is not None
    found = [each.operator for each in read(derived, TWIN).nodes]
    assert found[:5] == ["QGemm", "Reshape", "Cast", operator, "Reshape"]
    ensure_equal(model, derived)
    random, reference = np.random.default_rng(0), NumpyEngine().load(model)
    engines: list[InferenceEngine] = [OnnxRuntimeEngine(), quantized()]
    twins = [engine.load(derived) for engine in engines]
    for _ in range(10):
        x = [from_array(random.integers(0, 256, SHAPE, dtype=np.uint8))]
        assert all(each.run(x) == reference.run(x) for each in twins)


def test_a_curve_beyond_a_byte_stays_as_it_is() -> None:
    derived = twin(table("GatherElements", entry=400.0))
    assert derived is not None
    assert "DequantizeLinear" in [each.operator for each in read(derived, TWIN).nodes]


def test_every_entry_that_can_be_chosen_counts() -> None:
    model = table("GatherElements")
    derived = twin(model)
    assert derived is not None
    graph = read(derived, TWIN)
    (looking,) = (each for each in graph.nodes if each.operator == "GatherElements")
    entries = to_array(graph.constants[looking.inputs[0]])
    for at in range(entries.size):
        wrong = entries.copy()
        wrong[at] += 1
        constants = {**graph.constants, looking.inputs[0]: from_array(wrong)}
        with pytest.raises(Unequal, match="no such table"):
            ensure_equal(model, with_domain(replace(graph, constants=constants)))


def test_integers_are_no_floats() -> None:
    """The index has a code as well, but floats that are called like it are refused."""
    model = table("GatherElements")
    derived = twin(model)
    assert derived is not None
    graph = read(derived, TWIN)
    moved = next(each.outputs[0] for each in graph.nodes if each.operator == "Reshape")
    (index,) = (each.inputs[1] for each in read(model, TWIN).nodes if each.operator == "GatherElements")
    (one,) = (name for name, each in graph.constants.items() if each == floats((), [1]))
    constants = {**graph.constants, "zero": from_array(np.array(100, np.uint8))}
    back = Node(0, "DequantizeLinear", (moved, one, "zero"), (index,), {})
    with pytest.raises(Unequal, match=f"this is {index}"):
        ensure_equal(model, with_domain(replace(graph, nodes=(*graph.nodes, back), constants=constants)))
