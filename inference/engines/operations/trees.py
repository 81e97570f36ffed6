"""Decision trees, walked node by node."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final

import numpy as np

from inference.engines.interface import Array
from inference.engines.operations.operation import Attributes, Operation, integer

_Place = tuple[int, int]
"""A tree, and a node in it."""

_BRANCHES: Final[Mapping[bytes, Callable[[np.float32, np.float32], bool]]] = {
    b"BRANCH_LEQ": le,
    b"BRANCH_LT": lt,
    b"BRANCH_GTE": ge,
    b"BRANCH_GT": gt,
}


def _regressor(inputs: Sequence[Array], attributes: Attributes) -> Array:
    """For each row the base values, and of each tree the weights of the leaf where the row ends."""
    names = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    columns = [_list(attributes, f"nodes_{name}") for name in names]
    nodes = {(tree, own): tuple(rest) for tree, own, *rest in zip(*columns, strict=True)}
    leaves: dict[_Place, list[tuple[int, float]]] = defaultdict(list)
    columns = [_list(attributes, f"target_{name}") for name in ("treeids", "nodeids", "ids", "weights")]
    for tree, own, target, weight in zip(*columns, strict=True):
        leaves[tree, own].append((target, weight))
    sums = np.zeros((inputs[0].shape[0], integer(attributes, "n_targets", 1)), np.float32)
    sums += np.array(_list(attributes, "base_values") or (0,), np.float32)
    for row, features in enumerate(inputs[0]):
        for tree in sorted({tree for tree, _ in nodes}):
            for target, weight in leaves[tree, _leaf(features, tree, nodes)]:
                sums[row, target] += np.float32(weight)
    return sums


def _leaf(features: Array, tree: int, nodes: Mapping[_Place, tuple[Any, ...]]) -> int:
    """The leaf of a tree where a row of features ends; the walk starts at node 0."""
    own = 0
    while True:
        mode, feature, threshold, true, false = nodes[tree, own]
        if mode == b"LEAF":
            return own
        own = true if _BRANCHES[mode](features[feature], np.float32(threshold)) else false


def _list(attributes: Attributes, name: str) -> tuple[Any, ...]:
    value = attributes.get(name, ())
    assert isinstance(value, tuple)
    return value


OPERATIONS: Final[Mapping[str, Operation]] = {"TreeEnsembleRegressor": _regressor}
