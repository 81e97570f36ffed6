"""Norms, softmaxes, masks and look-ups, in every spelling that exporters have."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from inference.converter.program import Norm, Softmax
from inference.refusal import Refused
from tests.inference.converter.checks import IMAGE, ROWS, WORDS, ensure, ensure_meaning, kind, sample
from tests.inference.converter.floats import model, node, program_of, weights


def layer_norm(spelling: str) -> list[NodeProto]:
    """x, gain, bias -> y over the last dimension."""
    mean = node("ReduceMean", ["x"], ["mean"], axes=[-1])
    centre = node("Sub", ["x", "mean"], ["c"])
    square = node("Pow", ["c", "two"], ["sq"])
    centres = [centre]
    if spelling == "product":
        square = node("Mul", ["c", "c"], ["sq"])
    if spelling == "twice":
        centres.append(node("Sub", ["x", "mean"], ["c2"]))
        square = node("Pow", ["c2", "two"], ["sq"])
    variance = [node("ReduceMean", ["sq"], ["v"], axes=[-1]), node("Add", ["v", "epsilon"], ["e"])]
    root = {
        "reciprocal": [
            node("Sqrt", ["e"], ["r"]),
            node("Reciprocal", ["r"], ["i"]),
            node("Mul", ["c", "i"], ["n"]),
        ],
        "power": [node("Pow", ["e", "minus_half"], ["i"]), node("Mul", ["i", "c"], ["n"])],
        "half power": [node("Pow", ["e", "half"], ["r"]), node("Div", ["c", "r"], ["n"])],
        "one over": [
            node("Sqrt", ["e"], ["r"]),
            node("Div", ["one", "r"], ["i"]),
            node("Mul", ["c", "i"], ["n"]),
        ],
    }.get(spelling, [node("Sqrt", ["e"], ["r"]), node("Div", ["c", "r"], ["n"])])
    scaled = [node("Mul", ["gain", "n"], ["g"]), node("Add", ["g", "bias"], ["y"])]
    return [mean, *centres, square, *variance, *root, *scaled]


@pytest.mark.parametrize(
    "spelling", ["plain", "product", "twice", "reciprocal", "power", "half power", "one over"]
)
def test_layer_norms_are_found_in_pieces(spelling: str) -> None:
    constants = {
        "two": 2.0,
        "epsilon": 1e-5,
        "half": 0.5,
        "minus_half": -0.5,
        "one": 1.0,
        "gain": weights(8),
        "bias": weights(8, seed=2),
    }
    program = ensure(model(layer_norm(spelling), constants, x=WORDS), ["Norm"])
    assert program.steps[0].name == "y"


def test_layer_norm_as_an_operator_with_an_affine_behind() -> None:
    nodes = [
        node("LayerNormalization", ["x", "gain", "bias"], ["n"], axis=-2, epsilon=1e-3),
        node("Mul", ["n", "factor"], ["y"]),
    ]
    constants = {"gain": weights(5, 8), "bias": weights(5, 8, seed=2), "factor": weights(8, seed=3)}
    ensure(model(nodes, constants, x=WORDS), ["Norm"])


def test_instance_norm() -> None:
    nodes = [node("InstanceNormalization", ["x", "gain", "bias"], ["y"])]
    constants = {"gain": weights(4), "bias": weights(4, seed=2)}
    ensure(model(nodes, constants, x=IMAGE), ["Norm"], shapes={"x": (1, 4, 6, 8)})


SQUARED = {"two": 2.0, "half": 0.5, "minus_half": -0.5, "epsilon": 1e-3, "one": 1.0, "tiny": 1e-6}
SQUARE = node("Pow", ["x", "two"], ["q"])
MEAN = node("ReduceMean", ["q"], ["m"], axes=[-1])
ROOTS: dict[str, list[NodeProto]] = {
    "mean": [SQUARE, MEAN, node("Add", ["m", "epsilon"], ["e"]), node("Sqrt", ["e"], ["r"])],
    "largest": [SQUARE, MEAN, node("Max", ["m", "tiny"], ["e"]), node("Pow", ["e", "half"], ["r"])],
    "sum": [SQUARE, node("ReduceSum", ["q", "last"], ["m"]), node("Sqrt", ["m"], ["r"])],
    "squares": [node("ReduceSumSquare", ["x"], ["m"], axes=[-1]), node("Sqrt", ["m"], ["r"])],
    "length": [node("ReduceL2", ["x"], ["r"], axes=[-1])],
    "limited length": [
        node("ReduceL2", ["x"], ["l"], axes=[-1]),
        node("Clip", ["l", "tiny"], ["c"]),
        node("Expand", ["c", "shape"], ["r"]),
    ],
}


@pytest.mark.parametrize("root", ROOTS)
def test_what_is_divided_by_a_root_of_squares(root: str) -> None:
    nodes = [
        *ROOTS[root],
        node("Div", ["x", "r"], ["n"]),
        node("Mul", ["n", "gain"], ["g"]),
        node("Add", ["g", "bias"], ["y"]),
    ]
    more = {"gain": weights(8), "bias": weights(8, seed=2), "last": np.array([-1]), "shape": np.array(WORDS)}
    program = ensure(model(nodes, SQUARED | more, x=WORDS), ["Norm"])
    assert isinstance(program.steps[0], Norm)
    assert not program.steps[0].centred


@pytest.mark.parametrize(
    "inverse", [node("Reciprocal", ["r"], ["i"]), node("Div", ["one", "r"], ["i"])], ids=["reciprocal", "div"]
)
def test_what_is_multiplied_by_an_inverse_root(inverse: NodeProto) -> None:
    nodes = [*ROOTS["mean"], inverse, node("Mul", ["x", "i"], ["y"])]
    ensure(model(nodes, SQUARED, x=WORDS), ["Norm"])


def test_a_length_over_channels_in_the_middle() -> None:
    nodes = [node("LpNormalization", ["x"], ["y"], axis=1)]
    ensure(model(nodes, {}, x=(1, 4, 6, 8)), ["Transpose", "Norm", "Transpose"])


@pytest.mark.parametrize("version", [11, 17])
@pytest.mark.parametrize(("operator", "kinds"), [("ReduceL2", ["curve"]), ("ReduceSumSquare", [])])
def test_sums_of_squares_by_themselves(operator: str, kinds: list[str], version: int) -> None:
    nodes = [node(operator, ["x"], ["t"], axes=[1, 2], keepdims=0), node("MatMul", ["t", "w"], ["y"])]
    ensure(
        model(nodes, {"w": weights(4, 3)}, version=version, x=(1, 5, 6, 4)),
        ["Square", "Reduce", *kinds, "Matrix"],
    )


def test_rows_of_features_made_as_long() -> None:
    nodes = [
        node("Normalizer", ["x"], ["n"], norm="L2", domain="ai.onnx.ml"),
        node("MatMul", ["n", "w"], ["y"]),
    ]
    ensure(model(nodes, {"w": weights(6, 3)}, x=ROWS), ["Norm", "Matrix"])


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("LpNormalization", {"p": 1}),
        ("Normalizer", {"norm": "L1", "domain": "ai.onnx.ml"}),
        ("Normalizer", {"domain": "ai.onnx.ml"}),
    ],
)
def test_lengths_of_another_kind_are_refused(operator: str, attributes: dict[str, Any]) -> None:
    nodes = [node(operator, ["x"], ["n"], **attributes), node("MatMul", ["n", "w"], ["y"])]
    with pytest.raises(Refused, match=operator + r" -> n\): this operator has no exact form here"):
        program_of(model(nodes, {"w": weights(6, 3)}, x=ROWS))


def test_root_mean_square_norm_as_an_operator() -> None:
    nodes = [node("RMSNormalization", ["x", "gain"], ["y"], epsilon=1e-3)]
    program = ensure(model(nodes, {"gain": weights(8)}, version=23, x=WORDS), ["Norm"])
    assert isinstance(program.steps[0], Norm)
    assert not program.steps[0].centred


def test_an_offset_stays_before_a_norm_that_is_not_centred() -> None:
    offset = node("Add", ["z", "one"], ["x"])
    nodes = [offset, *ROOTS["mean"], node("Div", ["x", "r"], ["y"])]
    ensure(model(nodes, SQUARED, z=WORDS), ["affine", "Norm"])


@pytest.mark.parametrize("version", [11, 17])
@pytest.mark.parametrize("centred", [False, True])
def test_softmax_within_a_model(version: int, centred: bool) -> None:
    nodes = [node("Softmax", ["x"], ["s"], axis=2), node("MatMul", ["s", "w"], ["y"])]
    if version == 17:
        nodes = [
            node("ReduceMax", ["x"], ["m"], axes=[-1]),
            node("Sub", ["x", "m"], ["c"]),
            node("Exp", ["c" if centred else "x"], ["e"]),
            node("ReduceSum", ["e", "last"], ["t"]),
            node("Div", ["e", "t"], ["s"]),
            nodes[1],
        ]
    constants = {"w": weights(8, 3), "last": np.array([-1])}
    ensure(model(nodes, constants, version=version, x=WORDS), ["Softmax", "Matrix"])


def attention(mask: Sequence[NodeProto], scores: str) -> list[NodeProto]:
    """One head over x[1, 5, 8]; `mask` makes `scores` of `raw`."""
    return [
        node("MatMul", ["x", "wq"], ["q0"]),
        node("Add", ["q0", "bq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["qk"]),
        node("Div", ["qk", "root"], ["raw"]),
        *mask,
        node("Softmax", [scores], ["p"], axis=-1),
        node("MatMul", ["x", "wv"], ["v"]),
        node("MatMul", ["p", "v"], ["y"]),
    ]


ATTENTION = {
    "wq": weights(8, 4),
    "bq": weights(4),
    "wk": weights(8, 4, seed=2),
    "wv": weights(8, 4, seed=3),
    "root": 2.0,
    "one": 1.0,
    "much": -10000.0,
    "zero": 0.0,
    "least": float(np.finfo(np.float32).min),
}
HEAD = ["Matrix", "Matrix", "Transpose", "Product", "Softmax", "Matrix", "Product"]


def test_attention_takes_its_scale_into_the_product() -> None:
    program = ensure(model(attention([], "raw"), ATTENTION, x=WORDS), HEAD)
    assert [getattr(step, "scale", None) for step in program.steps if kind(step) == "Product"] == [0.5, 1.0]


@pytest.mark.parametrize("spelling", ["added", "chosen", "infinite"])
def test_a_constant_mask_becomes_part_of_the_softmax(spelling: str) -> None:
    causal = np.triu(np.full((5, 5), -1e9), 1)
    nodes = [node("Add", ["raw", "causal"], ["masked"])]
    constants: dict[str, Any] = {"causal": causal}
    if spelling != "added":
        nodes = [node("Where", ["allowed", "raw", "low"], ["masked"])]
        constants = {"allowed": causal == 0, "low": -np.inf if spelling == "infinite" else -1e9}
    program = ensure(model(attention(nodes, "masked"), ATTENTION | constants, x=WORDS), HEAD)
    softmax = next(step for step in program.steps if isinstance(step, Softmax))
    assert softmax.mask is not None
    np.testing.assert_array_equal(softmax.mask < -1000, causal < 0)


MASKS = {
    "subtracted": [
        node("Unsqueeze", ["mask", "first"], ["wide"]),
        node("Cast", ["wide"], ["real"], to=1),
        node("Sub", ["one", "real"], ["not"]),
        node("Mul", ["not", "much"], ["added"]),
        node("Add", ["raw", "added"], ["masked"]),
    ],
    "chosen": [
        node("Unsqueeze", ["mask", "first"], ["wide"]),
        node("Cast", ["wide"], ["real"], to=9),
        node("Where", ["real", "raw", "least"], ["masked"]),
    ],
    "equal to zero": [
        node("Unsqueeze", ["mask", "first"], ["wide"]),
        node("Equal", ["wide", "nothing"], ["hidden"]),
        node("Where", ["hidden", "least", "raw"], ["masked"]),
    ],
    "spread": [
        node("Cast", ["mask"], ["truth"], to=9),
        node("Unsqueeze", ["truth", "first"], ["wide"]),
        node("Expand", ["wide", "square"], ["spread"]),
        node("Where", ["spread", "zero", "least"], ["added"]),
        node("Add", ["added", "raw"], ["masked"]),
    ],
}
MASKED = {"first": np.array([1]), "nothing": np.array(0), "square": np.array([1, 5, 5])}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_is_an_input_says_what_counts(name: str) -> None:
    data = model(attention(MASKS[name], "masked"), ATTENTION | MASKED, x=WORDS, mask=(1, 5))
    program = program_of(data)
    softmax = next(step for step in program.steps if isinstance(step, Softmax))
    assert len(softmax.inputs) == 2
    assert softmax.mask is None
    inputs = sample(program) | {"mask": np.array([[1, 1, 0, 1, 0]])}
    ensure_meaning(program, inputs)
    moved = [step for step in program.steps if softmax.inputs[1] == step.name]
    assert [step.inputs for step in moved] == [("mask",)]


def test_a_mask_that_marks_what_is_hidden_is_turned_round() -> None:
    nodes = [
        node("Unsqueeze", ["mask", "first"], ["wide"]),
        node("Cast", ["wide"], ["real"], to=1),
        node("Mul", ["real", "much"], ["added"]),
        node("Add", ["raw", "added"], ["masked"]),
    ]
    program = program_of(model(attention(nodes, "masked"), ATTENTION | MASKED, x=WORDS, mask=(1, 5)))
    ensure_meaning(program, sample(program) | {"mask": np.array([[0, 0, 1, 0, 1]])})


def test_a_mask_bound_to_ones_leaves_nothing_behind() -> None:
    data = model(attention(MASKS["subtracted"], "masked"), ATTENTION | MASKED, x=WORDS, mask=(1, 5))
    program = program_of(data, constants={"mask": np.ones((1, 5), dtype=np.int64)})
    assert sorted(map(kind, program.steps)) == sorted(HEAD)
    assert [source.name for source in program.sources] == ["x"]
    ensure_meaning(program, sample(program))


def test_words_are_looked_up() -> None:
    nodes = [
        node("Gather", ["rows", "ids"], ["e"]),
        node("Add", ["e", "places"], ["y"]),
    ]
    constants = {"rows": weights(7, 8), "places": weights(5, 8)}
    program = ensure(model(nodes, constants, ids=("batch", 5)), ["Table", "affine"])
    assert program.sources[0].dtype == "int64"


def test_a_product_with_a_one_hot_vector_is_a_look_up() -> None:
    nodes = [node("OneHot", ["ids", "seven", "values"], ["hot"]), node("MatMul", ["hot", "rows"], ["y"])]
    constants = {"rows": weights(7, 8), "seven": np.array(7), "values": [0.0, 1.0]}
    ensure(model(nodes, constants, ids=("batch", 5)), ["Table"])


@pytest.mark.parametrize("operator", ["Sum", "Mean", "Max", "Min"])
def test_many_operands_meet_two_at_a_time(operator: str) -> None:
    nodes = [
        node("Conv", ["x", "a"], ["p"]),
        node("Conv", ["x", "b"], ["q"]),
        node(operator, ["x", "p", "q"], ["y"]),
    ]
    constants = {"a": weights(4, 4, 1, 1), "b": weights(4, 4, 1, 1, seed=2)}
    meeting = {
        "Sum": ["add"] * 2,
        "Mean": ["add"] * 2 + ["affine"],
        "Max": ["maximum"] * 2,
        "Min": ["minimum"] * 2,
    }
    kinds = ["Convolution", "Convolution", *meeting[operator]]
    ensure(model(nodes, constants, x=(1, 4, 6, 8)), kinds)


def test_nothing_is_ever_not_a_number() -> None:
    nodes = [
        node("Softmax", ["x"], ["s"]),
        node("IsNaN", ["s"], ["n"]),
        node("Where", ["n", "zero", "s"], ["c"]),
        node("MatMul", ["c", "w"], ["y"]),
    ]
    ensure(model(nodes, {"zero": 0.0, "w": weights(8, 2)}, x=WORDS), ["Softmax", "Matrix"])


@pytest.mark.parametrize("scaled", [False, True])
def test_a_norm_over_the_channels_of_an_image_is_one_between_transpositions(scaled: bool) -> None:
    """As ConvNeXt is written."""
    nodes = [
        node("ReduceMean", ["x"], ["mean"], axes=[1]),
        node("Sub", ["x", "mean"], ["c"]),
        node("Pow", ["c", "two"], ["sq"]),
        node("ReduceMean", ["sq"], ["v"], axes=[1]),
        node("Add", ["v", "epsilon"], ["e"]),
        node("Sqrt", ["e"], ["r"]),
        node("Div", ["c", "r"], ["n" if scaled else "y"]),
    ]
    if scaled:
        nodes += [node("Mul", ["gain", "n"], ["g"]), node("Add", ["g", "bias"], ["y"])]
    constants = {"two": 2.0, "epsilon": 1e-5, "gain": weights(4, 1, 1), "bias": weights(4, 1, 1, seed=2)}
    ensure(model(nodes, constants, x=IMAGE), ["Transpose", "Norm", "Transpose"])
