"""What scikit-learn's exporter writes for preparation: encoders, products of columns, columns of tables."""

from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto

from inference.converter.exact import make_exact
from inference.converter.options import Options, unwatched
from inference.converter.pipelines import KEYS_MAX
from inference.converter.program import Matrix, Program, Trees
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.refusal import Refused
from tests.inference.converter.checks import ensure, ensure_meaning, kind
from tests.inference.converter.floats import model, node, program_of, typed_model, weights
from tests.inference.converter.programs import exact

LEARNERS = "ai.onnx.ml"
COLUMN = ("batch", 1)
TABLE = ("batch", 4)


def learner(operator: str, source: str, result: str, **attributes: Any) -> NodeProto:
    return node(operator, [source], [result], domain=LEARNERS, **attributes)


def ensure_column(program: Program, values: list[float]) -> None:
    """Its meaning for each of the values of a column."""
    (source,) = program.sources
    for value in values:
        ensure_meaning(program, {source.name: np.array([[value]])})


@pytest.mark.parametrize("code", [TensorProto.FLOAT, TensorProto.INT64])
def test_one_column_becomes_an_output_for_each_category(code: int) -> None:
    nodes = [
        node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        learner("OneHotEncoder", "whole", "hot", cats_int64s=[5, 1, 2, 8], zeros=1),
        node("Reshape", ["hot", "shape"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {"shape": np.array([-1, 4]), "w": weights(4, 3)}
    program = program_of(typed_model(nodes, constants, {"x": (code, COLUMN)}))
    assert [kind(step) for step in program.steps] == ["Trees", "Matrix"]
    ensure_column(program, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0, -1.0])


@pytest.mark.parametrize(
    "attributes",
    [
        {"keys_floats": [0.5, -1.0, 3.0], "values_floats": [7.0, 2.0, 1.0], "default_float": -4.0},
        {"keys_floats": [0.5, -1.0, 3.0], "values_int64s": [7, 2, 1], "default_int64": -4},
        {"keys_floats": [0.5, -1.0, 3.0], "values_int64s": [7, 2, 1]},
    ],
)
def test_a_number_for_each_number(attributes: dict[str, Any]) -> None:
    nodes = [
        learner("LabelEncoder", "x", "code", **attributes),
        node("Cast", ["code"], ["real"], to=TensorProto.FLOAT),
        node("MatMul", ["real", "w"], ["y"]),
    ]
    program = program_of(model(nodes, {"w": weights(1, 3)}, x=COLUMN))
    assert isinstance(program.steps[0], Trees)
    ensure_column(program, [0.5, -1.0, 3.0, 10.0, -10.0])


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (learner("OneHotEncoder", "x", "y", cats_strings=["a", "b"]), "encodes words; encode them before"),
        (learner("OneHotEncoder", "x", "y", cats_int64s=[1, 1]), "has a category twice"),
        (learner("OneHotEncoder", "x", "y", cats_int64s=list(range(KEYS_MAX + 1))), "16385 categories; from"),
        (learner("LabelEncoder", "x", "y", keys_floats=[1.0], values_strings=["a"]), "encodes words"),
        (
            learner("LabelEncoder", "x", "y", keys_floats=[float("nan")], values_floats=[1.0]),
            "keys are not finite numbers",
        ),
    ],
)
def test_encoders_of_words_and_of_nothing_are_refused(made: NodeProto, reason: str) -> None:
    nodes = [node("Cast", ["ids"], ["x"], to=TensorProto.FLOAT), made]
    with pytest.raises(Refused, match=reason):
        program_of(model(nodes, {}, ids=COLUMN))


def test_several_columns_at_once_are_refused() -> None:
    with pytest.raises(Refused, match="encodes several columns at once; encode each by itself"):
        program_of(model([learner("OneHotEncoder", "x", "y", cats_int64s=[1, 2])], {}, x=TABLE))


def test_a_feature_that_is_just_the_threshold_is_not_above_it() -> None:
    program = program_of(model([learner("Binarizer", "x", "y", threshold=0.5)], {}, x=TABLE))
    assert [kind(step) for step in program.steps] == ["Trees"]
    ensure_meaning(program, {"x": np.array([[0.5, 0.25, 0.75, -1.0]])})


