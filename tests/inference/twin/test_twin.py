"""A twin computes what its original does, on every engine; and no twin that does not is let pass."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from inference.canonical import write
from inference.engines.int8 import FasterEngine, TwinEngine
from inference.engines.interface import EngineError, InferenceEngine, from_array, run, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import AttributeValue, Graph, Port, read
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import Tensor
from inference.twin.derive import twin
from inference.twin.proof import CONTRIBUTED, TWIN, Unequal, ensure_equal
from inference.wire import bytes_field, number_field
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node, two_layers
from tests.inference.twin.networks import network
from tests.inference.twin.quantized import exact_product, fours_product, paired_product, quantized

WIDTH = 12
WINDOW: dict[str, AttributeValue] = {
    "dilations": (1, 1),
    "group": 1,
    "kernel_shape": (3, 3),
    "pads": (1,) * 4,
    "strides": (1, 1),
}


def dense(seed: int, dtype: str = "uint8", low: int = 0, high: int = 255) -> bytes:
    """Three layers, one with a sum of two branches, limited to low..high, then integer scores."""
    random = Random(seed)

    def weights(inputs: int, outputs: int, transposed: bool = False) -> Tensor:
        steps = [2.0 ** random.randint(-6, -3) for _ in range(outputs)]
        numbers = np.array([[random.randint(-64, 64) * step for step in steps] for _ in range(inputs)])
        return from_array((numbers.T if transposed else numbers).astype(np.float32))

    def bias() -> Tensor:
        return floats((WIDTH,), [random.randint(-4000, 4000) / 8 for _ in range(WIDTH)])

    constants = {
        "w0": weights(WIDTH, WIDTH),
        "w1": weights(WIDTH, WIDTH, transposed=True),
        "wide": weights(WIDTH, 200),
        "last": weights(200, 5),
        "b0": bias(),
        "b1": bias(),
        "low": floats((), (low,)),
        "high": floats((), (high,)),
        "top": floats((), (255,)),
        "none": floats((), (0,)),
        "flat": from_array(np.array([1, -1], np.int64)),
    }
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Gemm", "r w0 b0", "s0"),
        node("Clip", "s0 low high", "c0"),
        node("Round", "c0", "h0"),
        node("Gemm", "h0 w1 b1", "s1", transB=1),
        node("Relu", "s1", "p1"),
        node("Round", "p1", "q1"),
        node("Clip", "q1 none top", "h1"),
        node("Identity", "h0", "i0"),
        node("Add", "h1 i0", "total"),
        node("Clip", "total low high", "h2"),
        node("Reshape", "h2 flat", "f2"),
        node("MatMul", "f2 wide", "s3"),
        node("Round", "s3", "q3"),
        node("Clip", "q3 none top", "h3"),
        node("MatMul", "h3 last", "s4"),
        node("Round", "s4", "q4"),
        node("Cast", "q4", "y", to=TO_INT32),
    ]
    x = Port("x", dtype, (1, WIDTH))
    return prove(file(nodes, [x], [Port("y", "int32", (1, 5))], constants)).canonical


def inputs(model: bytes, seed: int) -> tuple[Tensor, ...]:
    """The corners of every input's range first, then random ones."""
    generator = np.random.default_rng(seed)
    tensors = []
    for port in read(model, TWIN).inputs:
        ends = np.iinfo(port.dtype)
        corner = {0: ends.min, 1: ends.max}.get(seed)
        values = generator.integers(ends.min, ends.max, port.shape, endpoint=True)
        tensors.append(
            from_array((values if corner is None else np.full(port.shape, corner)).astype(port.dtype))
        )
    return tuple(tensors)


def operators(model: bytes) -> list[str]:
    return [each.operator for each in read(model, TWIN).nodes]


def new_operators(model: bytes, derived: bytes) -> set[str]:
    """Those of a twin's nodes that compute no tensor of the original."""
    old = {name for each in read(model, TWIN).nodes for name in each.outputs}
    return {each.operator for each in read(derived, TWIN).nodes if old.isdisjoint(each.outputs)}


