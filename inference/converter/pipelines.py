"""Pass 4 for what scikit-learn's pipelines do to features before a model: encoders, products of columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from math import inf
from typing import Final

import numpy as np

from inference.converter.draft import Draft, number, whole
from inference.converter.movements import move
from inference.converter.program import Movement, Reals, Step, Trees
from inference.engines.interface import to_array
from inference.graph import Node
from inference.refusal import refuse
from inference.tensor import Tensor

Handler = Callable[[Draft, Node], list[Step]]

KEYS_MAX: Final = 1 << 14
"""Most categories of one feature."""

_WORDS: Final = "it encodes words; encode them before the model, and give it numbers"


def respell(draft: Draft) -> None:
    """Encoders read reals as they are, columns are multiplied in few operations."""
    for node in list(draft.nodes):
        match node.operator:
            case "LabelEncoder" | "OneHotEncoder":
                _without_cast(draft, node)
            case "Concat":
                _products(draft, node)


def _without_cast(draft: Draft, node: Node) -> None:
    """Categories that are whole numbers are as far apart as reals."""
    cast = draft.made_by(node.inputs[0], "Cast")
    if cast is not None and draft.dtype(cast.inputs[0]) in ("float32", "float64"):
        draft.replace(node, [replace(node, inputs=(cast.inputs[0],))])


def _products(draft: Draft, node: Node) -> None:
    """Products of columns side by side, as of PolynomialFeatures: neighbours with as many factors at once."""
    parts = [(name, _factors(draft, name)) for name in node.inputs]
    if whole(node, "axis", 1) % len(draft.shape(node.outputs[0])) != 1 or not any(each for _, each in parts):
        return
    nodes, inputs = [], []
    for (source, count), group in groupby(parts, lambda part: _kind(part[1])):
        names = list(group)
        if not count:
            inputs += [name for name, _ in names]
            continue
        columns = np.array([each[1] for _, each in names if each is not None], dtype=np.int64)
        shape = (draft.shape(source)[0], len(names))
        factors = [
            draft.extend("Gather", [source, draft.constant("columns", each)], shape, {"axis": 1})
            for each in columns.T
        ]
        product = factors[0]
        nodes.append(product)
        for factor in factors[1:]:
            product = draft.extend("Mul", [product.outputs[0], factor.outputs[0]], shape)
            nodes += [factor, product]
        inputs.append(product.outputs[0])
    draft.replace(node, [*nodes, replace(node, inputs=tuple(inputs))])


_Factors = tuple[str, tuple[int, ...]]


def _kind(factors: _Factors | None) -> tuple[str, int]:
    return (factors[0], len(factors[1])) if factors else ("", 0)


def _factors(draft: Draft, name: str) -> _Factors | None:
    """A tensor, and those of its columns of which another is the product."""
    product = draft.made_by(name, "ReduceProd")
    chosen = draft.made_by(product.inputs[0], "ArrayFeatureExtractor") if product else None
    if product is None or chosen is None or chosen.inputs[1] not in draft.constants:
        return None
    if draft.integers(product, 1, "axes") != (1,) or not whole(product, "keepdims", 1):
        return None
    columns = draft.constants[chosen.inputs[1]].reshape(-1)
    return chosen.inputs[0], tuple(int(each) for each in columns)


def _numbers(node: Node, name: str) -> Reals | None:
    """A list of numbers, of either kind and in either spelling; None if the node has none."""
    for kind in ("floats", "int64s", "tensor"):
        value = node.attributes.get(f"{name}_{kind}")
        if value is not None:
            array = to_array(value) if isinstance(value, Tensor) else np.array(value)
            if array.dtype.kind not in "fi" or not np.isfinite(array).all():
                refuse(f"its {name} are not finite numbers", node.place)
            return array.astype(np.float64).reshape(-1)
    return None


def _one_hot(draft: Draft, node: Node) -> list[Step]:
    """OneHotEncoder of one column: an output for each category, 1 if it is that one, else 0."""
    keys = _numbers(node, "cats")
    if keys is None:
        refuse(_WORDS, node.place)
    shape = draft.shape(node.outputs[0])
    wanted = draft.constant("shape", np.array((shape[0], len(keys)), dtype=np.int64))
    flat = draft.extend("Reshape", [node.outputs[0], wanted], (shape[0], len(keys))).outputs[0]
    return [
        _lookup(draft, node, flat, keys, np.eye(len(keys)), np.zeros(len(keys))),
        move(draft, node.outputs[0], flat, Movement.RESHAPE),
    ]


def _label(draft: Draft, node: Node) -> list[Step]:
    """LabelEncoder of one column: the number that belongs to a number."""
    keys, values = _numbers(node, "keys"), _numbers(node, "values")
    if keys is None or values is None:
        refuse(_WORDS, node.place)
    other = number(node, "default_float", 0.0) if "values_floats" in node.attributes else None
    other = float(whole(node, "default_int64", -1)) if other is None else other
    return [_lookup(draft, node, node.outputs[0], keys, values[:, None], np.array([other]))]


def _lookup(draft: Draft, node: Node, name: str, keys: Reals, rows: Reals, other: Reals) -> Trees:
    """The row of the key that a number is near to, else `other`, as a tree."""
    if len(draft.shape(node.inputs[0])) != 2 or draft.shape(node.inputs[0])[1] != 1:
        refuse("it encodes several columns at once; encode each by itself", node.place)
    if not 0 < len(keys) <= KEYS_MAX or len(rows) != len(keys):
        refuse(f"it has {len(keys)} categories; from 1 to {KEYS_MAX} are possible", node.place)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    near = min((float(b - a) for a, b in pairwise(keys)), default=1.0) / 2
    if not near:
        refuse("it has a category twice", node.place)
    tree = _Tree(_ranges(keys.tolist(), rows[order], near, other))
    tree.grow(0, len(tree.ranges))
    leaves = [at for at, left in enumerate(tree.left) if left < 0]
    count = len(other)
    return Trees(
        name=name,
        inputs=(node.inputs[0],),
        shape=draft.shape(name),
        roots=np.zeros(1, dtype=np.int64),
        features=np.zeros(len(tree.left), dtype=np.int64),
        thresholds=np.array(tree.thresholds),
        left=np.array(tree.left, dtype=np.int64),
        right=np.array(tree.right, dtype=np.int64),
        strict=False,
        leaf_nodes=np.repeat(np.array(leaves, dtype=np.int64), count),
        leaf_outputs=np.tile(np.arange(count), len(leaves)),
        leaf_values=np.concatenate([tree.values[at] for at in leaves]),
        base=np.zeros(count),
    )


def _ranges(keys: Sequence[float], rows: Reals, near: float, other: Reals) -> list[tuple[float, Reals]]:
    """The greatest number, and the row, of each range of numbers, in order."""
    ranges = [(keys[0] - near, other)]
    for at, key in enumerate(keys):
        if ranges[-1][0] < key - near:
            ranges.append((key - near, other))
        ranges.append((key + near, rows[at]))
    return [*ranges, (inf, other)]


@dataclass(slots=True)
class _Tree:
    """The ranges as leaves of a balanced tree, in parallel lists."""

    ranges: Sequence[tuple[float, Reals]]
    thresholds: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    values: dict[int, Reals] = field(default_factory=dict)

    def grow(self, start: int, end: int) -> int:
        """The number of the new node over those ranges."""
        here, middle = len(self.left), (start + end) // 2
        self.left.append(-1)
        self.right.append(-1)
        self.thresholds.append(0.0)
        if end - start == 1:
            self.values[here] = self.ranges[start][1]
            return here
        self.thresholds[here] = self.ranges[middle - 1][0]
        self.left[here] = self.grow(start, middle)
        self.right[here] = self.grow(middle, end)
        return here


def _binarizer(draft: Draft, node: Node) -> list[Step]:
    """1 for each feature above the threshold, else 0: a tree for each, for they take the threshold itself as
    the float model does.
    """
    if len(draft.shape(node.inputs[0])) != 2:
        refuse("it takes rows of features only", node.place)
    count = draft.shape(node.inputs[0])[1]
    roots = 3 * np.arange(count)
    children = np.full((2, 3 * count), -1)
    children[:, roots] = roots + 1, roots + 2
    return [
        Trees(
            name=node.outputs[0],
            inputs=(node.inputs[0],),
            shape=draft.shape(node.outputs[0]),
            roots=roots,
            features=np.repeat(np.arange(count), 3),
            thresholds=np.full(3 * count, number(node, "threshold", 0.0)),
            left=children[0],
            right=children[1],
            strict=False,
            leaf_nodes=(roots[:, None] + (1, 2)).reshape(-1),
            leaf_outputs=np.repeat(np.arange(count), 2),
            leaf_values=np.tile([0.0, 1.0], count),
            base=np.zeros(count),
        )
    ]


HANDLERS: Final[Mapping[str, Handler]] = {
    "Binarizer": _binarizer,
    "LabelEncoder": _label,
    "OneHotEncoder": _one_hot,
}