def test_thresholds_of_images_are_refused() -> None:
    with pytest.raises(Refused, match="it takes rows of features only"):
        program_of(model([learner("Binarizer", "x", "y")], {}, x=(1, 2, 3)))


def test_products_of_columns_are_made_in_few_operations() -> None:
    """As PolynomialFeatures is written, behind a scaler, whose result onnxruntime knows no shape of."""
    combinations = [(0,), (1,), (2,), (3,), (0, 0), (0, 3), (2, 1), (1, 1, 3), (2, 2, 2)]
    nodes = [learner("Scaler", "x", "scaled", offset=[1.0, 0, 2.0, 0], scale=[0.5, 1.0, 2.0, 4.0])]
    constants: dict[str, Any] = {"axis": np.array([1]), "w": weights(1 + len(combinations), 3)}
    for at, columns in enumerate(combinations):
        constants[f"columns{at}"] = np.array(columns)
        nodes += [
            node("ArrayFeatureExtractor", ["scaled", f"columns{at}"], [f"chosen{at}"], domain=LEARNERS),
            node("ReduceProd", [f"chosen{at}", "axis"], [f"product{at}"]),
        ]
    names = [f"product{at}" for at in range(len(combinations))]
    nodes += [
        node("Shape", [names[-1]], ["shape"]),
        node("ConstantOfShape", ["shape"], ["unit"], value=_one()),
        node("Concat", ["unit", *names], ["all"], axis=1),
        node("MatMul", ["all", "w"], ["y"]),
    ]
    program = program_of(model(nodes, constants, version=18, x=TABLE))
    kinds = [kind(step) for step in program.steps]
    assert kinds.count("multiply") == 3
    ensure_meaning(program, {"x": np.random.default_rng(1).normal(size=(1, 4))})


def _one() -> TensorProto:
    return TensorProto(dims=[1], data_type=TensorProto.FLOAT, float_data=[1.0])


def test_a_product_with_a_vector_has_one_number_for_each_row() -> None:
    """As scikit-learn's generalised linear models are written."""
    nodes = [node("MatMul", ["x", "w"], ["z"]), node("Exp", ["z"], ["y"])]
    ensure(model(nodes, {"w": weights(4)}, x=TABLE), ["Matrix", "Reshape", "Exp"])


def forest(source: str, result: str) -> NodeProto:
    """One comparison of the second feature."""
    return node(
        "TreeEnsembleRegressor",
        [source],
        [result],
        domain=LEARNERS,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[1, 0, 0],
        nodes_values=[0.25, 0, 0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        n_targets=1,
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.0, 2.0],
    )


def ensure_comparison(program: Program, feature: int, threshold: float) -> None:
    """A forest that reads the input itself, and on both sides of its one threshold."""
    (tree,) = program.steps
    assert isinstance(tree, Trees)
    assert tree.inputs == ("x",)
    assert (tree.features[0], tree.thresholds[0]) == (feature, pytest.approx(threshold))
    for beside in (-0.5, 0.5):
        x = np.zeros((1, 4))
        x[0, feature] = threshold + beside
        ensure_meaning(program, {"x": x})


def test_a_scaler_in_front_of_a_forest_goes_into_its_thresholds() -> None:
    scaler = learner("Scaler", "x", "scaled", offset=[0, 3.0, 0, 0], scale=[1.0, 0.5, 1.0, 1.0])
    program = program_of(model([scaler, forest("scaled", "y")], {}, x=TABLE))
    ensure_comparison(program, 1, 3.5)


def test_a_falling_scale_in_front_of_a_forest_stays() -> None:
    """x <= t would become x >= t; a matrix, so that the input has a scale for each feature."""
    scaler = learner("Scaler", "x", "scaled", offset=[0.0] * 4, scale=[1.0, -0.5, 1.0, 1.0])
    program = program_of(model([scaler, forest("scaled", "y")], {}, x=TABLE))
    assert [kind(step) for step in program.steps] == ["Matrix", "Trees"]


def test_a_forest_behind_chosen_and_scaled_columns_reads_the_table() -> None:
    nodes = [
        node("ArrayFeatureExtractor", ["x", "columns"], ["chosen"], domain=LEARNERS),
        node("Gather", ["chosen", "order"], ["again"], axis=1),
        learner("Scaler", "again", "scaled", offset=[1.0, 3.0], scale=[0.5, 0.5]),
        forest("scaled", "y"),
    ]
    constants = {"columns": np.array([2, 3]), "order": np.array([1, 0])}
    ensure_comparison(program_of(model(nodes, constants, x=TABLE)), 2, 3.5)


