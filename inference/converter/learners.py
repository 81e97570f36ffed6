"""Pass 4 for what scikit-learn's exporters write: linear models and forests of decision trees."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from inference.converter.draft import Draft, text, whole
from inference.converter.program import Integers, Reals, Step, Trees
from inference.engines.interface import to_array
from inference.graph import AttributeValue, Node
from inference.refusal import refuse
from inference.tensor import Tensor

_DOMAIN: Final = "ai.onnx.ml"
_HEADS: Final = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}

_SWAPPED: Final = {"BRANCH_GT": "BRANCH_LEQ", "BRANCH_GTE": "BRANCH_LT"}
"""Comparisons that hold where these do not."""


def respell(draft: Draft) -> None:
    """Classifiers become scores, a head and an ArgMax; linear models become Gemm."""
    for node in list(draft.nodes):
        match node.operator:
            case "LinearRegressor":
                draft.replace(node, [_linear_regressor(draft, node)])
            case "LinearClassifier":
                draft.replace(node, _linear_classifier(draft, node))
            case "TreeEnsembleClassifier":
                draft.replace(node, _tree_classifier(draft, node))


def _reals(node: Node, name: str) -> Reals:
    """A list of numbers, in either spelling."""
    value = node.attributes.get(name, node.attributes.get(f"{name}_as_tensor", ()))
    array = to_array(value) if isinstance(value, Tensor) else np.array(value, dtype=np.float64)
    if not np.isfinite(array).all():
        refuse(f"{name} are infinite or not a number", node.place)
    return array.astype(np.float64).reshape(-1)


def _integers(node: Node, name: str) -> Integers:
    value = node.attributes.get(name, ())
    return np.array(value if isinstance(value, tuple) else (), dtype=np.int64)


def _texts(node: Node, name: str) -> list[str]:
    value = node.attributes.get(name, ())
    listed = value if isinstance(value, tuple) else ()
    return [each.decode("ascii", "replace") for each in listed if isinstance(each, bytes)]


def _coefficients(draft: Draft, node: Node) -> tuple[Reals, Reals]:
    """weights[in, out] and bias[out]."""
    weights, features = _reals(node, "coefficients"), draft.shape(node.inputs[0])[-1]
    if not weights.size or weights.size % features:
        refuse(f"{weights.size} coefficients for {features} features", node.place)
    weights = weights.reshape(-1, features).T
    bias = _reals(node, "intercepts")
    return weights, bias if bias.size else np.zeros(weights.shape[1])


def _gemm_inputs(draft: Draft, node: Node, weights: Reals, bias: Reals) -> list[str]:
    dtype = draft.dtype(node.inputs[0])
    dtype = dtype if dtype in ("float32", "float64") else "float32"
    names = [draft.constant("weights", weights.astype(dtype)), draft.constant("bias", bias.astype(dtype))]
    return [node.inputs[0], *names]


def _linear_regressor(draft: Draft, node: Node) -> Node:
    if text(node, "post_transform", "NONE") != "NONE":
        refuse("post_transform is not supported; export the plain regressor", node.place)
    inputs = _gemm_inputs(draft, node, *_coefficients(draft, node))
    return replace(node, operator="Gemm", domain="", inputs=tuple(inputs), attributes={})


def _linear_classifier(draft: Draft, node: Node) -> list[Node]:
    weights, bias = _coefficients(draft, node)
    single = weights.shape[1] == 1
    if single:
        weights, bias = (np.concatenate([np.zeros_like(each), each], axis=-1) for each in (weights, bias))
    inputs = _gemm_inputs(draft, node, weights, bias)
    scores = draft.extend("Gemm", inputs, (draft.shape(node.inputs[0])[0], weights.shape[1]))
    return [scores, *_outputs(draft, node, scores.outputs[0], single)]


def _outputs(draft: Draft, node: Node, scores: str, single: bool) -> list[Node]:
    """The class and the probabilities, from the scores."""
    transform = text(node, "post_transform", "NONE")
    if transform not in _HEADS:
        refuse(f"the post_transform {transform} is not supported", node.place)
    # The logistic function of s is the softmax of (0, s).
    head = "Softmax" if single and transform == "LOGISTIC" else _HEADS[transform]
    label, probabilities = node.outputs
    draft.declare(label, (draft.shape(scores)[0],), "int64")
    draft.declare(probabilities, draft.shape(scores))
    return [
        Node(node.position, "ArgMax", (scores,), (label,), {"axis": 1, "keepdims": 0}),
        Node(node.position, head, (scores,), (probabilities,), {"axis": 1} if head == "Softmax" else {}),
    ]


def _tree_classifier(draft: Draft, node: Node) -> list[Node]:
    """The leaves vote for classes; those of one class alone vote against the other."""
    labels = max(len(_integers(node, "classlabels_int64s")), len(_texts(node, "classlabels_strings")))
    classes, weights = _integers(node, "class_ids"), _reals(node, "class_weights")
    base, trees, nodes = (
        _reals(node, "base_values"),
        *(_integers(node, f"class_{each}") for each in ("treeids", "nodeids")),
    )
    single = len(set(classes.tolist())) == 1 and labels == 2
    if single:
        base = base[-1:] if base.size else np.zeros(1)
        classes = np.ones_like(classes)
        if (weights >= 0).all() and text(node, "post_transform", "NONE") == "NONE":
            # The weights are probabilities: the scores are 1 - p and p.
            base = np.array([1 - base[0], base[0]])
            trees, nodes = np.tile(trees, 2), np.tile(nodes, 2)
            classes = np.concatenate([np.zeros_like(classes), classes])
            weights = np.concatenate([-weights, weights])
        else:
            base = np.array([0.0, base[0]])
    targets: dict[str, AttributeValue] = {
        "n_targets": labels,
        "target_ids": tuple(classes.tolist()),
        "target_nodeids": tuple(nodes.tolist()),
        "target_treeids": tuple(trees.tolist()),
        "target_weights": tuple(weights.tolist()),
    }
    if base.any():
        targets["base_values"] = tuple(base.tolist())
    shared = {name: value for name, value in node.attributes.items() if name.startswith("nodes_")}
    shape = (draft.shape(node.inputs[0])[0], labels)
    scores = draft.extend("TreeEnsembleRegressor", node.inputs, shape, shared | targets, _DOMAIN)
    return [scores, *_outputs(draft, node, scores.outputs[0], single)]


def trees(draft: Draft, node: Node) -> list[Step]:
    """A TreeEnsembleRegressor. Raises Refused."""
    if text(node, "post_transform", "NONE") != "NONE":
        refuse("post_transform is not supported; export the plain regressor", node.place)
    aggregate = text(node, "aggregate_function", "SUM")
    if aggregate not in ("AVERAGE", "SUM"):
        refuse(f"the aggregate function {aggregate} is not supported; use SUM or AVERAGE", node.place)
    ids = list(
        zip(_integers(node, "nodes_treeids").tolist(), _integers(node, "nodes_nodeids").tolist(), strict=True)
    )
    index = {each: at for at, each in enumerate(ids)}
    modes, left, right = _branches(node, ids, index)
    outputs = whole(node, "n_targets", 1)
    pairs = zip(
        _integers(node, "target_treeids").tolist(), _integers(node, "target_nodeids").tolist(), strict=True
    )
    inside = set(left.tolist()) | set(right.tolist())
    roots = [at for at in range(len(ids)) if at not in inside]
    share = len(roots) if aggregate == "AVERAGE" else 1
    base = _reals(node, "base_values")
    return [
        Trees(
            name=node.outputs[0],
            inputs=(node.inputs[0],),
            shape=draft.shape(node.outputs[0]),
            roots=np.array(roots, dtype=np.int64),
            features=_integers(node, "nodes_featureids"),
            thresholds=_reals(node, "nodes_values"),
            left=left,
            right=right,
            strict="BRANCH_LT" in modes,
            leaf_nodes=np.array([_found(index, pair, node) for pair in pairs], dtype=np.int64),
            leaf_outputs=_integers(node, "target_ids"),
            leaf_values=_reals(node, "target_weights") / share,
            base=base if base.size else np.zeros(outputs),
        )
    ]


def _branches(
    node: Node, ids: Sequence[tuple[int, int]], index: Mapping[tuple[int, int], int]
) -> tuple[set[str], Integers, Integers]:
    """The comparisons used, and the children of each tree node where they hold and where not."""
    left, right = np.full(len(ids), -1), np.full(len(ids), -1)
    true, false = _integers(node, "nodes_truenodeids"), _integers(node, "nodes_falsenodeids")
    modes = set()
    for at, (mode, (tree, _)) in enumerate(zip(_texts(node, "nodes_modes"), ids, strict=True)):
        if mode == "LEAF":
            continue
        where = _found(index, (tree, int(true[at])), node), _found(index, (tree, int(false[at])), node)
        left[at], right[at] = where[::-1] if mode in _SWAPPED else where
        modes.add(_SWAPPED.get(mode, mode))
    if not modes <= {"BRANCH_LEQ"} and modes != {"BRANCH_LT"}:
        refuse(
            f"comparisons {', '.join(sorted(modes))}; trees must use one of <= and < throughout", node.place
        )
    return modes, left, right


def _found(index: Mapping[tuple[int, int], int], wanted: tuple[int, int], node: Node) -> int:
    if wanted not in index:
        refuse(f"tree {wanted[0]} has no node {wanted[1]}", node.place)
    return index[wanted]
