"""What a node costs follows how its elements lie: awkward ones pay for every piece, plain ones for one."""

import numpy as np
import pytest

from benchmarks import gas_sketch
from benchmarks.gas_hostile import CASES
from benchmarks.gas_sketch import Case, conv, ints, matmul, number, one, perms, pool, resize, shaped, table
from inference.certificate import GAS_PER_COMPARISON, GAS_PER_MAC, GAS_PER_NODE
from inference.operators import costs
from inference.prover import examine, prove

WRITTEN = 4 * costs.WRITTEN_BYTE
"""A float32."""


def handled(case: Case, operator: str) -> int:
    """What the first such node costs besides being one, its arithmetic and what it writes."""
    node = next(each for each in examine(case.models()[1])[1] if each.node.operator == operator)
    written = costs.WRITTEN_BYTE * sum(value.bytes for value in node.values)
    return node.gas - GAS_PER_NODE - GAS_PER_MAC * node.macs - written


HANDLED = {
    "Transpose": (Case((6, 4), perms((1, 0))), 24 * costs.TURNED),
    "Transpose of int64": (Case((6, 4), perms((1, 0)), "int64"), 24 * 2 * costs.TURNED),
    "Transpose in runs": (Case((6, 4, 5), perms((1, 0, 2))), 24 * costs.TURNED),
    "Transpose of nothing": (Case((1, 6, 1, 4), perms((0, 1, 3, 2))), costs.TURNED),
    "Transpose of 4 dimensions": (Case((2, 2, 2, 2), perms((3, 2, 1, 0))), 16 * (220 + costs.TURNED_RANK)),
    "Slice of rows": (Case((6, 4), one("Slice", 2, ints(1), ints(3), ints(0))), costs.PIECE),
    "Slice of columns": (Case((6, 4), one("Slice", 2, ints(1), ints(3), ints(1))), 6 * costs.PIECE),
    "Slice with a step": (
        Case((6,), one("Slice", 1, ints(0), ints(6), ints(0), ints(2))),
        costs.PIECE + 3 * costs.STRIDED,
    ),
    "Gather of columns": (Case((6, 4), one("Gather", 2, ints(3, 1), axis=1)), 12 * costs.PIECE),
    "Gather of rows": (Case((6, 4), one("Gather", 2, ints(3, 1), axis=0)), 2 * costs.PIECE),
    "Gather from a table": (table(128, 1, 5), 5 * costs.LOOKUP),
    "Gather from a large table": (table(1 << 18, 1, 5), 5 * (costs.LOOKUP + 2 * costs.LOOKUP_BEYOND)),
    "GatherElements": (gas_sketch.elements(128, 5), 5 * costs.ELEMENT_LOOKUP),
    "Concat": (Case((6, 1), gas_sketch.concat(3, 1, 2)), 18 * costs.JOINED),
    "Split": (Case((6, 3), gas_sketch.split(3, 1, 2)), 18 * costs.JOINED),
    "Pad": (Case((6, 4), one("Pad", 2, ints(0, 0, 0, 1), number(0))), 6 * costs.PIECE),
    "Expand of a column": (Case((6, 1), one("Expand", 2, ints(6, 4))), 6 * costs.SPREAD),
    "Expand of a row": (Case((1, 4), one("Expand", 2, ints(6, 4))), costs.SPREAD),
    "Resize": (Case((1, 1, 2, 2), resize(1, 1, 2, 2)), 16 * costs.REPEATED),
    "Add of a number": (Case((6, 4), one("Add", 2, number(3))), costs.SPAN),
    "Add of a column": (Case((6, 4), one("Add", 2, np.ones((6, 1), np.float32))), 6 * costs.SPAN),
    "Mul at the end": (Case((6, 4, 1), one("Mul", 3, np.full((4, 1), 3, np.float32))), 6 * costs.SPAN),
    "Max of int64": (Case((6, 4), one("Max", 2, number(3, "int64")), "int64"), costs.SPAN + 24 * costs.WIDE),
    "Clip": (Case((6, 4), one("Clip", 2, number(0), number(3))), 0),
    "Clip of int64": (
        Case((6, 4), one("Clip", 2, number(0, "int64"), number(3, "int64")), "int64"),
        24 * costs.WIDE,
    ),
    "Div": (
        Case((6, 4), gas_sketch.divided, prepare=gas_sketch.positive),
        costs.SPAN + 24 * costs.DIVIDED,
    ),
    "Reshape": (Case((6, 4), shaped((4, 6))), 24 * (costs.PASSED_ON - WRITTEN)),
    "MatMul": (matmul(4, 4, 5, 7), 28 * costs.ROW + 7 * (costs.CALL + (4 * 4 + 4 * 16) * costs.OPERAND)),
    "MatMul with weights": (
        Case((6, 4), one("MatMul", 2, np.ones((4, 3), np.float32))),
        6 * costs.ROW + 12 * costs.WEIGHT,
    ),
    "MatMul with a matrix of three dimensions": (
        Case((2, 3, 4), one("MatMul", 3, np.ones((1, 4, 3), np.float32))),
        6 * costs.ROW + 12 * costs.WEIGHT,
    ),
    "MatMul with many matrices": (
        Case((2, 3, 4), one("MatMul", 3, np.ones((2, 4, 3), np.float32))),
        6 * costs.ROW + 2 * (costs.CALL + (12 + 4 * 16) * costs.OPERAND),
    ),
    "Gemm": (
        Case((6, 4), one("Gemm", 2, np.ones((4, 3), np.float32))),
        6 * costs.ROW + 12 * costs.WEIGHT,
    ),
    "Conv": (
        Case((2, 3, 5, 5), conv(3, 6, (3, 3), group=3)),
        2 * (costs.IMAGE + 3 * costs.GROUP + 9 * costs.POSITION)
        + 2 * 9 * 27 * costs.TAP
        + 2 * 6 * 9 * costs.CONVOLVED,
    ),
    "ConvTranspose": (
        Case((1, 2, 4, 4), conv(2, 6, (2, 2), group=2, transposed=True)),
        costs.IMAGE
        + 2 * costs.GROUP
        + 16 * costs.POSITION
        + 32 * 3 * 4 * costs.TAP
        + 6 * 25 * costs.CONVOLVED,
    ),
    "MaxPool": (
        Case((1, 2, 5, 5), pool((3, 3))),
        2 * costs.PLANE + 18 * costs.POOLED + 162 * costs.POOLED_TAP,
    ),
    "MaxPool of bytes": (
        Case((1, 2, 5, 5), pool((3, 3)), "int8"),
        2 * costs.PLANE + 18 * costs.POOLED + 162 * costs.SLOW_TAP,
    ),
    "MaxPool, dilated": (
        Case((1, 1, 5, 5), pool((3, 3), dilations=(2, 2))),
        costs.PLANE + costs.POOLED + 9 * costs.SLOW_TAP,
    ),
    "ReduceSum of rows": (
        Case((6, 4), one("ReduceSum", 1, ints(1), keepdims=0)),
        24 * costs.REDUCED + 6 * costs.REDUCED_RUN,
    ),
    "ReduceSum of columns": (
        Case((6, 4), one("ReduceSum", 1, ints(0), keepdims=0)),
        24 * costs.REDUCED_APART + 4 * costs.REDUCED_TO,
    ),
    "ReduceMax of int64": (
        Case((6, 4), one("ReduceMax", 1, axes=(1,), keepdims=0), "int64"),
        24 * costs.REDUCED_WIDE + 6 * costs.REDUCED_RUN,
    ),
    "ArgMax": (gas_sketch.ranked("ArgMax", (6, 4), axis=1), 24 * costs.RANKED),
    "TopK": (gas_sketch.ranked("TopK", (6, 4), ints(2), count=2), 24 * costs.RANKED * 4),
}
"""A node, and what it costs besides its arithmetic and what it writes."""


@pytest.mark.parametrize("name", HANDLED)
def test_a_node_pays_for_its_pieces(name: str) -> None:
    case, expected = HANDLED[name]
    assert handled(case, name.split(maxsplit=1)[0].rstrip(",")) == expected


@pytest.mark.parametrize(("features", "beyond"), [(8, 0), (1024, 6)])
def test_a_comparison_pays_for_features_that_lie_far_apart(features: int, beyond: int) -> None:
    """4 MiB of rows, and in rows of 4 KiB no two looks share a line of the cache."""
    case = gas_sketch.trees(1, 2, features, (1 << 20) // features)
    each = GAS_PER_COMPARISON + min(4, beyond) * costs.LOOKUP_BEYOND
    assert handled(case, "TreeEnsembleRegressor") == 3 * (1 << 20) // features * each


def test_every_hostile_graph_is_proved() -> None:
    """Those whose constants are small: the others only take longer."""
    for name, make in CASES.items():
        data = make().models()[1]
        if len(data) < 100_000:
            assert prove(data).certificate.gas > 0, name
