"""TreeEnsembleRegressor of ai.onnx.ml: sums of leaves of decision trees, exact in any order of the trees.

A comparison of a number that float32 holds with a constant is exact on every engine, so each tree ends in one
leaf. Its leaves are multiples of a step, and the least and greatest of each tree, summed over the trees as
subset hulls, stay below the mantissa: engines that split the trees over threads add in other orders, and get
the same sums.

Only one spelling of a forest is admitted (what may be left out must be; trees and nodes are numbered in
order), because engines disagree on the others: which node is a root, what a leaf without a weight gives.
Source: onnx/onnx `docs/Operators-ml.md`, TreeEnsembleRegressor versions 1 and 3.
"""

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from inference.bounds import Cell, along
from inference.operators.constants import Numbers, decode, ensure_channels
from inference.operators.costs import far
from inference.operators.rule import FLOATS, INTS, REQUIRED, TEXTS, Application, Flow, Rule, Value
from inference.tensor import Tensor

_BRANCHES: Final = frozenset({b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT"})
"""How a node compares a feature with its threshold. Not for equality: engines rewrite chains of those."""

_LEAF: Final = b"LEAF"

_NODE_STEPS: Final = 24
"""Elementary steps that a node of a tree counts as; it takes more than ten bytes of the file."""


@dataclass(frozen=True, slots=True)
class _Forest:
    """The parallel lists of nodes: the nodes of a tree follow one another."""

    trees: Sequence[int]
    features: Sequence[int]
    modes: Sequence[bytes]
    true: Sequence[int]
    false: Sequence[int]

    def spans(self) -> list[range]:
        """Where in the lists the nodes of each tree are."""
        starts = [at for at in range(len(self.trees)) if at == 0 or self.trees[at] != self.trees[at - 1]]
        return [range(*pair) for pair in zip(starts, [*starts[1:], len(self.trees)], strict=True)]


def _regressor(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, "float32")
    if len(x.shape) != 2:
        application.refuse("input 0 must be a matrix of rows of features")
    if application.attributes["aggregate_function"] != b"SUM":
        application.refuse("aggregate_function must be SUM")
    if application.attributes["post_transform"] != b"NONE":
        application.refuse("post_transform must be NONE")
    forest = _read(application, features=x.shape[1])
    targets = application.integer("n_targets")
    if targets < 1:
        application.refuse("n_targets is below 1")
    ensure_channels(targets, application)
    application.work.spend_cells(targets)
    depth = sum(_depth(forest, span, application) for span in forest.spans())
    application.work.comparisons += x.shape[0] * depth
    application.work.handling += far(x) * x.shape[0] * depth
    bounds = application.fitting(along(1, _sums(forest, targets, application)), "float32")
    return (Value("float32", (x.shape[0], targets), bounds),)


def _read(application: Application, features: int) -> _Forest:
    """The lists of nodes, of one length, with trees and nodes numbered in order."""
    trees = application.ints("nodes_treeids")
    application.work.spend(_NODE_STEPS * len(trees))
    forest = _Forest(
        trees=trees,
        features=application.ints("nodes_featureids"),
        modes=_texts(application, "nodes_modes"),
        true=application.ints("nodes_truenodeids"),
        false=application.ints("nodes_falsenodeids"),
    )
    ids = application.ints("nodes_nodeids")
    thresholds = _floats(application, "nodes_values")
    lists = (ids, thresholds.steps, forest.features, forest.modes, forest.true, forest.false)
    if any(len(each) != len(trees) for each in lists):
        application.refuse("the lists of nodes differ in length")
    spans = forest.spans()
    numbered = [(tree, at - span.start) for tree, span in enumerate(spans) for at in span]
    if numbered != list(zip(trees, ids, strict=True)):
        application.refuse("trees, and the nodes of each tree, must be numbered from 0 in order")
    for feature, mode in zip(forest.features, forest.modes, strict=True):
        if mode not in _BRANCHES and mode != _LEAF:
            application.refuse(f"the mode {mode[:40]!r} of a node is not allowed")
        if not 0 <= feature < features:
            application.refuse(f"a node looks at feature {feature} of {features}")
    return forest


def _depth(forest: _Forest, span: range, application: Application) -> int:
    """The nodes on the longest path of one tree, which is a tree: every child comes after its only parent."""
    depths = [0] * len(span)
    depths[0] = 1
    for at in span:
        depth = depths[at - span.start]
        if depth == 0:
            application.refuse("a node of a tree has no parent")
        children = (forest.true[at], forest.false[at])
        if forest.modes[at] == _LEAF:
            if children != (0, 0):
                application.refuse("the children of a leaf must be given as 0")
            continue
        for child in children:
            if not at - span.start < child < len(span) or depths[child]:
                application.refuse("a child in a tree must come after its parent, and have no other")
            depths[child] = depth + 1
    return max(depths)


def _sums(forest: _Forest, targets: int, application: Application) -> tuple[Cell, ...]:
    """For each target the base value and one leaf of each tree: engines may add any subset of these first."""
    weights, base = _floats(application, "target_weights"), _floats(application, "base_values")
    if len(base.mantissas) not in (0, targets):
        application.refuse(f"{len(base.mantissas)} base values for {targets} targets")
    places, step = _leaves(forest, len(weights.steps), application), min((*weights.steps, *base.steps))
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for (tree, _, target), value in zip(places, _counted(weights, step), strict=True):
        if not 0 <= target < targets:
            application.refuse(f"a leaf has a weight for target {target} of {targets}")
        found[tree, target].append(value)
    if base.mantissas:
        _ensure_scores(forest, targets, found, application)
    low, high = [0] * targets, [0] * targets
    for target, value in enumerate(_counted(base, step)):
        low[target], high[target] = min(value, 0), max(value, 0)
    for (_, target), values in found.items():
        low[target] += min(0, *values)
        high[target] += max(0, *values)
    return tuple(Cell(step, *pair) for pair in zip(low, high, strict=True))


def _ensure_scores(
    forest: _Forest, targets: int, found: Mapping[tuple[int, int], list[int]], application: Application
) -> None:
    """onnxruntime leaves the base value out of a target for which no leaf that a row ends in has a weight."""
    leaves = [sum(forest.modes[at] == _LEAF for at in span) for span in forest.spans()]
    sure = {target for (tree, target), values in found.items() if len(values) == leaves[tree]}
    if len(sure) < targets:
        application.refuse(
            "with base values, each target needs a tree all of whose leaves have a weight for it: "
            "Add them after the trees"
        )


def _counted(numbers: Numbers, step: int) -> list[int]:
    """The numbers as multiples of 2^step."""
    return [mantissa << (own - step) for mantissa, own in zip(numbers.mantissas, numbers.steps, strict=True)]


def _leaves(forest: _Forest, count: int, application: Application) -> list[tuple[int, int, int]]:
    """Tree, node and target of every weight, in order; the leaves have one or more, the other nodes none."""
    lists = [application.ints(f"target_{name}") for name in ("treeids", "nodeids", "ids")]
    application.work.spend(_NODE_STEPS * count)
    if [len(each) for each in lists] != [count] * 3:
        application.refuse("the lists of targets differ in length")
    places = list(zip(*lists, strict=True))
    if any(first >= second for first, second in pairwise(places)):
        application.refuse("the weights of leaves must be in order of tree, node and target")
    leaves = {
        (tree, at - span.start)
        for tree, span in enumerate(forest.spans())
        for at in span
        if forest.modes[at] == _LEAF
    }
    if leaves != {(tree, node) for tree, node, _ in places}:
        application.refuse("each leaf needs a weight, and no other node may have one")
    return places


def _texts(application: Application, name: str) -> tuple[bytes, ...]:
    values = application.attributes[name]
    assert isinstance(values, tuple)
    return tuple(value for value in values if isinstance(value, bytes))


def _floats(application: Application, name: str) -> Numbers:
    """The numbers of an attribute, none of them infinite, subnormal or no number."""
    values = application.attributes[name]
    assert isinstance(values, tuple)
    data = struct.pack(f"<{len(values)}f", *values)
    return decode(Tensor(dtype="float32", shape=(len(values),), data=data), application)


RULES: Final = {
    "TreeEnsembleRegressor": Rule(
        arity=range(1, 2),
        attributes={
            "aggregate_function": (bytes, b"SUM"),
            "base_values": (FLOATS, ()),
            "n_targets": (int, REQUIRED),
            "nodes_falsenodeids": (INTS, REQUIRED),
            "nodes_featureids": (INTS, REQUIRED),
            "nodes_modes": (TEXTS, REQUIRED),
            "nodes_nodeids": (INTS, REQUIRED),
            "nodes_treeids": (INTS, REQUIRED),
            "nodes_truenodeids": (INTS, REQUIRED),
            "nodes_values": (FLOATS, REQUIRED),
            "post_transform": (bytes, b"NONE"),
            "target_ids": (INTS, REQUIRED),
            "target_nodeids": (INTS, REQUIRED),
            "target_treeids": (INTS, REQUIRED),
            "target_weights": (FLOATS, REQUIRED),
        },
        apply=_regressor,
        flow=Flow.CUTS,
    )
}