def twin_of(model: bytes) -> bytes:
    derived = twin(model)
    assert derived is not None
    return derived


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127), ("uint8", -3, 100)]
)
def test_the_twin_gives_the_same_bits(dtype: str, low: int, high: int) -> None:
    for seed in range(2):
        model = dense(seed, dtype, low=low, high=high)
        derived = twin_of(model)
        assert derived == twin(model)
        ensure_equal(model, derived)
        engines: list[InferenceEngine] = [quantized(), quantized(paired_product)]
        engines += [OnnxRuntimeEngine(threads, level) for threads in (1, 2) for level in Optimization]
        twins, reference = [engine.load(derived) for engine in engines], NumpyEngine().load(model)
        for at in range(6):
            x = inputs(model, at)
            expected = reference.run(x)
            assert all(each.run(x) == expected for each in twins)


def test_twins_of_images_give_the_same_bits() -> None:
    found: set[str] = set()
    on_bytes: set[str] = set()
    for seed in range(30):
        model = network(seed)
        derived = twin(model)
        if derived is None:
            continue
        found.update(operators(derived))
        on_bytes.update(new_operators(model, derived))
        ensure_equal(model, derived)
        reference = NumpyEngine().load(model)
        engines = (quantized(), OnnxRuntimeEngine(1, Optimization.NONE), OnnxRuntimeEngine())
        twins = [engine.load(derived) for engine in engines]
        for at in range(5):
            x = inputs(model, at)
            assert [each.run(x) for each in twins] == [reference.run(x)] * 3, seed
    assert {"Clip", "Concat", "MaxPool", "MatMulInteger", "QLinearConv"} <= found
    assert {"Gather", "Resize", "Split"} <= on_bytes


def test_a_wide_convolution_that_is_not_rounded_to_bytes_sums_in_integers() -> None:
    random = Random(0)
    constants = {
        "w": floats((3, 16, 3, 3), [random.randint(-64, 64) / 8 for _ in range(432)]),
        "b": floats((3,), [1.5, -2.25, 0.125]),
    }
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Conv", "r w b", "s", **WINDOW),
        node("Round", "s", "q"),
        node("Cast", "q", "y", to=TO_INT32),
    ]
    ports = [Port("x", "int8", (1, 16, 5, 5))], [Port("y", "int32", (1, 3, 5, 5))]
    model = prove(file(nodes, *ports, constants)).canonical
    derived = twin_of(model)
    assert "ConvInteger" in operators(derived)
    ensure_equal(model, derived)
    for at in range(5):
        x = inputs(model, at)
        expected = run(NumpyEngine(), model, x)
        assert run(OnnxRuntimeEngine(), derived, x) == run(quantized(), derived, x) == expected


def test_every_form_is_used() -> None:
    assert operators(twin_of(dense(0))) == [
        "QGemm",
        "QGemm",
        "Identity",
        "QLinearAdd",
        "Reshape",
        "QLinearMatMul",
        "MatMulInteger",
        "Cast",
        "Mul",
        "Round",
        "Cast",
    ]
    assert operators(twin_of(dense(0, "int8", low=-3, high=100)))[:4] == [
        "Cast",
        "QuantizeLinear",
        "QGemm",
        "Clip",
    ]


def test_weights_above_64_have_no_twin() -> None:
    """For a kernel that adds pairs in 16 bits loses some of their products."""
    assert twin(prove(two_layers(first=[65] * 12)).canonical) is None
    full = np.full((1, 2), 255, np.uint8)
    for weight, lost in ((64, False), (65, True)):
        column = np.full((2, 1), weight, np.int8)
        assert (paired_product(full, column) != exact_product(full, column)).any() == lost


def test_a_model_without_bytes_has_no_twin() -> None:
    assert twin(prove(two_layers(first=[300.5] * 12)).canonical) is None


def changed(derived: bytes, change: Graph) -> bytes:
    """The twin with another graph."""
    return write(change) + bytes_field(8, bytes_field(1, CONTRIBUTED.encode()) + number_field(2, 1))


