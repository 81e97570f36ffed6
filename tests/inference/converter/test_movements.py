"""What moves elements, and what slides windows over them."""

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from tests.inference.converter.checks import ensure
from tests.inference.converter.floats import model, node, weights

MOVEMENTS: dict[str, tuple[list[str], list[NodeProto], dict[str, Any], int]] = {
    "Split": (
        ["Slice", "Slice", "add"],
        [node("Split", ["x", "halves"], ["a", "b"], axis=1), node("Add", ["a", "b"], ["y"])],
        {"halves": np.array([2, 2])},
        17,
    ),
    "Slice": (
        ["Slice"],
        [node("Slice", ["x", "from", "to", "axes", "steps"], ["y"])],
        {
            "from": np.array([1, -6]),
            "to": np.array([99, -1]),
            "axes": np.array([2, -1]),
            "steps": np.array([1, 2]),
        },
        17,
    ),
    "Concat with a constant": (
        ["Constant", "Concat"],
        [node("Concat", ["x", "more"], ["y"], axis=-1)],
        {"more": weights(1, 4, 6, 2)},
        17,
    ),
    "Pad": (
        ["Pad"],
        [node("Pad", ["x", "pads", "fill"], ["y"])],
        {"pads": np.array([0, 0, 1, 2, 0, 0, 3, 4]), "fill": 2.5},
        17,
    ),
    "Pad by attributes": (["Pad"], [node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 3, 4])], {}, 10),
    "Resize": (
        ["Resize"],
        [
            node(
                "Resize",
                ["x", "", "scales"],
                ["y"],
                mode="nearest",
                nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            )
        ],
        {"scales": [1.0, 1.0, 2.0, 3.0]},
        17,
    ),
    "Resize, centred": (
        ["Resize"],
        [node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")],
        {"sizes": np.array([1, 4, 18, 16])},
        17,
    ),
    "Upsample": (["Resize"], [node("Upsample", ["x", "scales"], ["y"])], {"scales": [1.0, 1.0, 2.0, 2.0]}, 9),
    "Expand": (
        ["Reduce", "Reshape", "Gather", "Gather", "Gather"],
        [node("ReduceSum", ["x", "last"], ["r"]), node("Expand", ["r", "shape"], ["y"])],
        {"last": np.array([1, 2]), "shape": np.array([2, 1, 3, 2, 8])},
        17,
    ),
    "Tile": (
        ["Gather", "Gather"],
        [node("Tile", ["x", "times"], ["y"])],
        {"times": np.array([1, 2, 1, 3])},
        17,
    ),
    "Gather": (
        ["Gather"],
        [node("Gather", ["x", "which"], ["y"], axis=2)],
        {"which": np.array([3, -1, 0])},
        17,
    ),
    "GatherND": (
        ["Gather"],
        [
            node("Slice", ["x", "zero", "one", "zero"], ["first"]),
            node("GatherND", ["first", "places"], ["y"]),
        ],
        {
            "zero": np.array([0]),
            "one": np.array([1]),
            "places": np.array([[[0, 2], [0, 0]], [[0, -1], [0, 2]]]),
        },
        17,
    ),
    "one row": (["Gather"], [node("Gather", ["x", "which"], ["y"], axis=2)], {"which": np.array(3)}, 17),
    "DepthToSpace": (
        ["Reshape", "Transpose", "Reshape"],
        [node("DepthToSpace", ["x"], ["y"], blocksize=2)],
        {},
        17,
    ),
    "DepthToSpace, columns first": (
        ["Reshape", "Transpose", "Reshape"],
        [node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD")],
        {},
        17,
    ),
    "Flatten": (["Reshape"], [node("Flatten", ["x"], ["y"])], {}, 17),
    "reshapes in a row": (
        ["Reshape"],
        [
            node("Unsqueeze", ["x", "last"], ["a"]),
            node("Squeeze", ["a", "last"], ["b"]),
            node("Reshape", ["b", "flat"], ["y"]),
        ],
        {"last": np.array([0]), "flat": np.array([1, -1])},
        17,
    ),
}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movements(name: str) -> None:
    kinds, nodes, constants, version = MOVEMENTS[name]
    ensure(model(nodes, constants, version=version, x=(1, 4, 6, 8)), kinds)


POOLS: dict[str, tuple[list[str], list[NodeProto]]] = {
    "MaxPool": (
        ["Pool"],
        [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])],
    ),
    "MaxPool, last window incomplete": (
        ["Pool"],
        [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
    ),
    "AveragePool": (["Pool"], [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])]),
    "AveragePool with its padding": (
        ["Pool"],
        [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
    ),
    "MaxPool, padded alike": (
        ["Pool"],
        [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")],
    ),
    "GlobalAveragePool": (["Reduce"], [node("GlobalAveragePool", ["x"], ["y"])]),
    "GlobalMaxPool": (["Reduce"], [node("GlobalMaxPool", ["x"], ["y"])]),
    "ReduceMean": (["Reduce"], [node("ReduceMean", ["x"], ["y"], axes=[2, -1], keepdims=0)]),
    "ReduceMax": (["Reduce"], [node("ReduceMax", ["x"], ["y"], axes=[1])]),
    "ReduceMin": (["Reduce"], [node("ReduceMin", ["x"], ["y"], axes=[1])]),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_and_reductions(name: str) -> None:
    kinds, nodes = POOLS[name]
    ensure(model(nodes, {}, x=(1, 4, 7, 8)), kinds)
