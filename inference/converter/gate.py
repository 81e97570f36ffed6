"""Pass 1: which files the converter reads at all."""

from typing import Final

from inference.graph import Gate

_FOLDED: Final = frozenset(
    {
        *("And", "Cast", "CastLike", "Constant", "ConstantOfShape", "CumSum", "Dropout", "Equal", "Expand"),
        *(
            "EyeLike",
            "Gather",
            "GatherElements",
            "GatherND",
            "Greater",
            "GreaterOrEqual",
            "Identity",
            "IsInf",
        ),
        *(
            "IsNaN",
            "Less",
            "LessOrEqual",
            "Mod",
            "Not",
            "OneHot",
            "Or",
            "Range",
            "ScatterND",
            "Shape",
            "Sign",
        ),
        *("Size", "Tile", "Trilu", "Where"),
    }
)
"""Operators of shape arithmetic and masks; most of them only ever meet constants."""

_ELEMENTWISE: Final = frozenset(
    {
        *("Abs", "Add", "BatchNormalization", "Ceil", "Clip", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu"),
        *(
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "Log",
            "Max",
            "Mean",
            "Min",
            "Mish",
            "Mul",
            "Neg",
            "PRelu",
        ),
        *("Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub"),
        *("Sum", "Tanh", "ThresholdedRelu", "Celu"),
    }
)

_LINEAR: Final = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})

_REDUCTIONS: Final = frozenset(
    {
        *("ArgMax", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LayerNormalization", "LogSoftmax"),
        *("MaxPool", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Softmax"),
    }
)

_MOVEMENTS: Final = frozenset(
    {
        *("Concat", "DepthToSpace", "Flatten", "Pad", "Reshape", "Resize", "Slice", "Split", "Squeeze"),
        *("Transpose", "Unsqueeze", "Upsample"),
    }
)

_LEARNERS: Final = frozenset(
    {
        *(
            "ArrayFeatureExtractor",
            "Cast",
            "FeatureVectorizer",
            "Imputer",
            "LabelEncoder",
            "LinearClassifier",
        ),
        *("LinearRegressor", "Normalizer", "Scaler", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
        "ZipMap",
    }
)

FLOAT: Final = Gate(
    operators={"": _FOLDED | _ELEMENTWISE | _LINEAR | _REDUCTIONS | _MOVEMENTS, "ai.onnx.ml": _LEARNERS},
    versions=range(9, 24),
    open_dimensions=True,
    other_types=True,
)
"""What exporters write for the models that can be made exact, before and after folding."""
