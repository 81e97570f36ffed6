"""Elementwise functions are told by their values, however they are spelled."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from tests.inference.converter.checks import IMAGE, ensure
from tests.inference.converter.floats import model, node, weights


def activation(nodes: Sequence[NodeProto], constants: Mapping[str, Any], version: int = 17) -> bytes:
    """A convolution, then x -> y."""
    first = node("Conv", ["image", "w"], ["x"])
    return model([first, *nodes], {"w": weights(4, 4, 1, 1), **constants}, ("y",), version, image=IMAGE)


ACTIVATIONS: dict[str, tuple[str, list[NodeProto], dict[str, Any], int]] = {
    "Relu": ("Relu", [node("Relu", ["x"], ["y"])], {}, 17),
    "Max with zero": ("Relu", [node("Max", ["x", "zero"], ["y"])], {"zero": 0.0}, 17),
    "Clip 0..6": ("Relu6", [node("Clip", ["x", "zero", "six"], ["y"])], {"zero": 0.0, "six": 6.0}, 17),
    "Clip by attributes": ("Relu6", [node("Clip", ["x"], ["y"], min=0.0, max=6.0)], {}, 10),
    "Min of Relu": (
        "Relu6",
        [node("Relu", ["x"], ["r"]), node("Min", ["r", "six"], ["y"])],
        {"six": 6.0},
        17,
    ),
    "HardSigmoid": ("HardSigmoid", [node("HardSigmoid", ["x"], ["y"], alpha=1 / 6, beta=0.5)], {}, 17),
    "HardSigmoid in pieces": (
        "HardSigmoid",
        [
            node("Add", ["x", "three"], ["a"]),
            node("Clip", ["a", "zero", "six"], ["c"]),
            node("Div", ["c", "six"], ["y"]),
        ],
        {"three": 3.0, "zero": 0.0, "six": 6.0},
        17,
    ),
    "HardSwish": ("HardSwish", [node("HardSwish", ["x"], ["y"])], {}, 17),
    "HardSwish by HardSigmoid": (
        "HardSwish",
        [node("HardSigmoid", ["x"], ["h"], alpha=1 / 6, beta=0.5), node("Mul", ["x", "h"], ["y"])],
        {},
        17,
    ),
    "HardSwish in pieces": (
        "HardSwish",
        [
            node("Add", ["x", "three"], ["a"]),
            node("Clip", ["a", "zero", "six"], ["c"]),
            node("Mul", ["x", "c"], ["m"]),
            node("Div", ["m", "six"], ["y"]),
        ],
        {"three": 3.0, "zero": 0.0, "six": 6.0},
        17,
    ),
    "Silu": ("Silu", [node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "x"], ["y"])], {}, 17),
    "Silu by Exp": (
        "Silu",
        [
            node("Neg", ["x"], ["n"]),
            node("Exp", ["n"], ["e"]),
            node("Add", ["e", "one"], ["a"]),
            node("Div", ["x", "a"], ["y"]),
        ],
        {"one": 1.0},
        17,
    ),
    "Gelu by Erf": (
        "Gelu",
        [
            node("Div", ["x", "root"], ["d"]),
            node("Erf", ["d"], ["e"]),
            node("Add", ["e", "one"], ["a"]),
            node("Mul", ["x", "a"], ["m"]),
            node("Mul", ["m", "half"], ["y"]),
        ],
        {"root": 2**0.5, "one": 1.0, "half": 0.5},
        17,
    ),
    "Gelu": ("Gelu", [node("Gelu", ["x"], ["y"])], {}, 20),
    "Gelu by Tanh": (
        "Gelu (tanh)",
        [
            node("Pow", ["x", "three"], ["p"]),
            node("Mul", ["p", "small"], ["c"]),
            node("Add", ["x", "c"], ["s"]),
            node("Mul", ["s", "root"], ["r"]),
            node("Tanh", ["r"], ["t"]),
            node("Add", ["t", "one"], ["a"]),
            node("Mul", ["x", "half"], ["h"]),
            node("Mul", ["h", "a"], ["y"]),
        ],
        {"three": 3.0, "small": 0.044715, "root": (2 / np.pi) ** 0.5, "one": 1.0, "half": 0.5},
        17,
    ),
    "QuickGelu": (
        "QuickGelu",
        [
            node("Mul", ["x", "factor"], ["f"]),
            node("Sigmoid", ["f"], ["s"]),
            node("Mul", ["x", "s"], ["y"]),
        ],
        {"factor": 1.702},
        17,
    ),
    "Mish": ("Mish", [node("Mish", ["x"], ["y"])], {}, 18),
    "Mish in pieces": (
        "Mish",
        [
            node("Softplus", ["x"], ["s"]),
            node("Tanh", ["s"], ["t"]),
            node("Mul", ["x", "t"], ["y"]),
        ],
        {},
        17,
    ),
    "LeakyRelu": ("LeakyRelu", [node("LeakyRelu", ["x"], ["y"], alpha=0.1)], {}, 17),
    "PRelu with one slope": ("LeakyRelu", [node("PRelu", ["x", "slope"], ["y"])], {"slope": [[[0.25]]]}, 17),
    "Leaky by Max": (
        "LeakyRelu",
        [node("Mul", ["x", "slope"], ["m"]), node("Max", ["x", "m"], ["y"])],
        {"slope": 0.1},
        17,
    ),
    "Elu": ("Elu", [node("Elu", ["x"], ["y"])], {}, 17),
    "Selu": ("curve", [node("Selu", ["x"], ["y"])], {}, 17),
    "Celu": ("curve", [node("Celu", ["x"], ["y"], alpha=2.0)], {}, 17),
    "Softplus": ("Softplus", [node("Softplus", ["x"], ["y"])], {}, 17),
    "Softsign": ("curve", [node("Softsign", ["x"], ["y"])], {}, 17),
    "Tanh": ("Tanh", [node("Tanh", ["x"], ["y"])], {}, 17),
    "Sigmoid twice": ("curve", [node("Sigmoid", ["x"], ["s"]), node("Sigmoid", ["s"], ["y"])], {}, 17),
    "ThresholdedRelu": ("curve", [node("ThresholdedRelu", ["x"], ["y"], alpha=1.0)], {}, 17),
    "Square": ("Square", [node("Mul", ["x", "x"], ["y"])], {}, 17),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_told_by_their_values(name: str) -> None:
    label, nodes, constants, version = ACTIVATIONS[name]
    # The pooling keeps an output from being cut as a head.
    more = [*nodes[:-1], NodeProto.FromString(nodes[-1].SerializeToString())]
    more[-1].output[0] = "z"
    data = activation([*more, node("GlobalAveragePool", ["z"], ["y"])], constants, version)
    ensure(data, ["Convolution", label, "Reduce"])


def test_a_region_starts_anew_where_its_result_is_read_otherwise() -> None:
    """Half of what a pooling reads is a half of it, not another function of the convolution."""
    nodes = [
        node("Sigmoid", ["x"], ["s"]),
        node("GlobalMaxPool", ["s"], ["p"]),
        node("Mul", ["s", "half"], ["h"]),
        node("Tanh", ["h"], ["t"]),
        node("Add", ["t", "p"], ["y"]),
    ]
    program = ensure(activation(nodes, {"half": 0.5}), ["Convolution", "Sigmoid", "Reduce", "curve", "add"])
    assert program.steps[3].inputs == ("s",)


def test_slopes_for_each_channel() -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("PRelu", ["c", "slopes"], ["y"])]
    constants = {"w": weights(4, 4, 1, 1), "slopes": weights(4, 1, 1)}
    ensure(model(nodes, constants, x=(1, 4, 6, 8)), ["Convolution", "Relu", "Clip", "affine", "add"])