def test_a_changed_number_is_refused_or_changes_nothing() -> None:
    """Each constant of each twin, one element at a time."""
    random, refused = Random(0), 0
    for model in (dense(0), dense(1, low=-3, high=100), *map(network, range(6))):
        derived = twin(model)
        if derived is None:
            continue
        graph = read(derived, TWIN)
        for name, tensor in graph.constants.items():
            array = to_array(tensor).copy()
            at = random.randrange(array.size)
            array.flat[at] += 1
            altered = changed(derived, replace(graph, constants={**graph.constants, name: from_array(array)}))
            try:
                ensure_equal(model, altered)
            except (Refused, Unequal):
                refused += 1
                continue
            engine = quantized().load(altered)
            for turn in range(10):
                assert engine.run(inputs(model, turn)) == run(NumpyEngine(), model, inputs(model, turn)), name
    assert refused > 30


def without(graph: Graph, operator: str) -> Graph:
    """The graph without its first node of an operator, whose readers read its first input instead."""
    gone = next(each for each in graph.nodes if each.operator == operator)
    names = {gone.outputs[0]: gone.inputs[0]}
    kept = [each for each in graph.nodes if each is not gone]
    nodes = [replace(each, inputs=tuple(names.get(name, name) for name in each.inputs)) for each in kept]
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("operator", ["Clip", "QGemm", "Reshape", "QLinearAdd", "Identity", "Round", "Mul"])
def test_a_twin_without_one_of_its_nodes_is_refused(operator: str) -> None:
    model = dense(0, low=-3, high=100)
    derived = twin_of(model)
    with pytest.raises(Unequal):
        ensure_equal(model, changed(derived, without(read(derived, TWIN), operator)))


def test_a_twin_of_another_model_is_refused() -> None:
    for other in (dense(1), dense(0, "int8"), dense(0, high=254)):
        with pytest.raises(Unequal):
            ensure_equal(dense(0), twin_of(other))


def test_a_model_is_equal_to_itself() -> None:
    ensure_equal(dense(0), dense(0))


ENGINES = [TwinEngine(), TwinEngine(threads=2), FasterEngine(OnnxRuntimeEngine(), TwinEngine())]


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_on_twins_are_like_any_other(engine: TwinEngine | FasterEngine) -> None:
    for model in (dense(3), prove(two_layers()).canonical):
        loaded = engine.load(model)
        for at in range(4):
            assert loaded.run(inputs(model, at)) == run(NumpyEngine(), model, inputs(model, at))


def test_disagreement_during_the_trial_is_an_error() -> None:
    from inference.engines.int8 import faster

    class Wrong:
        def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
            return tuple(inputs)

    model = dense(0, "uint8")
    right = NumpyEngine().load(model)
    with pytest.raises(EngineError, match="disagree"):
        faster(right, Wrong(), read(model, TWIN).inputs)


def test_a_kernel_that_adds_four_products_in_16_bits_is_noticed() -> None:
    rows = np.full((1, 4), 255, np.uint8)
    assert (fours_product(rows, np.full((4, 1), 64, np.int8)) != 255 * 64 * 4).all()


def test_numbers_without_a_lower_end_have_no_twin() -> None:
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Relu", "real", "positive"),
        node("Round", "positive", "rounded"),
        node("Cast", "rounded", "y", to=TO_INT32),
    ]
    model = file(nodes, [Port("x", "int8", (1, 3))], [Port("y", "int32", (1, 3))])
    assert twin(prove(model).canonical) is None


def test_a_model_with_two_equal_nodes_runs_as_it_is() -> None:
    """The proof of its twin cannot tell which of the two is which; whoever wants bytes gets floats."""
    shape = (1, 130)
    weights = floats((130, 2), [at % 7 - 3 for at in range(260)])
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Gemm", "r w b", "one"),
        node("Gemm", "r w b", "other"),
        node("Max", "one other", "m"),
        node("Cast", "m", "y", to=TO_INT32),
    ]
    constants = {"w": weights, "b": floats((2,), [1, 2])}
    model = prove(file(nodes, [Port("x", "uint8", shape)], [Port("y", "int32", (1, 2))], constants)).canonical
    with pytest.raises(Unequal):
        ensure_equal(model, twin_of(model))
    inputs = (Tensor(dtype="uint8", shape=shape, data=bytes(range(130))),)
    assert run(TwinEngine(), model, inputs) == run(NumpyEngine(), model, inputs)
