"""Decision trees: thresholds between integers, and whole leaves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inference.converter.code import Code
from inference.converter.lowering import SUM_MAX, Lowering
from inference.converter.program import Integers, Reals, Trees
from inference.converter.rule import Rule, Want
from inference.graph import AttributeValue

FEATURE_BITS: Final = 25
"""Bits of the features, the sign included: all whole numbers that float32 holds."""

_FRACTION_MAX: Final = 20


def _trees(lowering: Lowering, step: Trees) -> Code:
    x = lowering.whole(step.inputs[0])
    features = x.shape[-1]
    scale, offset = (np.broadcast_to(each.reshape(-1), (features,)) for each in (x.scale, x.offset))
    grid = lowering.grid(step.name)
    unit = float(grid.scale.reshape(-1)[0])
    forest = _Forest(step, _thresholds(step, scale, offset))
    values, base = step.leaf_values / unit, step.base / unit
    fraction = _fraction(step, values, base)
    weights, offsets = np.rint(np.ldexp(values, fraction)), np.rint(np.ldexp(base, fraction))
    attributes = forest.attributes(np.ldexp(weights, -fraction))
    attributes["n_targets"] = len(step.base)
    name = lowering.add_from("ai.onnx.ml", "TreeEnsembleRegressor", (x.name,), attributes)
    if offsets.any():
        name = lowering.add("Add", name, lowering.constant(np.ldexp(offsets, -fraction)))
    reach = float(_reach(step, weights, offsets).max()) * 2.0**-fraction
    return lowering.made(name, step, fraction=-fraction, low=-reach, high=reach)


def _thresholds(step: Trees, scale: Reals, offset: Reals) -> Reals:
    """The greatest integer that goes left at each node; a leaf has 0. Within what float32 holds.

    A feature that is just the threshold gets the integer nearest to it, as an input is encoded.
    """
    nearest = np.rint((step.thresholds - offset[step.features]) / scale[step.features])
    whole = nearest - 1 if step.strict else nearest
    return np.where(step.left < 0, 0.0, np.clip(whole, -SUM_MAX, SUM_MAX))


def _reach(step: Trees, weights: Reals, offsets: Reals) -> Reals:
    """For each output the greatest magnitude of any subset of the base value and one leaf of each tree."""
    trees = _tree_of(step)[step.leaf_nodes]
    above = np.zeros((len(step.roots), len(step.base)))
    below = np.zeros_like(above)
    np.maximum.at(above, (trees, step.leaf_outputs), weights)
    np.minimum.at(below, (trees, step.leaf_outputs), weights)
    high = above.sum(axis=0) + np.maximum(offsets, 0)
    low = below.sum(axis=0) + np.minimum(offsets, 0)
    result: Reals = np.maximum(high, -low)
    return result


def _tree_of(step: Trees) -> Integers:
    """Of each node."""
    trees = np.zeros(len(step.features), dtype=np.int64)
    for number, root in enumerate(step.roots):
        for node in _walk(step, int(root)):
            trees[node] = number
    return trees


def _walk(step: Trees, root: int) -> Iterator[int]:
    """The nodes of a tree, every child after its parent."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if step.left[node] >= 0:
            waiting += [int(step.right[node]), int(step.left[node])]


def _fraction(step: Trees, values: Reals, base: Reals) -> int:
    """How many bits below a unit the leaves may have."""
    reach = float(_reach(step, values, base).max())
    terms = len(step.roots) + 1
    room = np.log2((SUM_MAX - terms) / max(reach, 1e-30))
    return int(np.clip(np.floor(room), -_FRACTION_MAX, _FRACTION_MAX))


@dataclass(slots=True)
class _Forest:
    """The trees as parallel lists, numbered as the prover asks."""

    step: Trees
    thresholds: Reals
    number: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Tree, and place in the tree, of each node."""

    def __post_init__(self) -> None:
        for tree, root in enumerate(self.step.roots):
            for place, node in enumerate(_walk(self.step, int(root))):
                self.number[node] = tree, place

    def _needed(self, weights: Reals) -> list[int]:
        """The weights that change anything; of a leaf that has none the first, for a leaf needs one."""
        found, filled = np.flatnonzero(weights), set(self.step.leaf_nodes[weights != 0].tolist())
        leaves, firsts = np.unique(self.step.leaf_nodes, return_index=True)
        empty = [int(at) for leaf, at in zip(leaves, firsts, strict=True) if int(leaf) not in filled]
        return [*found.tolist(), *empty]

    def attributes(self, weights: Reals) -> dict[str, AttributeValue]:
        step = self.step
        nodes = list(self.number)
        leaf = [step.left[node] < 0 for node in nodes]
        children = [
            tuple(
                0 if is_leaf else self.number[int(side[node])][1]
                for node, is_leaf in zip(nodes, leaf, strict=True)
            )
            for side in (step.left, step.right)
        ]
        order = sorted(
            self._needed(weights),
            key=lambda at: (self.number[int(step.leaf_nodes[at])], int(step.leaf_outputs[at])),
        )
        places = [self.number[int(step.leaf_nodes[at])] for at in order]
        return {
            "nodes_falsenodeids": children[1],
            "nodes_featureids": tuple(int(step.features[node]) for node in nodes),
            "nodes_modes": tuple(b"LEAF" if is_leaf else b"BRANCH_LEQ" for is_leaf in leaf),
            "nodes_nodeids": tuple(self.number[node][1] for node in nodes),
            "nodes_treeids": tuple(self.number[node][0] for node in nodes),
            "nodes_truenodeids": children[0],
            "nodes_values": tuple(float(self.thresholds[node]) for node in nodes),
            "target_ids": tuple(int(step.leaf_outputs[at]) for at in order),
            "target_nodeids": tuple(place for _, place in places),
            "target_treeids": tuple(tree for tree, _ in places),
            "target_weights": tuple(float(weights[at]) for at in order),
        }


TREES: Final = Rule(
    lower=_trees,
    wants=lambda step, index: Want(bits_max=FEATURE_BITS, per_channel=True),
    gives=lambda step: Want(),
)
