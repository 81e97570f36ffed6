"""Tables: indices that are proved to be rows, from the start or from the end."""

import pytest

from inference.bounds import Cell
from inference.graph import Node, Port
from inference.prover import prove
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers
from tests.inference.build import file, floats
from tests.inference.proved import along, known, reason


def test_a_table_is_looked_up_at_the_indices_that_can_occur() -> None:
    limits = [from_integers("int64", (), [limit]) for limit in (3, 5)]
    nodes = [
        Node(0, "Cast", ("x",), ("wide",), {"to": ELEMENT_CODES["int64"]}),
        Node(1, "Clip", ("wide", "low", "high"), ("limited",), {}),
        Node(2, "Gather", ("table", "limited"), ("row",), {}),
        Node(3, "Round", ("row",), ("whole",), {}),
        Node(4, "Cast", ("whole",), ("y",), {"to": ELEMENT_CODES["int32"]}),
    ]

    def looked_up(table: Tensor, shape: tuple[int, ...]) -> bytes:
        constants = {"low": limits[0], "high": limits[1], "table": table}
        return file(nodes, [Port("x", "int8", (7,))], [Port("y", "int32", shape)], constants)

    table = floats((6, 2), [9, 900, 9, 900, 9, 900, 1, -0.5, 2, 0, 3, 0.25])
    proof = prove(looked_up(table, (7, 2)))
    assert known(looked_up(table, (7, 2)))["row"] == along(1, Cell(0, 1, 3), Cell(-2, -2, 1))
    assert proof.certificate.gas - prove(looked_up(floats((6,), [1] * 6), (7,))).certificate.gas > 0
    assert "indices from 3 to 5 leave a table of 5 rows" in reason(
        looked_up(floats((5, 2), [0] * 10), (7, 2))
    )


@pytest.mark.parametrize(
    ("operator", "low", "high", "rows"),
    [
        ("Gather", -6, 5, Cell(0, 1, 32)),
        ("GatherElements", -6, 5, Cell(0, 1, 32)),
        ("GatherElements", -2, 1, Cell(0, 1, 32)),
        ("GatherElements", -6, -5, Cell(0, 1, 2)),
        ("GatherElements", 2, 3, Cell(2, 1, 2)),
        ("GatherElements", -1, -1, Cell(5, 1, 1)),
    ],
)
def test_an_index_below_zero_counts_from_the_end_of_a_table(
    operator: str, low: int, high: int, rows: Cell
) -> None:
    nodes = [
        Node(0, "Clip", ("x", "low", "high"), ("limited",), {}),
        Node(1, operator, ("table", "limited"), ("row",), {"axis": 0}),
        Node(2, "Cast", ("row",), ("y",), {"to": ELEMENT_CODES["int32"]}),
    ]

    def looked_up(count: int) -> bytes:
        limits = {"low": from_integers("int32", (), [low]), "high": from_integers("int32", (), [high])}
        table = floats((count,), [2**row for row in range(count)])
        ports = [Port("x", "int32", (7,))], [Port("y", "int32", (7,))]
        return file(nodes, *ports, {**limits, "table": table})

    (found,) = known(looked_up(6))["row"].cells
    assert found == rows
    size = max(-low, high + 1) - 1
    if size:
        assert f"indices from {low} to {high} leave a table of {size} rows" in reason(looked_up(size))
