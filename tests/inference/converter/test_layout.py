"""Movements that move nothing are left out, and no bit changes."""

from typing import Any

import numpy as np
import pytest

from inference.canonical import write
from inference.converter.layout import laid_out
from inference.engines.interface import LoadedModel, from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.graph import Graph, Node, Port
from inference.prover import examine
from inference.schema import ELEMENT_CODES

SHAPE = (1, 6, 4)


class _Graph:
    """A graph of one input, which is cast to float32, as it grows."""

    def __init__(self, shape: tuple[int, ...] = SHAPE) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Any] = {}
        self.shape = shape
        self.x = self.add("Cast", "x", to=ELEMENT_CODES["float32"])

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(len(self.nodes), operator, inputs, (name,), attributes))
        return name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = from_array(np.array(values, dtype=dtype))
        return name

    def reshaped(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.constant(shape, "int64"))

    def ended(self, x: str, *shape: int) -> Graph:
        out = self.add("Cast", self.add("Round", x), to=ELEMENT_CODES["int32"])
        inputs, outputs = (Port("x", "int8", self.shape),), (Port(out, "int32", shape),)
        return Graph(inputs, outputs, tuple(self.nodes), self.constants, {})


def _laid(graph: Graph) -> Graph:
    """The graph laid out, once both are proved and give the same bits on two engines."""
    _, findings = examine(write(graph))
    shapes = {port.name: port.shape for port in graph.inputs}
    for finding in findings:
        values = zip(finding.node.outputs, finding.values, strict=True)
        shapes |= {name: value.shape for name, value in values}
    laid = laid_out(graph, shapes)
    proofs = [examine(write(each))[0] for each in (graph, laid)]
    rows = np.random.default_rng(5).integers(-128, 128, graph.inputs[0].shape, dtype=np.int8)
    for engine in (OnnxRuntimeEngine(threads=1), NumpyEngine()):
        models: list[LoadedModel] = [engine.load(proof.canonical) for proof in proofs]
        first, second = (model.run([from_array(rows)]) for model in models)
        assert first == second
    return laid


def _operators(graph: Graph) -> list[str]:
    """Without the Cast at either end, and the Round before the last."""
    return [node.operator for node in graph.nodes[1:-1] if node.operator != "Round"]


def test_shapes_between_elementwise_nodes_go() -> None:
    graph = _Graph()
    at = graph.reshaped(graph.x, 6, 4)
    at = graph.add("Clip", at, graph.constant(-50.0), graph.constant(60.0))
    at = graph.reshaped(at, 24)
    at = graph.add("Mul", at, graph.constant([0.5]))
    at = graph.reshaped(at, *SHAPE)
    assert _operators(_laid(graph.ended(at, *SHAPE))) == ["Clip", "Mul"]


def test_a_product_with_a_matrix_takes_two_dimensions() -> None:
    graph = _Graph()
    at = graph.add("MatMul", graph.x, graph.constant(np.arange(12).reshape(4, 3)))
    at = graph.add("Add", at, graph.constant([[[1, -2, 3]]]))
    laid = _laid(graph.ended(at, 1, 6, 3))
    assert _operators(laid) == ["Reshape", "MatMul", "Add", "Reshape"]
    assert laid.constants[laid.nodes[3].inputs[1]].shape == (3,)


def test_a_transpose_of_dimensions_of_one_goes() -> None:
    graph = _Graph()
    at = graph.add("Transpose", graph.x, perm=(1, 0, 2))
    at = graph.add("Relu", at)
    assert _operators(_laid(graph.ended(at, 6, 1, 4))) == ["Relu", "Reshape"]


def test_a_transpose_that_moves_stays() -> None:
    graph = _Graph()
    at = graph.add("Relu", graph.add("Transpose", graph.x, perm=(0, 2, 1)))
    assert _operators(_laid(graph.ended(at, 1, 4, 6))) == ["Transpose", "Relu"]


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMax"])
def test_what_is_done_by_rows_needs_no_shape(operator: str) -> None:
    graph = _Graph()
    at = graph.reshaped(graph.x, 6, 4)
    if operator == "ReduceSum":
        row = graph.add(operator, at, graph.constant([1], "int64"), keepdims=1)
    else:
        row = graph.add(operator, at, axes=(1,), keepdims=1)
    rows, row = graph.reshaped(at, *SHAPE), graph.reshaped(row, 1, 6, 1)
    at = graph.add("Sub", row, rows)
    at = graph.add("Add", at, graph.reshaped(graph.x, 1, 6, 4))
    at = graph.add("Add", at, graph.constant(np.arange(24).reshape(6, 4)))
    assert _operators(_laid(graph.ended(at, *SHAPE))) == [operator, "Sub", "Add", "Add"]


def test_rows_of_another_shape_are_cut_out_first() -> None:
    graph = _Graph()
    at = graph.reshaped(graph.x, 1, 4, 6)
    sums = graph.add("ReduceSum", at, graph.constant([2], "int64"), keepdims=1)
    at = graph.add("Sub", graph.add("Mul", at, graph.constant(range(6))), sums)
    assert _operators(_laid(graph.ended(at, 1, 4, 6))) == ["Reshape", "ReduceSum", "Mul", "Sub", "Reshape"]


