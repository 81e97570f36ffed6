"""Float models as exporters write them become exact models that decide alike."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.converter.convert import convert
from inference.converter.options import Options, Samples
from inference.converter.report import Conversion
from inference.engines.interface import run
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.preparation.card import NO_CARD
from inference.preparation.sets import Taken, read_set
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import from_integers

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "diagnosis"


def rows(count: int, width: int, seed: int) -> Samples:
    """Features whose sizes span six orders of magnitude, one of them constant."""
    random = Random(seed)
    return [
        sample(
            random.randint(-1000, 1000) / 1000 * 10 ** (at % 7 - 3) + 5 * at if at else 7.0
            for at in range(width)
        )
        for _ in range(count)
    ]


def sample(values: Iterable[float]) -> dict[str, Any]:
    return {"x": np.array([list(values)], dtype=np.float32)}


def float_model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any],
    outputs: Sequence[str],
    shape: Sequence[int | str] = ("batch", 6),
) -> bytes:
    """float32 x of that shape through the nodes."""
    tensors = [
        numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        tensors,
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    file: bytes = helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString()
    return file


def weights(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def scalar(value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=np.float32))


def torch_style() -> bytes:
    """Linear, ReLU, Linear, ReLU6, Linear, as PyTorch exports them, with the normalisation in front."""
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["g1"], transB=1),
        helper.make_node("Relu", ["g1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["g2"], transB=1),
        helper.make_node("Constant", [], ["zero"], value=scalar(0)),
        helper.make_node("Constant", [], ["six"], value=scalar(6)),
        helper.make_node("Clip", ["g2", "zero", "six"], ["r2"]),
        helper.make_node("Gemm", ["r2", "w3", "b3"], ["logits"], transB=1),
    ]
    constants = {
        "mean": [5.0 * at for at in range(6)],
        "deviation": [10.0 ** (at % 7 - 3) for at in range(6)],
        "w1": weights(12, 6),
        "b1": weights(12),
        "w2": weights(9, 12, seed=2),
        "b2": weights(9, seed=3),
        "w3": weights(4, 9, seed=4),
        "b3": weights(4, seed=5),
    }
    return float_model(nodes, constants, ["logits"])


def scikit_style() -> bytes:
    """A scaler, MatMul and Add, and a softmax head with a class."""
    nodes = [
        helper.make_node(
            "Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[5.0 * at for at in range(6)], scale=[0.5] * 6
        ),
        helper.make_node("MatMul", ["s", "w1"], ["p1"]),
        helper.make_node("Add", ["p1", "b1"], ["a1"]),
        helper.make_node("Relu", ["a1"], ["r1"]),
        helper.make_node("MatMul", ["r1", "w2"], ["p2"]),
        helper.make_node("Add", ["p2", "b2"], ["a2"]),
        helper.make_node("Softmax", ["a2"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["best"], axis=1),
        helper.make_node("Cast", ["best"], ["label"], to=TensorProto.INT32),
    ]
    constants = {
        "w1": weights(6, 8),
        "b1": weights(1, 8),
        "w2": weights(8, 3, seed=2),
        "b2": weights(1, 3, seed=3),
    }
    return float_model(nodes, constants, ["label", "probabilities"])


def linear() -> bytes:
    """Two matrices without anything between, which melt into one."""
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["p"]), helper.make_node("MatMul", ["p", "w2"], ["q"])]
    return float_model(nodes, {"w1": weights(6, 5), "w2": weights(5, 3, seed=2)}, ["q"])


def converted(model: bytes) -> Conversion:
    return convert(model, rows(200, 6, 1), rows(150, 6, 2), Options(), OnnxRuntimeEngine())


@pytest.mark.parametrize(
    "model", [torch_style(), scikit_style(), linear()], ids=["torch", "scikit", "linear"]
)
def test_a_dense_model_is_converted_and_decides_alike(model: bytes) -> None:
    conversion = converted(model)
    assert conversion.report.total == 150
    assert conversion.report.matched >= 148
    assert len(conversion.report.differing) == 150 - conversion.report.matched
    assert all(layer.relative_error < 0.01 for layer in conversion.report.layers)
    assert prove(conversion.model).certificate == conversion.certificate


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert converted(torch_style()).model == converted(torch_style()).model


def test_engines_agree_on_a_converted_model_far_outside_its_range() -> None:
    conversion = converted(torch_style())
    port = conversion.certificate.inputs[0]
    for value in (-(2**31), port.low - 1, port.low, 0, port.high, port.high + 1, 2**31 - 1):
        inputs = (from_integers("int32", port.shape, [value] * 6),)
        assert run(OnnxRuntimeEngine(), conversion.model, inputs) == run(
            NumpyEngine(), conversion.model, inputs
        )


def test_the_example_agrees_with_its_float_model() -> None:
    takes = [Taken("X", "float32", (1, 30))]
    train, held_out = (read_set(EXAMPLE / name, takes, NO_CARD) for name in ("train.csv", "held_out.csv"))
    model = (EXAMPLE / "model.onnx").read_bytes()
    report = convert(model, train.samples, held_out.samples, Options(), OnnxRuntimeEngine()).report
    assert (report.matched, report.total) == (171, 171)


def test_a_feature_that_never_varies_is_no_trouble() -> None:
    same = [sample([3.0] * 6)] * 5
    assert convert(linear(), same, same, Options(), OnnxRuntimeEngine()).report.matched == 5


def test_samples_of_another_width_are_refused() -> None:
    with pytest.raises(Refused, match="sample 0"):
        convert(linear(), rows(3, 5, 1), rows(3, 6, 1), Options(), OnnxRuntimeEngine())
    with pytest.raises(Refused, match="there are no samples"):
        convert(linear(), rows(3, 6, 1), [], Options(), OnnxRuntimeEngine())


def test_a_wide_layer_keeps_to_the_bound() -> None:
    """Two thousand terms leave few bits for each; the prover has the last word."""
    width = 2000
    nodes = [
        helper.make_node("Gemm", ["x", "w1"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("Gemm", ["r", "w2"], ["y"]),
    ]
    model = float_model(
        nodes, {"w1": weights(width, 8), "w2": weights(8, 3, seed=2)}, ["y"], shape=(1, width)
    )
    random = Random(1)
    samples = [sample(random.randint(-99, 99) / 10 for _ in range(width)) for _ in range(8)]
    assert convert(model, samples, samples, Options(), OnnxRuntimeEngine()).report.matched == 8


def test_a_layer_that_widens_is_proved_within_the_steps_of_its_bytes() -> None:
    """Bounds of many channels take more steps than the few weights that make them."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("Gemm", ["r", "w2"], ["y"]),
    ]
    width = 4000
    model = float_model(
        nodes, {"w1": weights(6, width), "w2": weights(width, 3, seed=2)}, ["y"], shape=(1, 6)
    )
    assert converted(model).report.total == 150
