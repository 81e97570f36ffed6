"""Resizing and padding in the spellings of the exporters, against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from inference.refusal import Refused
from tests.inference.converter.checks import IMAGE, ensure, ensure_meaning, kind, sample
from tests.inference.converter.floats import model, node, program_of, weights
from tests.inference.converter.programs import exact

DOUBLE = [1.0, 1.0, 2.0, 2.0]
SIZES = np.array([1, 4, 9, 12])


def resize(sizes: Any, **attributes: Any) -> bytes:
    """By scales if they are reals, else to sizes."""
    real = isinstance(sizes, list)
    inputs = ["x", "", "s"] if real else ["x", "", "", "s"]
    return model([node("Resize", inputs, ["y"], **attributes)], {"s": sizes}, x=IMAGE)


@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("sizes", [DOUBLE, [1.0, 1.0, 1.7, 0.6], SIZES])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_sizes_become_weights_and_choices(coordinates: str, sizes: Any, mode: str) -> None:
    rounding = {} if mode == "linear" else {"nearest_mode": "floor"}
    data = resize(sizes, mode=mode, coordinate_transformation_mode=coordinates, **rounding)
    program = program_of(data)
    ensure_meaning(program, sample(program))
    kinds = {kind(step) for step in program.steps}
    assert ("Matrix" in kinds) == (mode == "linear")


@pytest.mark.parametrize("rounding", ["ceil", "floor", "round_prefer_ceil", "round_prefer_floor"])
def test_neighbours_are_rounded_as_the_exporter_says(rounding: str) -> None:
    ensure(resize(SIZES, mode="nearest", nearest_mode=rounding), ["Gather", "Gather"])


def test_one_axis_is_one_product() -> None:
    """The last as it lies, another one with a transposition before and after."""
    ensure(resize([1.0, 1.0, 1.0, 2.0], mode="linear"), ["Matrix"])
    ensure(resize([1.0, 1.0, 2.0, 1.0], mode="linear"), ["Transpose", "Matrix", "Transpose"])


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"mode": "cubic"}, "resizing by cubic is not supported; use linear or nearest"),
        (
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
            "tf_crop_and_resize is not",
        ),
    ],
)
def test_other_ways_to_resize_are_refused(attributes: dict[str, Any], reason: str) -> None:
    inputs = ["x", "region", "s"] if "coordinate_transformation_mode" in attributes else ["x", "", "s"]
    constants = {"s": DOUBLE, "region": [0.0, 0, 0, 0, 1, 1, 1, 1]}
    with pytest.raises(Refused, match=reason):
        program_of(model([node("Resize", inputs, ["y"], **attributes)], constants, x=IMAGE))


def test_very_long_sides_are_not_resized_by_weights() -> None:
    data = model(
        [node("Resize", ["x", "", "s"], ["y"], mode="linear")], {"s": [1.0, 1.0, 2.0]}, x=(1, 1, 2049)
    )
    with pytest.raises(Refused, match="a side of more than 4096 is resized; use nearest"):
        program_of(data)


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_padding_by_what_is_there_chooses_elements(mode: str) -> None:
    pads = np.array([0, 0, 1, 2, 0, 0, 3, 2])
    data = model([node("Pad", ["x", "pads"], ["y"], mode=mode)], {"pads": pads}, version=19, x=IMAGE)
    ensure(data, ["Gather", "Gather"])


def convolved(middle: list[NodeProto], result: str, **constants: Any) -> bytes:
    """Between two convolutions, the first of which makes channels of very different sizes."""
    first = weights(4, 4, 1, 1) * np.array([1, 10, 100, 0.1])[:, None, None, None]
    nodes = [
        node("Conv", ["x", "first"], ["a"]),
        node("Relu", ["a"], ["r"]),
        *middle,
        node("Conv", [result, "last"], ["y"]),
    ]
    return model(nodes, {"first": first, **constants}, x=(1, 4, 6, 8))


def test_borders_from_the_other_side_keep_a_scale_for_each_channel() -> None:
    """As PyTorch writes circular padding: slices and concatenations, which are one group of scales."""
    middle = [
        node("Slice", ["r", "six", "end", "three"], ["tail"]),
        node("Slice", ["r", "zero", "two", "three"], ["head"]),
        node("Concat", ["tail", "r", "head"], ["wide"], axis=3),
        node("Slice", ["wide", "five", "end", "rows"], ["below"]),
        node("Concat", ["below", "wide"], ["all"], axis=2),
    ]
    numbers = {"zero": 0, "two": 2, "three": 3, "five": 5, "six": 6, "end": 99, "rows": 2}
    constants = {name: np.array([value]) for name, value in numbers.items()}
    done = exact(program_of(convolved(middle, "all", last=weights(3, 4, 3, 3), **constants)))
    assert done.report.outputs[0].relative_error < 0.05


def test_the_greatest_and_the_mean_of_all_channels_meet() -> None:
    """As attention to places of an image is written."""
    middle = [
        node("ReduceMean", ["r"], ["mean"], axes=[1]),
        node("ReduceMax", ["r"], ["greatest"], axes=[1]),
        node("Concat", ["mean", "greatest"], ["both"], axis=1),
    ]
    done = exact(program_of(convolved(middle, "both", last=weights(1, 2, 3, 3))))
    assert done.report.outputs[0].relative_error < 0.05
