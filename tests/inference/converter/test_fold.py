"""Folding leaves only what depends on the inputs, and says how to bind what is open."""

import platform
import sys
from dataclasses import replace

import numpy as np
import pytest

from inference.converter.fold import PROCESS, FoldRequest, Unfolded, ask, fold
from inference.engines import folding
from inference.engines.interface import EngineError, to_array
from inference.process import WorkerSettings
from inference.refusal import Refused
from inference.seccomp import MACHINES
from inference.supervisor import Supervisor
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


def test_computes_constants_that_the_optimiser_has_no_kernel_for() -> None:
    """Before operator set 16 it knows GreaterOrEqual as a function of other operators only."""
    nodes = [
        node("GreaterOrEqual", ["places", "two"], ["late"]),
        node("Or", ["late", "first"], ["kept"]),
        node("Where", ["kept", "x", "low"], ["y"]),
    ]
    first = np.array([True, False, False, False])
    constants = {"places": np.arange(4), "two": np.int64(2), "low": -1.0, "first": first}
    folded = fold(model(nodes, constants, version=14, x=(1, 4)))
    assert [each.operator for each in folded.graph.nodes] == ["Where"]
    assert to_array(folded.graph.constants["kept"]).tolist() == [1, 0, 1, 1]


def test_a_model_that_depends_on_nothing_stays_one() -> None:
    nodes = [node("GreaterOrEqual", ["places", "two"], ["y"])]
    data = model(nodes, {"places": np.arange(4), "two": np.int64(2)}, version=14, x=(1, 4))
    assert [each.operator for each in fold(data).graph.nodes] == ["GreaterOrEqual"]


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


BAD_FOLDING = replace(PROCESS, module="tests.inference.converter.bad_folding")


def asked(misdeed: str) -> FoldRequest:
    return FoldRequest(model=misdeed.encode(), shapes=(), constants=())


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES, reason="needs a filter of system calls"
)
@pytest.mark.parametrize("misdeed", ["read_file", "write_file", "connect", "execute", "kill_parent"])
def test_who_takes_over_the_optimiser_can_touch_nothing(misdeed: str) -> None:
    assert ask(asked(misdeed), BAD_FOLDING)[0] == Unfolded(reason="PermissionError")


def test_an_answer_without_end_is_cut_off() -> None:
    with pytest.raises(EngineError, match="makes no sense"):
        ask(asked("talk_without_end"), BAD_FOLDING)


def test_the_process_that_folds_is_sealed_as_a_worker_is() -> None:
    data = model([node("Relu", ["x"], ["y"])], {}, x=(1, 3))
    with Supervisor(WorkerSettings()) as supervisor:
        assert fold(data).unprotected == supervisor.protections().missing()


def test_a_process_that_ends_early_is_an_error_of_this_machine() -> None:
    with pytest.raises(EngineError, match="folding: the worker ended with"):
        ask(asked("read_file"), replace(PROCESS, memory_bytes=16 << 20))


def test_nodes_keep_the_order_of_the_file() -> None:
    chains = [node("Relu", [f"x{at}"], [f"x{at + 1}"]) for at in range(6)]
    sides = [node("Neg", [f"x{at + 1}"], [f"n{at}"]) for at in range(6)]
    mixed = [each for pair in zip(chains, sides, strict=True) for each in pair]
    names = [each.output[0] for each in mixed]
    folded = fold(model(mixed, {}, outputs=[*names[1::2], "x6"], x0=(1, 3)))
    assert [each.outputs[0] for each in folded.graph.nodes] == names


def test_a_folded_model_that_is_too_large_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "MODEL_BYTES_MAX", 100)
    assert folding.answer(folding._PROBE) == Unfolded(reason="folded, it has 106 bytes, more than 100")
