"""Models of tables, trained by scikit-learn, XGBoost and LightGBM on the data that scikit-learn bundles."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn import datasets
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tests.models.load import Task
from tests.models.make.record import CC_BY, Data, Made

SEED: Final = 4
SAMPLES: Final = 300
OPSETS: Final = {"": 17, "ai.onnx.ml": 3}

DIGITS: Final = (
    "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998, UCI), from scikit-learn"
)
BREAST: Final = "Breast Cancer Wisconsin (Diagnostic) (Wolberg and others, 1993, UCI), from scikit-learn"
WINE: Final = "Wine (Aeberhard and Forina, 1991, UCI), from scikit-learn"
DIABETES: Final = "Diabetes (Efron, Hastie, Johnstone and Tibshirani, 2004), from scikit-learn"
BUNDLED: Final = "as bundled by scikit-learn under BSD-3-Clause"
SOURCES: Final = {
    "digits": (datasets.load_digits, DIGITS, CC_BY),
    "breast_cancer": (datasets.load_breast_cancer, BREAST, CC_BY),
    "wine": (datasets.load_wine, WINE, CC_BY),
    "diabetes": (datasets.load_diabetes, DIABETES, BUNDLED),
}


class Table:
    """One bundled data set, split in two."""

    def __init__(self, source: str, held_out: float = 0.4) -> None:
        load, self.data, self.licence = SOURCES[source]
        loaded = load()
        self.task = Task.REGRESS if source == "diabetes" else Task.CLASSIFY
        labels = loaded.target.astype(np.float32 if self.task is Task.REGRESS else np.int64)
        self.train, self.test, self.train_labels, self.test_labels = train_test_split(
            loaded.data.astype(np.float32),
            labels,
            test_size=held_out,
            random_state=SEED,
            stratify=None if self.task is Task.REGRESS else labels,
        )

    def fit(self, model: Any) -> Any:
        """The model, trained."""
        return model.fit(self.train, self.train_labels)

    def made(self, name: str, summary: str, exported: Any, exporter: str, packages: tuple[str, ...]) -> Made:
        """Everything that is written about a model of this table."""
        entry = exported.graph.input[0].name
        return Made(
            name=name,
            task=self.task,
            summary=summary,
            model=exported.SerializeToString(),
            output=exported.graph.output[-1].name,
            samples=Data(inputs={entry: self.train}, labels=self.train_labels).take(SAMPLES),
            held_out=Data(inputs={entry: self.test}, labels=self.test_labels),
            exporter=exporter,
            packages=("scikit-learn", *packages, "onnx"),
            data=self.data,
            data_licence=self.licence,
        )


def sklearn_models() -> Iterator[tuple[str, str, str, Any]]:
    """Name, data set, summary and estimator."""
    network = MLPClassifier(hidden_layer_sizes=(32, 16), alpha=0.01, max_iter=600, random_state=SEED)
    regressor = MLPRegressor(hidden_layer_sizes=(24, 12), alpha=1.0, max_iter=3000, random_state=SEED)
    yield (
        "diagnosis_mlp",
        "breast_cancer",
        "StandardScaler and a dense network 30-32-16-2: benign or malignant",
        make_pipeline(StandardScaler(), network),
    )
    yield (
        "diagnosis_logistic",
        "breast_cancer",
        "StandardScaler and a logistic regression: Scaler, LinearClassifier and Normalizer nodes",
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=SEED)),
    )
    yield (
        "wine_logistic",
        "wine",
        "MinMaxScaler and a logistic regression of three classes: columns whose ranges differ by 1,000",
        make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=1000, random_state=SEED)),
    )
    yield (
        "digits_forest",
        "digits",
        "Random forest: TreeEnsembleClassifier, 40 trees over integer pixels",
        RandomForestClassifier(40, max_depth=9, random_state=SEED),
    )
    yield (
        "diagnosis_forest",
        "breast_cancer",
        "Random forest: TreeEnsembleClassifier, 50 trees over real columns",
        RandomForestClassifier(50, max_depth=8, random_state=SEED),
    )
    yield (
        "diagnosis_boosting",
        "breast_cancer",
        "Gradient boosting of two classes: TreeEnsembleClassifier with a logistic link",
        GradientBoostingClassifier(n_estimators=80, max_depth=3, random_state=SEED),
    )
    yield (
        "digits_boosting",
        "digits",
        "Gradient boosting of ten classes, histogram form: TreeEnsembleRegressor of ten targets and Softmax",
        HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=SEED),
    )
    yield (
        "diabetes_boosting",
        "diabetes",
        "Gradient boosting for regression: TreeEnsembleRegressor",
        GradientBoostingRegressor(n_estimators=120, max_depth=2, learning_rate=0.05, random_state=SEED),
    )
    yield (
        "diabetes_mlp",
        "diabetes",
        "StandardScaler and a dense network 10-24-12-1 for regression",
        make_pipeline(StandardScaler(), regressor),
    )


def make() -> Iterator[Made]:
    """Every model of tables."""
    for name, source, summary, estimator in sklearn_models():
        table = Table(source)
        model = table.fit(estimator)
        options = {id(model): {"zipmap": False}} if table.task is Task.CLASSIFY else None
        exported = to_onnx(model, table.train[:1], target_opset=OPSETS, options=options)
        yield table.made(name, summary, exported, "skl2onnx", ("skl2onnx",))
    yield xgboost_model()
    yield lightgbm_model()


def xgboost_model() -> Made:
    """Boosted trees of ten classes whose splits are `<` instead of `<=`."""
    from xgboost import XGBClassifier

    table = Table("digits")
    model = table.fit(XGBClassifier(n_estimators=30, max_depth=4, random_state=SEED, n_jobs=1))
    entry = [("pixels", FloatTensorType([None, 64]))]
    exported = convert_xgboost(model, name="digits_xgboost", initial_types=entry, target_opset=15)
    summary = "XGBoost, 30 rounds of ten trees: TreeEnsembleClassifier that splits by <"
    return table.made("digits_xgboost", summary, exported, "onnxmltools", ("xgboost", "onnxmltools"))


def lightgbm_model() -> Made:
    """Boosted trees of three classes."""
    from lightgbm import LGBMClassifier

    table = Table("wine")
    model = table.fit(LGBMClassifier(n_estimators=40, num_leaves=7, random_state=SEED, n_jobs=1, verbose=-1))
    entry = [("columns", FloatTensorType([None, table.train.shape[1]]))]
    exported = convert_lightgbm(
        model, name="wine_lightgbm", initial_types=entry, target_opset=15, zipmap=False
    )
    summary = "LightGBM of three classes: TreeEnsembleClassifier over real columns"
    return table.made("wine_lightgbm", summary, exported, "onnxmltools", ("lightgbm", "onnxmltools"))
