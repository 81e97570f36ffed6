"""What follows the scores is cut, and remembered."""

import numpy as np
import pytest
from onnx import NodeProto, TensorProto

from inference.converter.program import Head
from tests.inference.converter.checks import ROWS, ensure, kind, sample
from tests.inference.converter.floats import model, node, program_of, weights
from tests.inference.converter.oracle import evaluate

HEADS: dict[str, tuple[list[NodeProto], Head, int | None]] = {
    "softmax": ([node("Softmax", ["s"], ["y"])], Head.SOFTMAX, None),
    "log": ([node("LogSoftmax", ["s"], ["y"])], Head.SOFTMAX, None),
    "sigmoid": ([node("Sigmoid", ["s"], ["y"])], Head.SIGMOID, None),
    "class": ([node("ArgMax", ["s"], ["a"], axis=-1), node("Cast", ["a"], ["y"], to=6)], Head.NONE, 1),
    "class of probabilities": (
        [node("Softmax", ["s"], ["p"]), node("ArgMax", ["p"], ["y"], axis=1, keepdims=0)],
        Head.SOFTMAX,
        1,
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_end_of_a_model_is_cut(name: str) -> None:
    nodes, head, axis = HEADS[name]
    data = model([node("MatMul", ["x", "w"], ["s"]), *nodes], {"w": weights(6, 3)}, x=ROWS)
    program = ensure(data, ["Matrix"])
    (sink,) = program.sinks
    assert (sink.name, sink.step, sink.head, sink.class_axis) == ("y", "s", head, axis)
    assert sink.head_axis == (1 if head is Head.SOFTMAX else None)


def test_outputs_that_lead_to_the_same_scores_are_one() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["s"]),
        node("Softmax", ["s"], ["p"]),
        node("ArgMax", ["p"], ["c"], axis=1),
    ]
    (sink,) = ensure(model(nodes, {"w": weights(6, 3)}, ("c", "p", "s"), x=ROWS), ["Matrix"]).sinks
    assert (sink.name, sink.step, sink.head, sink.class_axis) == ("p", "s", Head.SOFTMAX, 1)


def test_several_outputs() -> None:
    nodes = [node("MatMul", ["x", "w"], ["s"]), node("Relu", ["s"], ["r"]), node("MatMul", ["r", "v"], ["t"])]
    data = model(nodes, {"w": weights(6, 3), "v": weights(3, 2)}, ("r", "t"), x=ROWS)
    program = ensure(data, ["Matrix", "Relu", "Matrix"])
    assert [sink.step for sink in program.sinks] == ["r", "t"]


def test_one_score_for_two_classes_gets_a_zero_beside_it() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("Add", ["m", "b"], ["s"]),
        node("Sigmoid", ["s"], ["p"]),
        node("Sub", ["one", "p"], ["q"]),
        node("Concat", ["q", "p"], ["y"], axis=1),
        node("ArgMax", ["y"], ["c"], axis=1),
    ]
    constants = {"w": weights(6, 1), "b": [0.5], "one": 1.0}
    program = ensure(model(nodes, constants, ("c", "y"), x=ROWS), ["Matrix"])
    (sink,) = program.sinks
    assert (sink.name, sink.head, sink.class_axis) == ("y", Head.SOFTMAX, 1)
    scores = evaluate(program, sample(program))[sink.step]
    assert scores.shape == (1, 2)
    assert scores[0, 0] == 0


@pytest.mark.parametrize("guarded", [False, True])
def test_shares_of_classes_are_cut(guarded: bool) -> None:
    """As of one classifier for each class; the sum is guarded against zero by some."""
    nodes = [
        node("MatMul", ["x", "w"], ["s"]),
        node("Sigmoid", ["s"], ["p"]),
        node("ReduceSum", ["p", "axis"], ["sum"], keepdims=1),
        node("Cast", ["sum"], ["some"], to=TensorProto.BOOL),
        node("Not", ["some"], ["none"]),
        node("Cast", ["none"], ["guard"], to=TensorProto.FLOAT),
        node("Add", ["sum", "guard"], ["safe"]),
        node("Div", ["p", "safe" if guarded else "sum"], ["y"]),
    ]
    program = program_of(model(nodes, {"w": weights(6, 3), "axis": np.array([1])}, x=ROWS))
    assert [kind(step) for step in program.steps] == ["Matrix"]
    assert program.sinks[0].axis((1, 3)) == 1


def test_a_quotient_of_two_scores_is_no_share() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["s"]),
        node("MatMul", ["x", "v"], ["t"]),
        node("Div", ["s", "t"], ["y"]),
    ]
    ensure(model(nodes, {"w": weights(6, 3), "v": weights(6, 1)}, x=ROWS), ["Matrix", "Matrix", "divide"])