def test_a_matrix_behind_chosen_columns_reads_the_table() -> None:
    """One matrix in all, whichever columns it takes, twice or never."""
    nodes = [
        node("ArrayFeatureExtractor", ["x", "columns"], ["chosen"], domain=LEARNERS),
        learner("Scaler", "chosen", "scaled", offset=[1.0, 3.0, 0.5], scale=[0.5, -0.25, 4.0]),
        node("MatMul", ["scaled", "w"], ["y"]),
    ]
    program = ensure(model(nodes, {"columns": np.array([3, 1, 3]), "w": weights(3, 2)}, x=TABLE), ["Matrix"])
    (matrix,) = program.steps
    assert isinstance(matrix, Matrix)
    assert matrix.weights.shape == (4, 2)


def test_scaled_columns_for_others_than_matrices_become_a_matrix() -> None:
    """For the input has a scale for each feature then, and what comes from it one for all."""
    nodes = [
        learner("Scaler", "x", "scaled", offset=[1.0, 3.0, 0.5, 0], scale=[0.5, 100.0, 4.0, 0.001]),
        node("Mul", ["scaled", "scaled"], ["square"]),
        node("Concat", ["scaled", "square"], ["y"], axis=1),
    ]
    program = program_of(model(nodes, {}, x=TABLE))
    assert isinstance(program.steps[0], Matrix)
    ensure_meaning(program, {"x": np.array([[1.0, 2.0, 3.0, 4.0]])})


def test_the_mean_of_several_classifiers_becomes_exact() -> None:
    """Their probabilities lie side by side before they meet, as calibrated classifiers are written."""
    nodes, sums = [], []
    for at in range(2):
        nodes += [
            node("MatMul", ["x", f"w{at}"], [f"s{at}"]),
            node("Sigmoid", [f"s{at}"], [f"p{at}"]),
            node("Sub", ["one", f"p{at}"], [f"q{at}"]),
            node("Concat", [f"q{at}", f"p{at}"], [f"both{at}"], axis=1),
        ]
        sums.append(f"both{at}")
    nodes += [node("Sum", sums, ["total"]), node("Div", ["total", "two"], ["y"])]
    constants = {"w0": weights(4, 1), "w1": weights(4, 1, seed=2), "one": 1.0, "two": 2.0}
    done = exact(program_of(model(nodes, constants, x=TABLE)))
    assert done.report.outputs[0].relative_error < 0.01


def test_categories_beside_features_of_other_sizes_become_exact() -> None:
    """Each feature is encoded by its own range, whatever chooses it."""
    nodes = [
        node("ArrayFeatureExtractor", ["x", "first"], ["column"], domain=LEARNERS),
        node("ArrayFeatureExtractor", ["x", "others"], ["reals"], domain=LEARNERS),
        node("Cast", ["column"], ["whole"], to=TensorProto.INT64),
        learner("OneHotEncoder", "whole", "hot", cats_int64s=[-2, -1, 0, 1, 2], zeros=1),
        node("Reshape", ["hot", "shape"], ["flat"]),
        learner("Scaler", "reals", "scaled", offset=[0, 1.0, 2.0], scale=[1000.0, 1.0, 0.001]),
        node("Concat", ["flat", "scaled"], ["all"], axis=1),
        node("MatMul", ["all", "w"], ["y"]),
    ]
    constants = {
        "first": np.array([0]),
        "others": np.array([1, 2, 3]),
        "shape": np.array([-1, 5]),
        "w": weights(8, 3),
    }
    program = program_of(model(nodes, constants, x=TABLE))
    random = np.random.default_rng(3)
    rows = random.normal(size=(200, 1, 4)) * [[1, 0.001, 1, 1000]]
    rows[:, :, 0] = random.integers(-2, 3, size=(200, 1))
    samples = [{"x": row.astype(np.float32)} for row in rows]
    done = make_exact(program, samples[:150], samples[150:], Options(), OnnxRuntimeEngine(), unwatched)
    assert done.report.outputs[0].relative_error < 0.01
