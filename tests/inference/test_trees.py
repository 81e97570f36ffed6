"""Forests: proofs against brute force, refusals, and all engines alike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from types import MappingProxyType

import onnx
import pytest

from inference.certificate import GAS_PER_BYTE, GAS_PER_COMPARISON
from inference.engines.interface import InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import LEARNERS, AttributeValue, Node, Port
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import Tensor, from_integers, integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, node

ENGINES: list[InferenceEngine] = [NumpyEngine()] + [
    OnnxRuntimeEngine(threads, optimization)
    for threads in (1, 3)
    for optimization in (Optimization.NONE, Optimization.ALL)
]
MODES = (b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT")
FEATURES = 4


@dataclass(frozen=True)
class Branch:
    """One node of a tree for tests; a leaf has weights, by target, and no children."""

    mode: bytes = b"LEAF"
    feature: int = 0
    threshold: float = 0.0
    true: int = 0
    false: int = 0
    weights: tuple[tuple[int, float], ...] = ()


Tree = tuple[Branch, ...]


def leaf(*weights: float) -> Branch:
    return Branch(weights=tuple(enumerate(weights)))


STUMP: Tree = (Branch(b"BRANCH_LEQ", 0, 10.0, 1, 2), leaf(5.0), leaf(-7.0))


def lists(trees: list[Tree]) -> dict[str, AttributeValue]:
    """The attributes of an ensemble, leaving n_targets out."""
    rows = [(tree, own, each) for tree, nodes in enumerate(trees) for own, each in enumerate(nodes)]
    entries = [(tree, own, target, weight) for tree, own, each in rows for target, weight in each.weights]
    return {
        "nodes_treeids": tuple(tree for tree, _, _ in rows),
        "nodes_nodeids": tuple(own for _, own, _ in rows),
        "nodes_modes": tuple(each.mode for _, _, each in rows),
        "nodes_featureids": tuple(each.feature for _, _, each in rows),
        "nodes_values": tuple(each.threshold for _, _, each in rows),
        "nodes_truenodeids": tuple(each.true for _, _, each in rows),
        "nodes_falsenodeids": tuple(each.false for _, _, each in rows),
        "target_treeids": tuple(tree for tree, _, _, _ in entries),
        "target_nodeids": tuple(own for _, own, _, _ in entries),
        "target_ids": tuple(target for _, _, target, _ in entries),
        "target_weights": tuple(weight for _, _, _, weight in entries),
    }


def forest(
    trees: list[Tree],
    targets: int = 1,
    rows: int = 1,
    changed: Mapping[str, AttributeValue] = MappingProxyType({}),
) -> bytes:
    """int8 x[rows, 4] -> Cast -> the ensemble -> Round -> Cast -> y[rows, targets]."""
    attributes = {"n_targets": targets, **lists(trees), **changed}
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        Node(-1, "TreeEnsembleRegressor", ("real",), ("sums",), attributes, LEARNERS),
        node("Round", "sums", "whole"),
        node("Cast", "whole", "y", to=TO_INT32),
    ]
    ports = [Port("x", "int8", (rows, FEATURES))], [Port("y", "int32", (rows, targets))]
    return file(nodes, *ports)


def grown(random: Random, depth: int, targets: int, largest: int) -> Tree:
    """A random tree; leaves are multiples of 1/2."""
    nodes: list[Branch] = []

    def grow(left: int) -> int:
        own = len(nodes)
        if left == 0 or random.random() < 0.2:
            chosen = sorted(random.sample(range(targets), random.randint(1, targets)))
            weights = tuple((target, random.randint(-largest, largest) / 2) for target in chosen)
            nodes.append(Branch(weights=weights))
            return own
        threshold = random.randint(-256, 255) / random.choice((1, 2))
        nodes.append(Branch(random.choice(MODES), random.randrange(FEATURES), threshold))
        true = grow(left - 1)
        nodes[own] = replace(nodes[own], true=true, false=grow(left - 1))
        return own

    grow(depth)
    return tuple(nodes)


def meaning(trees: list[Tree], targets: int, x: list[int], base: tuple[float, ...] = ()) -> list[Fraction]:
    """The sums, by walking."""
    compare = dict(
        zip(
            MODES,
            (lambda a, b: a <= b, lambda a, b: a < b, lambda a, b: a >= b, lambda a, b: a > b),
            strict=True,
        )
    )
    sums = [Fraction(value) for value in base] or [Fraction(0)] * targets
    for tree in trees:
        here = tree[0]
        while here.mode != b"LEAF":
            here = tree[here.true if compare[here.mode](x[here.feature], here.threshold) else here.false]
        for target, weight in here.weights:
            sums[target] += Fraction(weight)
    return sums


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_engines_walk_the_trees_alike_and_stay_within_bounds(seed: int, targets: int) -> None:
    """Few trees and many rows, many trees and one row: onnxruntime splits the work in other ways."""
    random = Random(seed)
    count, rows = random.choice([(1, 1), (3, 60), (90, 1), (25, 5)])
    trees = [grown(random, random.randint(0, 6), targets, 1 << 12) for _ in range(count)]
    base: tuple[float, ...] = ()
    if seed % 2:
        trees.append((leaf(*[0.0] * targets),))
        base = tuple(random.randint(-9, 9) / 2 for _ in range(targets))
    proof = prove(forest(trees, targets, rows, changed={"base_values": base}))
    assert prove(proof.canonical) == proof
    onnx.checker.check_model(onnx.load_from_string(proof.canonical), full_check=True)
    (port,) = proof.certificate.outputs
    models = [engine.load(proof.canonical) for engine in ENGINES]
    for _ in range(4):
        values = [random.randint(-128, 127) for _ in range(rows * FEATURES)]
        sums = [meaning(trees, targets, values[at : at + FEATURES], base) for at in range(0, len(values), 4)]
        expected = from_integers("int32", (rows, targets), [round(each) for row in sums for each in row])
        inputs = (from_integers("int8", (rows, FEATURES), values),)
        assert all(model.run(inputs) == (expected,) for model in models)
        assert all(port.low <= value <= port.high for value in integers(expected))


@pytest.mark.parametrize("rows", [1, 2])
def test_a_forest_is_bounded_by_its_leaves_and_costs_its_depth_for_every_row(rows: int) -> None:
    certificate = prove(forest([STUMP, STUMP], rows=rows, changed={"base_values": (3.0,)})).certificate
    (port,) = certificate.outputs
    assert (port.low, port.high) == (-14, 13)
    one = prove(forest([STUMP], rows=rows, changed={"base_values": (3.0,)})).certificate
    bytes_gas = GAS_PER_BYTE * (certificate.size_bytes - one.size_bytes)
    assert certificate.gas - one.gas == rows * 2 * GAS_PER_COMPARISON + bytes_gas


def test_engines_may_add_any_part_of_leaves_that_have_one_sign() -> None:
    for sign in (1, -1):
        above = (Branch(b"BRANCH_LEQ", 0, 10.0, 1, 2), leaf(sign * 5.0), leaf(sign * 7.0))
        (port,) = prove(forest([above, above])).certificate.outputs
        assert (port.low, port.high) == ((0, 14) if sign > 0 else (-14, 0))


def test_leaves_fill_the_mantissa_and_no_more() -> None:
    largest = (leaf(2.0**23 - 1),)
    assert prove(forest([largest, largest])).certificate.outputs[0].high == 2**24 - 2
    with pytest.raises(Refused, match="needs 25 bits, float32 holds 24"):
        prove(forest([largest, (leaf(2.0**23 + 1),)]))


def test_fine_leaves_are_counted_in_their_step() -> None:
    with pytest.raises(Refused, match="needs 25 bits"):
        prove(forest([(leaf(2.0**-12),), (leaf(2.0**12),)]))


def changed(name: str, *values: object) -> dict[str, AttributeValue]:
    return {name: values}  # type: ignore[dict-item]  # wrong types are part of the tests


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"aggregate_function": b"AVERAGE"}, "aggregate_function must be SUM"),
        ({"post_transform": b"LOGISTIC"}, "post_transform must be NONE"),
        ({"n_targets": 0}, "n_targets is below 1"),
        ({"n_targets": 1 << 40}, "more than 65536"),
        (changed("base_values", 1.0, 2.0), "2 base values for 1 targets"),
        (changed("nodes_modes", b"BRANCH_EQ", b"LEAF", b"LEAF"), "b'BRANCH_EQ' of a node is not allowed"),
        (changed("nodes_modes", b"BRANCH_LEQ", b"LEAF"), "the lists of nodes differ in length"),
        (changed("nodes_modes", 1, 2, 3), "wrong type"),
        (changed("nodes_values", 1.0, float("nan"), 0.0), "infinite or not a number"),
        (changed("nodes_values", 1e-40, 1.0, 0.0), "subnormal"),
        (changed("nodes_featureids", 4, 0, 0), "looks at feature 4 of 4"),
        (changed("nodes_featureids", -1, 0, 0), "looks at feature -1 of 4"),
        (changed("nodes_nodeids", 0, 2, 1), "numbered from 0 in order"),
        (changed("nodes_treeids", 0, 0, 1), "numbered from 0 in order"),
        (changed("nodes_treeids", 1, 1, 1), "numbered from 0 in order"),
        (changed("nodes_truenodeids", 0, 0, 0), "must come after its parent"),
        (changed("nodes_truenodeids", 2, 0, 0), "and have no other"),
        (changed("nodes_truenodeids", 3, 0, 0), "must come after its parent"),
        (changed("nodes_truenodeids", 1, 2, 0), "the children of a leaf must be given as 0"),
        (changed("nodes_modes", b"LEAF", b"LEAF", b"LEAF"), "the children of a leaf must be given as 0"),
        (changed("target_ids", 0, 1), "a weight for target 1 of 1"),
        (changed("target_ids", 0), "the lists of targets differ in length"),
        (changed("target_nodeids", 2, 1), "in order of tree, node and target"),
        (changed("target_nodeids", 1, 1), "in order of tree, node and target"),
        (changed("target_nodeids", 0, 1), "each leaf needs a weight, and no other node"),
        (changed("target_weights", 1.0, float("inf")), "infinite or not a number"),
        ({"nodes_hitrates": (1.0,)}, "the attribute 'nodes_hitrates' is not allowed"),
    ],
)
def test_another_spelling_of_a_forest_is_refused(change: dict[str, AttributeValue], why: str) -> None:
    with pytest.raises(Refused) as refused:
        prove(forest([STUMP], changed=change))
    assert why in str(refused.value)


def test_a_base_value_that_an_engine_would_leave_out_is_refused() -> None:
    """Planted: without the refusal, onnxruntime gives 0 where no leaf has a weight, and numpy the base."""
    sparse: Tree = (Branch(b"BRANCH_LT", 0, 0.0, 1, 2), leaf(1.0, 2.0), Branch(weights=((0, 3.0),)))
    base: dict[str, AttributeValue] = {"base_values": (4.0, 5.0)}
    assert prove(forest([sparse], 2)).certificate.outputs[0].high == 3
    assert prove(forest([sparse, (leaf(0.0, 0.0),)], 2, changed=base)).certificate.outputs[0].high == 7
    with pytest.raises(Refused, match="Add them after the trees"):
        prove(forest([sparse], 2, changed=base))
    unproved = forest([sparse], 2, changed=base)
    inputs = (from_integers("int8", (1, FEATURES), (1, 0, 0, 0)),)
    assert len({engine.load(unproved).run(inputs) for engine in ENGINES}) == 2


def test_a_node_without_a_parent_is_refused() -> None:
    with pytest.raises(Refused, match="a node of a tree has no parent"):
        prove(forest([(leaf(1.0), leaf(2.0))]))


def test_trees_take_a_matrix_of_floats() -> None:
    attributes = {"n_targets": 1, **lists([STUMP])}
    ensemble = Node(-1, "TreeEnsembleRegressor", ("x",), ("y",), attributes, LEARNERS)
    with pytest.raises(Refused, match="input 0 is int8, not float32"):
        prove(file([ensemble], [Port("x", "int8", (1, 4))], [Port("y", "float32", (1, 1))]))
    nodes = [node("Cast", "x", "r", to=TO_FLOAT), replace(ensemble, inputs=("r",))]
    with pytest.raises(Refused, match="a matrix of rows"):
        prove(file(nodes, [Port("x", "int8", (4,))], [Port("y", "float32", (1, 1))]))


@pytest.mark.parametrize("version", [0, 4, 5])
def test_other_versions_of_the_learners_are_refused(version: int) -> None:
    model = onnx.load_from_string(forest([STUMP]))
    model.opset_import[1].version = version
    with pytest.raises(Refused, match=f"ai.onnx.ml, operator set {version} is not among 1 to 3"):
        prove(model.SerializeToString())


def test_a_tree_of_the_standard_domain_is_refused() -> None:
    model = onnx.load_from_string(forest([STUMP]))
    model.graph.node[1].domain = ""
    with pytest.raises(Refused, match="the operator TreeEnsembleRegressor is not allowed"):
        prove(model.SerializeToString())


def test_a_forest_on_another_grid_is_exact_too() -> None:
    """Thresholds between the numbers, of any size: a comparison never rounds."""
    tiny: Tree = (Branch(b"BRANCH_LT", 1, 2.0**-100, 1, 2), leaf(1.0), leaf(2.0))
    proof = prove(forest([tiny]))
    for x, expected in ((0, 1), (1, 2)):
        inputs: tuple[Tensor, ...] = (from_integers("int8", (1, 4), (0, x, 0, 0)),)
        for engine in ENGINES:
            assert integers(engine.load(proof.canonical).run(inputs)[0]) == (expected,)
