"""Constants melt into the linear steps around them."""

from typing import Any

import pytest
from onnx import NodeProto, TensorProto

from tests.inference.converter.checks import ROWS, ensure
from tests.inference.converter.floats import model, node, typed_model, weights

CONVOLUTIONS: dict[str, tuple[NodeProto, dict[str, Any]]] = {
    "grouped": (
        node("Conv", ["x", "w", "b"], ["y"], group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 2, 1]),
        {"w": weights(6, 2, 3, 3), "b": weights(6)},
    ),
    "depthwise": (node("Conv", ["x", "w"], ["y"], group=4), {"w": weights(4, 1, 3, 3)}),
    "padded alike, upper": (
        node("Conv", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER"),
        {"w": weights(3, 4, 3, 3)},
    ),
    "padded alike, lower": (
        node("Conv", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_LOWER"),
        {"w": weights(3, 4, 4, 3)},
    ),
    "transposed": (
        node(
            "ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0]
        ),
        {"w": weights(4, 3, 3, 3), "b": weights(3)},
    ),
    "transposed and grouped": (
        node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 1], dilations=[1, 2], group=2),
        {"w": weights(4, 3, 3, 3)},
    ),
}


@pytest.mark.parametrize("affines", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_take_in_what_stands_around_them(name: str, affines: bool) -> None:
    made, constants = CONVOLUTIONS[name]
    if not affines:
        ensure(model([made], constants, x=(1, 4, 6, 8)), ["Convolution"])
        return
    middle = NodeProto.FromString(made.SerializeToString())
    middle.input[0], middle.output[0] = "scaled", "z"
    outputs = constants["w"].shape[0 if made.op_type == "Conv" else 1]
    outputs *= 2 if name == "transposed and grouped" else 1
    nodes = [
        node("Mul", ["x", "before"], ["scaled"]),
        middle,
        node("Mul", ["z", "gain"], ["g"]),
        node("Sub", ["g", "bias"], ["y"]),
    ]
    more = {
        "before": weights(4, 1, 1, seed=4),
        "gain": weights(1, outputs, 1, 1, seed=5),
        "bias": weights(outputs, 1, 1, seed=6),
    }
    ensure(model(nodes, constants | more, x=(1, 4, 6, 8)), ["Convolution"])


def test_an_offset_goes_into_a_bias_only_where_nothing_is_padded() -> None:
    nodes = [node("Sub", ["x", "mean"], ["c"]), node("Conv", ["c", "w"], ["y"])]
    constants = {"mean": weights(4, 1, 1), "w": weights(3, 4, 3, 3)}
    ensure(model(nodes, constants, x=(1, 4, 6, 8)), ["Convolution"])
    nodes[1] = node("Conv", ["c", "w"], ["y"], pads=[1, 1, 1, 1])
    ensure(model(nodes, constants, x=(1, 4, 6, 8)), ["affine", "Convolution"])


def test_dense_layers_take_in_scalers_biases_and_each_other() -> None:
    nodes = [
        node(
            "Scaler",
            ["x"],
            ["s"],
            domain="ai.onnx.ml",
            offset=[1.0, 2, 3, 4, 5, 6],
            scale=[0.5, 1, 2, 3, 4, 5],
        ),
        node("Gemm", ["s", "w1", "b1"], ["g"], transB=1, alpha=0.5, beta=2.0),
        node("Div", ["g", "d"], ["q"]),
        node("Relu", ["q"], ["r"]),
        node("MatMul", ["r", "w2"], ["m"]),
        node("Add", ["b2", "m"], ["y"]),
    ]
    constants = {
        "w1": weights(4, 6),
        "b1": weights(4),
        "d": [2.0, 3, 4, 5],
        "w2": weights(4, 3),
        "b2": weights(3),
    }
    ensure(model(nodes, constants, x=ROWS), ["Matrix", "Relu", "Matrix"])


def test_batch_norm_that_follows_no_convolution() -> None:
    nodes = [node("BatchNormalization", ["x", "g", "b", "m", "v"], ["n"]), node("Relu", ["n"], ["y"])]
    constants = {"g": weights(4), "b": weights(4, seed=2), "m": weights(4, seed=3), "v": weights(4) ** 2}
    ensure(model(nodes, constants, x=(1, 4, 6, 8)), ["Relu"])


def test_a_product_added_to_its_factor_is_one_product() -> None:
    nodes = [
        node("GlobalAveragePool", ["x"], ["p"]),
        node("Conv", ["p", "w"], ["c"]),
        node("HardSigmoid", ["c"], ["h"]),
        node("Mul", ["x", "h"], ["m"]),
        node("Add", ["m", "x"], ["y"]),
    ]
    program = ensure(
        model(nodes, {"w": weights(4, 4, 1, 1)}, x=(1, 4, 6, 8)),
        ["Reduce", "Convolution", "Clip", "multiply"],
    )
    assert program.steps[2].parameters == (1.0, 2.0)  # type: ignore[attr-defined]


def test_pictures_of_bytes_are_scaled_in_the_first_layer() -> None:
    nodes = [
        node("Cast", ["x"], ["r"], to=1),
        node("Div", ["r", "white"], ["s"]),
        node("Sub", ["s", "mean"], ["c"]),
        node("Conv", ["c", "w"], ["y"]),
    ]
    constants = {"white": 255.0, "mean": weights(3, 1, 1), "w": weights(2, 3, 3, 3)}
    data = typed_model(nodes, constants, {"x": (TensorProto.UINT8, (1, 3, 5, 5))})
    program = ensure(data, ["Convolution"])
    assert program.sources[0].dtype == "uint8"


def test_a_norm_takes_in_a_scale_before_it() -> None:
    """Small enough for the norm's epsilon to matter."""
    nodes = [
        node("Mul", ["x", "small"], ["s"]),
        node("LayerNormalization", ["s", "gain"], ["y"], epsilon=0.125),
    ]
    ensure(model(nodes, {"small": -0.25, "gain": weights(8)}, x=(1, 5, 8)), ["Norm"])


def test_constants_minus_what_is_computed() -> None:
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Sub", ["b", "m"], ["y"])]
    ensure(model(nodes, {"w": weights(6, 3), "b": weights(3)}, x=ROWS), ["Matrix"])
