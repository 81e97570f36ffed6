"""Models converted for bytes have int8 twins whose large layers go from bytes to bytes."""

from math import inf

import numpy as np
import pytest

from inference.converter.exact import best
from inference.converter.options import Method, Options
from inference.converter.program import Combination, Form, Movement, Program, Reduction
from inference.converter.report import Trial
from inference.engines.interface import InferenceEngine, from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.graph import read
from inference.refusal import Refused
from inference.twin.derive import twin
from inference.twin.linear import WEIGHT_MAX
from inference.twin.proof import TWIN, ensure_equal
from tests.inference.converter.programs import Draft, exact, random, square
from tests.inference.twin.quantized import paired_product, quantized

INT8 = Options(int8=True, method=Method.ERROR)


def network() -> Program:
    """Relu and Relu6, a residual sum, both kinds of convolution, a maximum, a mean, a matrix."""
    draft = Draft((1, 3, 12, 12))
    x = draft.convolution("x", random(8, 3, 3, 3, scale=0.3), square(3, padding=1), bias=random(8, seed=2))
    x = draft.pool(draft.relu(x), Reduction.MAX, square(2, stride=2))
    y = draft.convolution(x, random(8, 1, 3, 3, seed=3, scale=0.4), square(3, padding=1), groups=8)
    y = draft.map(y, Form.CLIP, 0.0, 6.0)
    y = draft.convolution(y, random(8, 8, 1, 1, seed=4, scale=0.3), square(1))
    x = draft.relu(draft.combine(Combination.ADD, y, x))
    x = draft.reduce(x, Reduction.MEAN, (2, 3), keep=False)
    x = draft.map(draft.matrix(x, random(8, 16, seed=5)), Form.CLIP, 0.0, inf)
    return draft.program(draft.matrix(x, random(16, 4, seed=6)), class_axis=1)


def operators(model: bytes) -> list[str]:
    derived = twin(model)
    assert derived is not None
    return [node.operator for node in read(derived, TWIN).nodes]


def ensure_alike(model: bytes) -> None:
    """The twin is proved, and gives the same bits on four engines: at the corners, then at random."""
    derived = twin(model)
    assert derived is not None
    ensure_equal(model, derived)
    (port,) = read(derived, TWIN).inputs
    random = np.random.default_rng(0)
    engines: list[InferenceEngine] = [OnnxRuntimeEngine(), quantized(), quantized(paired_product)]
    reference, twins = NumpyEngine().load(model), [engine.load(derived) for engine in engines]
    inputs = [np.full(port.shape, each) for each in (-(2**31), 2**31 - 1)]
    inputs += [random.integers(-255, 256, port.shape) for _ in range(4)]
    for each in inputs:
        x = [from_array(each.astype(port.dtype))]
        expected = reference.run(x)
        assert all(loaded.run(x) == expected for loaded in (OnnxRuntimeEngine().load(model), *twins))


def test_a_network_goes_from_bytes_to_bytes() -> None:
    done = exact(network(), INT8)
    found = operators(done.model)
    assert found.count("QLinearConv") == 4
    assert {"QLinearAdd", "QGemm", "MaxPool"} <= set(found)
    assert not {"Conv", "Add"} & set(found)
    assert done.report.matched >= 48
    ensure_alike(done.model)


def test_a_network_of_all_bits_has_no_twin() -> None:
    assert twin(exact(network()).model) is None


def test_weights_have_at_most_seven_bits() -> None:
    layers = exact(network(), INT8).report.layers
    found = [each.weight_bits for each in layers if each.weight_bits is not None]
    assert len(found) == 6
    assert max(found) <= WEIGHT_MAX.bit_length()


def test_the_bits_of_weights_are_not_free() -> None:
    with pytest.raises(Refused, match="leave one of the two out"):
        exact(network(), Options(int8=True, weight_bits=8), count=4)


