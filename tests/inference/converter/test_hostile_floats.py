"""Float models made to hurt, as somebody may have downloaded them: the converter refuses each with a reason,
and reads no other file. What passes the gate is folded by a limited process.
"""

from collections.abc import Callable

import onnx
import pytest
from onnx import TensorProto, helper

from inference.converter.understanding import understand
from inference.engines.interface import EngineError
from inference.refusal import Refused

SHAPE = [1, 2, 4, 4]
X = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)


def model(*nodes: onnx.NodeProto, **constants: tuple[list[int], list[float]]) -> onnx.ModelProto:
    """float x[1,2,4,4] through the nodes to y; whole constants are int64, the others float."""
    tensors = [
        helper.make_tensor(
            name,
            TensorProto.INT64 if all(type(value) is int for value in values) else TensorProto.FLOAT,
            shape,
            values,
        )
        for name, (shape, values) in constants.items()
    ]
    graph = helper.make_graph(list(nodes), "g", [X], [Y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def external(location: str) -> onnx.ModelProto:
    bad = model(helper.make_node("Add", ["x", "w"], ["y"]), w=([4], [1.0] * 4))
    tensor = bad.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return bad


def grouped(group: int) -> onnx.ModelProto:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=group, kernel_shape=[1, 1])
    return model(node, w=([2, 2, 1, 1], [1.0] * 4))


def chain() -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", [f"t{at}"], [f"t{at + 1}"]) for at in range(20_000)]
    nodes[0].input[0], nodes[-1].output[0] = "x", "y"
    return model(*nodes)


def loop() -> onnx.ModelProto:
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["on"])], "body", [], [])
    return model(helper.make_node("Loop", ["n", ""], ["y"], body=body), n=([], [2**62]))


def filled() -> onnx.ModelProto:
    """2^40 elements out of nothing."""
    return model(
        helper.make_node("ConstantOfShape", ["s"], ["b"]),
        helper.make_node("Add", ["x", "b"], ["y"]),
        s=([2], [2**20, 2**20]),
    )


def repeated() -> onnx.ModelProto:
    return model(helper.make_node("Tile", ["x", "n"], ["y"]), n=([4], [2**10] * 4))


def expanded() -> onnx.ModelProto:
    return model(helper.make_node("Expand", ["x", "n"], ["y"]), n=([5], [2**31, 1, 1, 1, 1]))


def huge() -> onnx.ModelProto:
    bad = model(helper.make_node("Relu", ["x"], ["y"]))
    bad.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**62
    return bad


HOSTILE: list[Callable[[], onnx.ModelProto]] = [
    lambda: external("/etc/passwd"),
    lambda: external("../secret"),
    lambda: grouped(0),
    *(chain, loop, filled, repeated, expanded, huge),
]


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_float_model_is_refused_with_a_reason(make: Callable[[], onnx.ModelProto]) -> None:
    with pytest.raises((Refused, EngineError)) as raised:
        understand(make().SerializeToString(), {})
    assert str(raised.value)


@pytest.mark.parametrize("size", [0, 1, 10, 40, 80])
def test_a_float_model_cut_short_is_refused(size: int) -> None:
    with pytest.raises(Refused):
        understand(grouped(1).SerializeToString()[:size], {})
