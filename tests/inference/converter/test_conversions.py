"""Float graphs, as exporters write them, whose exact models once said something else or did not fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from inference.converter.exact import make_exact
from inference.converter.options import Options, unwatched
from inference.converter.report import OutputReport
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.refusal import Refused
from tests.inference.converter.floats import model, node, program_of, weights


def converted(
    nodes: Sequence[NodeProto], constants: dict[str, Any], shape: tuple[int, ...], count: int = 60
) -> OutputReport:
    """What became of the output, over samples of normal numbers apart from those of the calibration."""
    program = program_of(model(nodes, constants, x=shape))
    random = np.random.default_rng(7)
    samples = [{"x": random.normal(size=shape).astype(np.float32)} for _ in range(count)]
    half = count // 2
    conversion = make_exact(
        program, samples[:half], samples[half:], Options(), OnnxRuntimeEngine(), unwatched
    )
    (output,) = conversion.report.outputs
    return output


def test_a_curve_behind_other_scales_for_each_channel() -> None:
    """One table for all channels: the scales, that nothing else takes, are a step of their own."""
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Mul", ["p", "gain"], ["g"]),
        node("Add", ["g", "bias"], ["a"]),
        node("Sigmoid", ["a"], ["s"]),
        node("Mul", ["a", "s"], ["silu"]),
        node("Conv", ["silu", "w"], ["y"]),
    ]
    constants = {
        "gain": np.array([0.25, 1, 4]).reshape(3, 1, 1),
        "bias": np.array([1.0, 0, -2]).reshape(3, 1, 1),
        "w": weights(4, 3, 1, 1),
    }
    assert converted(nodes, constants, (1, 3, 8, 8)).relative_error < 0.05


def shuffled() -> list[NodeProto]:
    """Half of the channels go another way; then the halves are dealt out by turns."""
    deep: dict[str, Any] = {"group": 4, "pads": [1, 1, 1, 1]}
    return [
        node("Conv", ["x", "first"], ["f"]),
        node("Relu", ["f"], ["r"]),
        node("Split", ["r", "halves"], ["a", "b"], axis=1),
        node("Conv", ["b", "branch"], ["c"]),
        node("Concat", ["a", "c"], ["all"], axis=1),
        node("Reshape", ["all", "two"], ["dealt"]),
        node("Transpose", ["dealt"], ["turned"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["turned", "flat"], ["mixed"]),
        node("Split", ["mixed", "halves"], ["d", "e"], axis=1),
        node("Conv", ["e", "point"], ["p"]),
        node("Relu", ["p"], ["q"]),
        node("Conv", ["q", "depth"], ["h"], **deep),
        node("Concat", ["d", "h"], ["both"], axis=1),
        node("Conv", ["both", "last"], ["y"]),
    ]


def test_channels_that_are_shuffled() -> None:
    """The limits of each channel are no longer known of a tensor that was shaped anew."""
    constants = {
        "first": weights(8, 3, 1, 1, seed=10),
        "branch": weights(4, 4, 1, 1, seed=20),
        "point": weights(4, 4, 1, 1, seed=30),
        "depth": weights(4, 1, 3, 3, seed=40),
        "last": weights(5, 8, 1, 1, seed=50),
        "halves": np.array([4, 4]),
        "two": np.array([1, 2, 4, 6, 6]),
        "flat": np.array([1, 8, 6, 6]),
    }
    assert converted(shuffled(), constants, (1, 3, 6, 6)).relative_error < 0.05


def test_an_instance_norm_over_more_than_float32_can_sum() -> None:
    nodes = [
        node("InstanceNormalization", ["x", "gain", "bias"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("Conv", ["r", "w"], ["y"]),
    ]
    constants = {"gain": np.array([0.5, 2.0, 4.0]), "bias": np.array([0.0, 1, -2]), "w": weights(4, 3, 1, 1)}
    assert converted(nodes, constants, (1, 3, 64, 64), count=8).relative_error < 0.01


def test_a_group_norm() -> None:
    nodes = [
        node("Reshape", ["x", "groups"], ["g"]),
        node("InstanceNormalization", ["g", "ones", "zeros"], ["n"]),
        node("Reshape", ["n", "image"], ["m"]),
        node("Mul", ["m", "gain"], ["s"]),
        node("Add", ["s", "bias"], ["b"]),
        node("Relu", ["b"], ["r"]),
        node("Conv", ["r", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    constants = {
        "groups": np.array([0, 2, -1]),
        "image": np.array([1, 4, 6, 6]),
        "ones": np.ones(2),
        "zeros": np.zeros(2),
        "gain": weights(4, 1, 1, seed=2),
        "bias": weights(4, 1, 1, seed=3),
        "w": weights(4, 4, 3, 3),
    }
    assert converted(nodes, constants, (1, 4, 6, 6)).relative_error < 0.02


POOLED = [
    node("MatMul", ["x", "w"], ["words"]),
    node("ReduceMax", ["x"], ["loud"], axes=[2], keepdims=1),
    node("Clip", ["loud", "none", "all"], ["counts"]),
    node("Mul", ["words", "counts"], ["kept"]),
    node("ReduceSum", ["kept", "along"], ["total"], keepdims=0),
    node("ReduceSum", ["counts", "along"], ["number"], keepdims=0),
    node("Clip", ["number", "tiny"], ["some"]),
    node("Div", ["total", "some"], ["mean"]),
    node("ReduceL2", ["mean"], ["length"], axes=[-1]),
    node("Div", ["mean", "length"], ["unit"]),
    node("MatMul", ["unit", "last"], ["y"]),
]
"""Words that count more or less, their mean, made as long as all others."""

POOLING = {
    "w": weights(5, 8),
    "none": 0.0,
    "all": 1.0,
    "along": np.array([1]),
    "tiny": 1e-9,
    "last": weights(8, 3, seed=2),
}


def test_a_mean_of_what_counts() -> None:
    assert converted(POOLED, POOLING, (1, 7, 5), count=300).relative_error < 0.02


def test_a_division_by_what_may_be_below_zero_is_refused() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("MatMul", ["x", "v"], ["b"]),
        node("Div", ["a", "b"], ["y"]),
    ]
    reason = "Combine -> y: what it is divided by may be zero or below: divide by what is above zero"
    with pytest.raises(Refused, match=reason):
        converted(nodes, {"w": weights(6, 3), "v": weights(6, 1)}, (1, 6))


@pytest.mark.parametrize(("operator", "axes"), [("ReduceL2", [2, 3]), ("ReduceSumSquare", [1])])
def test_channels_by_their_mean(operator: str, axes: list[int]) -> None:
    """As of a global response norm."""
    nodes = [
        node(operator, ["x"], ["g"], axes=axes),
        node("ReduceMean", ["g"], ["m"], axes=[1, 2, 3]),
        node("Add", ["m", "small"], ["s"]),
        node("Div", ["g", "s"], ["n"]),
        node("Mul", ["x", "n"], ["r"]),
        node("Conv", ["r", "w"], ["y"]),
    ]
    constants = {"small": 1e-6, "w": weights(4, 3, 1, 1)}
    assert converted(nodes, constants, (1, 3, 6, 6), count=200).relative_error < 0.03


@pytest.mark.parametrize("inputs", [["q", "sine"], ["sine", "q"]])
def test_positions_that_turn_what_they_meet(inputs: list[str]) -> None:
    """The first sine is zero, for every dimension: no scale of a channel."""
    angles = np.arange(6)[:, None] * np.array([1.0, 0.1, 0.01, 0.001])
    nodes = [
        node("MatMul", ["x", "w"], ["q"]),
        node("Mul", ["q", "cosine"], ["c"]),
        node("Mul", inputs, ["s"]),
        node("Sub", ["c", "s"], ["turned"]),
        node("Sigmoid", ["turned"], ["y"]),
    ]
    constants = {"w": weights(5, 4), "cosine": np.cos(angles), "sine": np.sin(angles)}
    assert converted(nodes, constants, (1, 6, 5), count=200).relative_error < 0.02
