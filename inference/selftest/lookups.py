"""Choices: tables, decision trees, classes, and two outputs that must not change places."""

from collections.abc import Iterator
from typing import Final

from inference.graph import LEARNERS, AttributeValue, Port
from inference.selftest.vector import TO_FLOAT, TO_INT32, Tensors, Vector, file, floats, node
from inference.tensor import from_integers

_THRESHOLDS: Final = (10, -3)
_LEAVES: Final = (5, -700_000, 2**23)


def vectors() -> Iterator[Vector]:
    yield _table()
    yield _trees()
    yield _classes()


def _table() -> Vector:
    """Rows of a table, counted from its start or, below zero, from its end."""
    rows = [2**24 - 1 - row for row in range(5)]
    nodes = [
        node("Clip", "x low high", "limited"),
        node("Cast", "limited", "index", to=TO_INT32),
        node("GatherElements", "table index", "found", axis=0),
        node("Cast", "found", "y", to=TO_INT32),
    ]
    constants = {
        "low": from_integers("int8", (), [-2]),
        "high": from_integers("int8", (), [2]),
        "table": floats((5,), rows),
    }
    model = file(nodes, [Port("x", "int8", (8,))], [Port("y", "int32", (8,))], constants)
    cases: list[tuple[Tensors, Tensors]] = []
    for x in ((0, 1, 2, 3, -1, -2, -3, 0), (127, 0, -128, -1, 2, 1, 0, -2)):
        y = [rows[min(max(each, -2), 2)] for each in x]
        cases.append(((from_integers("int8", (8,), x),), (from_integers("int32", (8,), y),)))
    return Vector("tables", model, tuple(cases))


def _trees() -> Vector:
    """x[0] <= 10 gives 5, else x[1] <= -3 gives -700,000, else 2^23; and a second tree adds 1 below."""
    ensemble: dict[str, AttributeValue] = {
        "aggregate_function": b"SUM",
        "n_targets": 1,
        "nodes_falsenodeids": (2, 0, 4, 0, 0, 2, 0, 0),
        "nodes_featureids": (0, 0, 1, 0, 0, 1, 0, 0),
        "nodes_modes": tuple(
            b"LEAF" if kind == "l" else b"BRANCH_LEQ" for kind in ("b", "l", "b", "l", "l", "b", "l", "l")
        ),
        "nodes_nodeids": (0, 1, 2, 3, 4, 0, 1, 2),
        "nodes_treeids": (0, 0, 0, 0, 0, 1, 1, 1),
        "nodes_truenodeids": (1, 0, 3, 0, 0, 1, 0, 0),
        "nodes_values": (10.0, 0.0, -3.0, 0.0, 0.0, 10.0, 0.0, 0.0),
        "post_transform": b"NONE",
        "target_ids": (0,) * 5,
        "target_nodeids": (1, 3, 4, 1, 2),
        "target_treeids": (0, 0, 0, 1, 1),
        "target_weights": tuple(float(leaf) for leaf in (*_LEAVES, 1, -1)),
    }
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("TreeEnsembleRegressor", "real", "leaves", LEARNERS, **ensemble),
        node("Cast", "leaves", "y", to=TO_INT32),
    ]
    model = file(nodes, [Port("x", "int8", (1, 2))], [Port("y", "int32", (1, 1))], {})
    cases: list[tuple[Tensors, Tensors]] = []
    for x in ((10, 0), (11, -3), (11, -2), (-128, 127), (127, 10), (127, 11)):
        leaf = _LEAVES[0] if x[0] <= _THRESHOLDS[0] else _LEAVES[1 if x[1] <= _THRESHOLDS[1] else 2]
        y = leaf + (1 if x[1] <= _THRESHOLDS[0] else -1)
        cases.append(((from_integers("int8", (1, 2), x),), (from_integers("int32", (1, 1), [y]),)))
    return Vector("decision trees", model, tuple(cases))


def _classes() -> Vector:
    """Scores and the first of the largest."""
    nodes = [
        node("Cast", "x", "scores", to=TO_INT32),
        node("ArgMax", "scores", "class", axis=1, keepdims=0, select_last_index=0),
    ]
    outputs = [Port("scores", "int32", (1, 3)), Port("class", "int64", (1,))]
    model = file(nodes, [Port("x", "int8", (1, 3))], outputs, {})
    cases: list[tuple[Tensors, Tensors]] = []
    for x in ((1, 2, 3), (7, 7, -8), (-5, -4, -4)):
        best = from_integers("int64", (1,), [x.index(max(x))])
        cases.append(((from_integers("int8", (1, 3), x),), (from_integers("int32", (1, 3), x), best)))
    return Vector("classes", model, tuple(cases))
