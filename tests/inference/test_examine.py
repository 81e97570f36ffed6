"""What the proof tells of each node, and of nodes that compute nothing."""

import pytest

from inference.bounds import Cell
from inference.graph import Port
from inference.prover import examine
from inference.refusal import Refused
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node, two_layers


def test_findings_follow_the_nodes_and_add_up() -> None:
    proof, findings = examine(two_layers())
    assert [finding.node.operator for finding in findings] == [
        *("Cast", "Gemm", "Clip", "Round", "MatMul", "Add", "Cast", "ArgMax")
    ]
    assert sum(finding.macs for finding in findings) == proof.certificate.macs
    assert sum(finding.elements for finding in findings) == proof.certificate.elements
    rounded = findings[3]
    assert rounded.entering.bounds.whole().step == -2
    assert rounded.values[0].bounds.whole() == Cell(0, 0, 255)


def test_a_node_of_constants_alone_is_refused() -> None:
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Round", "c", "whole"),
        node("Add", "real whole", "sum"),
        node("Cast", "sum", "y", to=TO_INT32),
    ]
    shape = (1, 3)
    model = file(
        nodes, [Port("x", "int8", shape)], [Port("y", "int32", shape)], {"c": floats((3,), (1, 2, 3))}
    )
    with pytest.raises(Refused, match="all inputs are constants"):
        examine(model)