def test_parts_are_joined_as_bytes() -> None:
    draft = Draft((1, 3, 8, 8))
    parts = [
        draft.relu(draft.convolution("x", random(4, 3, 3, 3, seed=seed), square(3, padding=1)))
        for seed in (1, 2)
    ]
    x = draft.move(Movement.CONCAT, *parts, axis=(1,))
    model = exact(draft.program(draft.convolution(x, random(2, 8, 1, 1, seed=3), square(1))), INT8).model
    assert operators(model).count("QuantizeLinear") == 1
    assert "Concat" in operators(model)
    ensure_alike(model)


def test_hard_swish_means_and_gates_are_bytes() -> None:
    """As in MobileNetV3: no tensor between the picture and the scores is float."""
    draft = Draft((1, 3, 12, 12))
    x = draft.convolution("x", random(8, 3, 3, 3, scale=0.6), square(3, padding=1), bias=random(8, seed=2))
    x = draft.map(x, Form.HARD_SWISH, 1 / 6, 0.5)
    x = draft.convolution(x, random(8, 1, 3, 3, seed=3, scale=0.8), square(3, padding=1), groups=8)
    x = draft.map(x, Form.HARD_SWISH, 1 / 6, 0.5)
    gate = draft.reduce(x, Reduction.MEAN, (2, 3), keep=True)
    gate = draft.relu(draft.convolution(gate, random(4, 8, 1, 1, seed=4), square(1)))
    gate = draft.convolution(gate, random(8, 4, 1, 1, seed=5), square(1))
    gate = draft.map(gate, Form.HARD_SIGMOID, 0.2, 0.5)
    x = draft.combine(Combination.MULTIPLY, x, gate)
    x = draft.relu(draft.convolution(x, random(8, 8, 1, 1, seed=6, scale=0.5), square(1)))
    x = draft.reduce(x, Reduction.MEAN, (2, 3), keep=False)
    done = exact(draft.program(draft.matrix(x, random(8, 4, seed=7)), class_axis=1), INT8)
    found = operators(done.model)
    assert found.count("QLinearMul") == 3
    assert found.count("DequantizeLinear") == found.count("Gemm") == 1
    assert not {"Conv", "HardSigmoid", "Mul", "ReduceSum", "Round"} & set(found)
    assert done.report.matched >= 45
    ensure_alike(done.model)


def test_channels_of_many_sizes_keep_their_means_when_they_are_moved() -> None:
    """A channel that hardly varies has a fine step; its mean, by which weights shift sums, is its own."""
    draft = Draft((1, 3, 6, 6))
    sizes = np.array([4.0**-at for at in range(8)])
    x = draft.convolution("x", random(8, 3, 3, 3) * sizes[:, None, None, None], square(3), bias=3 * sizes)
    x = draft.move(Movement.TRANSPOSE, draft.relu(x), perm=(0, 2, 3, 1))
    (scores,) = exact(draft.program(draft.matrix(x, random(8, 4, seed=2))), INT8).report.outputs
    assert scores.relative_error < 0.03


def test_the_method_for_bytes_is_the_best_on_samples_kept_apart() -> None:
    done = exact(network(), Options(int8=True), count=60)
    assert [each.method for each in done.report.tried] == list(Method)
    assert {each.total for each in done.report.tried} == {12}
    assert done.report.method is best(done.report.tried)
    assert done.model == exact(network(), Options(int8=True, method=done.report.method), count=60).model


def test_the_best_method_has_the_most_answers_then_the_least_error() -> None:
    few, many = Trial(Method.MINMAX, 7, 9, 0.1), Trial(Method.PERCENTILE, 8, 9, 0.3)
    finer = Trial(Method.ERROR, 8, 9, 0.2)
    assert best([few, many]) is Method.PERCENTILE
    assert best([few, many, finer]) is Method.ERROR
    assert best([]) is Method.MINMAX


def test_few_samples_and_full_numbers_are_calibrated_by_all_that_was_seen() -> None:
    for options, count in ((Options(int8=True), 9), (Options(), 10)):
        report = exact(network(), options, count=count).report
        assert (report.method, report.tried) == (Method.MINMAX, ())