def test_what_grows_by_its_other_operand_stays() -> None:
    graph = _Graph((1, 1, 4))
    at = graph.add("Add", graph.reshaped(graph.x, 1, 4), graph.constant(np.ones((3, 1))))
    assert _operators(_laid(graph.ended(at, 3, 4))) == ["Reshape", "Add"]


def test_factors_of_a_product_keep_the_number_before_them() -> None:
    graph = _Graph((1, 4, 4))
    left = graph.add("Mul", graph.reshaped(graph.x, 4, 4), graph.constant(0.25))
    at = graph.add("MatMul", left, graph.reshaped(graph.x, 4, 4))
    assert _operators(_laid(graph.ended(at, 4, 4))) == ["Reshape", "Mul", "MatMul"]


def test_names_are_new() -> None:
    graph = _Graph((1, 4, 4))
    graph.nodes[-1] = Node(0, "Cast", ("x",), ("layout.1",), {"to": ELEMENT_CODES["float32"]})
    graph.constants["layout.2"] = from_array(np.array(2, dtype="float32"))
    at = graph.add("MatMul", graph.reshaped("layout.1", 4, 4), graph.reshaped("layout.1", 4, 4))
    at = graph.add("Mul", at, "layout.2")
    laid = _laid(graph.ended(at, 4, 4))
    names = [*laid.constants, *(name for node in laid.nodes for name in node.outputs), "x"]
    assert len(names) == len(set(names))


def test_a_number_beside_a_row_stays() -> None:
    graph = _Graph((4,))
    greatest = graph.add("ReduceMax", graph.x, axes=(0,), keepdims=0)
    at = graph.add("Sub", graph.x, greatest)
    assert _operators(_laid(graph.ended(at, 4))) == ["ReduceMax", "Sub"]


def test_what_grows_along_rows_by_a_constant_stays() -> None:
    """As many numbers as there are, but for the columns."""
    graph = _Graph((1, 4, 1))
    at = graph.add("Add", graph.reshaped(graph.x, 4, 1), graph.constant(np.arange(4)))
    assert _operators(_laid(graph.ended(at, 4, 4))) == ["Reshape", "Add"]


def test_rows_that_are_gone_are_not_kept() -> None:
    graph = _Graph()
    at = graph.add("ReduceMax", graph.reshaped(graph.x, 6, 4), axes=(1,), keepdims=0)
    assert _operators(_laid(graph.ended(graph.add("Relu", at), 6))) == ["Reshape", "ReduceMax", "Relu"]


def test_rows_in_two_shapes_meet_in_one() -> None:
    """The product has the rows [6], the largest of each the rows [1, 6]."""
    graph = _Graph()
    sums = graph.add("MatMul", graph.x, graph.constant(np.ones((4, 1))))
    at = graph.add("Sub", graph.x, sums)
    assert _operators(_laid(graph.ended(at, *SHAPE))) == ["Reshape", "MatMul", "Sub", "Reshape"]


def test_a_row_for_all_is_no_number_for_each() -> None:
    graph = _Graph((3, 1, 4))
    greatest = graph.add("ReduceMax", graph.x, axes=(0,), keepdims=1)
    at = graph.add("Sub", graph.reshaped(greatest, 1, 4), graph.reshaped(graph.x, 3, 4))
    assert _operators(_laid(graph.ended(at, 3, 4))) == ["ReduceMax", "Reshape", "Reshape", "Sub"]


def test_a_short_transpose_that_moves_stays() -> None:
    graph = _Graph((1, 2, 3))
    at = graph.add("Relu", graph.add("Transpose", graph.x, perm=(0, 2, 1)))
    assert _operators(_laid(graph.ended(at, 1, 3, 2))) == ["Transpose", "Relu"]


def test_tensors_of_one_shape_meet_by_rows() -> None:
    graph = _Graph()
    at = graph.add("Sub", graph.x, graph.add("MatMul", graph.x, graph.constant(np.eye(4))))
    assert _operators(_laid(graph.ended(at, *SHAPE))) == ["Reshape", "MatMul", "Sub", "Reshape"]


def test_constants_take_the_shape_of_what_they_meet() -> None:
    """All numbers, one for each column, or one for each row, which stays; on either side."""
    graph = _Graph()
    at = graph.add("Sub", graph.constant(np.arange(24)), graph.reshaped(graph.x, 24))
    at = graph.add("Sub", graph.constant([[1, 2, 3, 4]]), graph.reshaped(at, *SHAPE))
    at = graph.add("Add", graph.reshaped(at, 6, 4), graph.constant(np.arange(6)[:, None]))
    assert _operators(_laid(graph.ended(at, 6, 4))) == ["Sub", "Sub", "Reshape", "Add"]


def test_a_factor_before_weights_is_any_other() -> None:
    graph = _Graph((1, 4, 4))
    at = graph.add("Mul", graph.reshaped(graph.x, 4, 4), graph.constant(0.25))
    at = graph.add("MatMul", at, graph.constant(np.eye(4)))
    assert _operators(_laid(graph.ended(at, 4, 4))) == ["Mul", "Reshape", "MatMul"]


def test_a_product_with_several_matrices_stays() -> None:
    graph = _Graph((2, 3, 4))
    at = graph.add("MatMul", graph.x, graph.constant(np.arange(40).reshape(2, 4, 5)))
    assert _operators(_laid(graph.ended(at, 2, 3, 5))) == ["MatMul"]
