"""Folding leaves only what depends on the inputs, and says how to bind what is open."""

import numpy as np
import pytest

from inference.converter.fold import fold
from inference.refusal import Refused
from tests.inference.converter.floats import model, node, weights

FLATTENED = [
    node("Conv", ["x", "w"], ["c"]),
    node("BatchNormalization", ["c", "gain", "bias", "mean", "variance"], ["b"]),
    node("Shape", ["b"], ["shape"]),
    node("Gather", ["shape", "zero"], ["batch"]),
    node("Unsqueeze", ["batch", "zeros"], ["batches"]),
    node("Concat", ["batches", "minus_one"], ["wanted"], axis=0),
    node("Reshape", ["b", "wanted"], ["y"]),
]
CONSTANTS = {
    "w": weights(4, 3, 3, 3),
    "gain": [1.0, 2, 3, 4],
    "bias": [0.5, 0, 1, 2],
    "mean": [0.1, 0.2, 0.3, 0.4],
    "variance": [1.0, 2, 1, 2],
    "zero": np.int64(0),
    "zeros": np.array([0]),
    "minus_one": np.array([-1]),
}


def test_folds_shape_arithmetic_and_batch_norm() -> None:
    data = model(FLATTENED, CONSTANTS, x=("batch", 3, "h", "w"))
    folded = fold(data, {"x": (1, 3, 8, 6)})
    assert [each.operator for each in folded.graph.nodes] == ["Conv", "Reshape"]
    assert folded.types["y"].shape == (1, 4 * 6 * 4)
    assert folded.types["x"].shape == (1, 3, 8, 6)
    assert fold(data, {"x": (1, 3, 8, 6)}) == folded


def test_an_open_batch_is_one() -> None:
    data = model([node("Relu", ["x"], ["y"])], {}, x=("batch", 3))
    assert fold(data).types["y"].shape == (1, 3)


def test_binds_inputs_to_constants() -> None:
    data = model(
        [
            node("Cast", ["mask"], ["real"], to=1),
            node("Sub", ["one", "real"], ["hidden"]),
            node("Mul", ["hidden", "much"], ["added"]),
            node("Add", ["x", "added"], ["y"]),
        ],
        {"one": 1.0, "much": -10000.0},
        x=("batch", 4),
        mask=("batch", 4),
    )
    folded = fold(data, constants={"mask": np.ones((1, 4), dtype=np.int64)})
    assert [each.name for each in folded.graph.inputs] == ["x"]
    assert [each.operator for each in folded.graph.nodes] in ([], ["Add"], ["Identity"])


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({}, "x: the shape (?, 3, ?, ?) is open; give it as shapes, for example x=1x3x64x64"),
        ({"z": (1,)}, "options: the model has no input 'z'; its inputs are x"),
        ({"x": (1, 4, 8, 8)}, "x: the shape (1, 4, 8, 8) does not fit the declared one (?, 3, ?, ?)"),
        ({"x": (1, 3, 8)}, "x: the shape (1, 3, 8) does not fit the declared one (?, 3, ?, ?)"),
        ({"x": (1, 3, 1 << 20, 1 << 20)}, "x: the shape (1, 3, 1048576, 1048576) is impossible or too large"),
        ({"x": (0, 3, 8, 8)}, "x: the shape (0, 3, 8, 8) is impossible or too large"),
    ],
)
def test_refuses_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], reason: str) -> None:
    data = model(FLATTENED, CONSTANTS, x=("batch", 3, "h", "w"))
    with pytest.raises(Refused) as refused:
        fold(data, shapes)
    assert str(refused.value) == reason


def test_refuses_constants_of_another_shape() -> None:
    data = model([node("Add", ["x", "z"], ["y"])], {}, x=(1, 4), z=(1, 4))
    with pytest.raises(Refused, match=r"z: float32\[1, 3\] was given for an input float32\[1, 4\]"):
        fold(data, constants={"z": np.zeros((1, 3), dtype=np.float32)})


def test_refuses_operators_that_no_exact_model_can_hold() -> None:
    data = model([node("RandomNormalLike", ["x"], ["y"])], {}, x=(1, 4))
    with pytest.raises(Refused, match=r"node 0 \(RandomNormalLike\): the operator RandomNormalLike is not"):
        fold(data)


def test_a_model_that_contradicts_itself_does_not_run() -> None:
    data = model([node("MatMul", ["x", "w"], ["y"])], {"w": weights(3, 2)}, x=(1, 4))
    with pytest.raises(Refused, match="the model does not run"):
        fold(data)


def test_a_bomb_is_refused_and_leaves_the_caller_alone() -> None:
    """64 TB of zeros; the limited process says so."""
    data = model(
        [node("ConstantOfShape", ["shape"], ["zeros"]), node("Add", ["x", "zeros"], ["y"])],
        {"shape": np.array([1 << 22, 1 << 22])},
        x=(1, 1),
    )
    with pytest.raises(Refused, match="the model does not run"):
        fold(data)
