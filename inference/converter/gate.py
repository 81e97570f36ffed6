"""Pass 1: which files the converter reads at all."""

from typing import Final

from inference.graph import CONSTANTS_MAX, Gate
from inference.wire import FLOAT_ITEMS_MAX

_FOLDED: Final = frozenset(
    {
        *("And", "Cast", "CastLike", "Constant", "ConstantOfShape", "Cos", "CumSum", "Dropout", "Equal"),
        "Expand",
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
            "Sin",
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

_LINEAR: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "InstanceNormalization", "MatMul"})

_REDUCTIONS: Final = frozenset(
    {
        *("ArgMax", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LayerNormalization", "LogSoftmax"),
        *("LpNormalization", "MaxPool", "RMSNormalization", "ReduceL2", "ReduceMax", "ReduceMean"),
        *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Softmax"),
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
            "Binarizer",
            "Cast",
            "FeatureVectorizer",
            "Imputer",
            "LabelEncoder",
            "LinearClassifier",
            "OneHotEncoder",
        ),
        *("LinearRegressor", "Normalizer", "Scaler", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
        "ZipMap",
    }
)

_BRANCHES: Final = "loops and branches, as of nearest neighbours, have no exact form"
_KERNEL: Final = "kernel machines have no exact form; train trees or a network"
_RECURRENT: Final = "recurrent layers are not supported; use convolutions or attention"
_QUANTISED: Final = "this model is quantised already; give the float model"

HINTS: Final = {
    "DequantizeLinear": _QUANTISED,
    "Einsum": "write the product as MatMul and Transpose",
    "GRU": _RECURRENT,
    "GroupNormalization": "export with operator set 17, which spells it in other operators",
    "If": _BRANCHES,
    "LSTM": _RECURRENT,
    "Loop": _BRANCHES,
    "NonMaxSuppression": "cut the model before it; it belongs to whoever reads the scores",
    "QLinearConv": _QUANTISED,
    "QuantizeLinear": _QUANTISED,
    "RNN": _RECURRENT,
    "ReduceLogSumExp": "naive Bayes and mixtures have no exact form; train a logistic regression or trees",
    "Scan": _BRANCHES,
    "SVMClassifier": _KERNEL,
    "SVMRegressor": _KERNEL,
    "StringNormalizer": "prepare texts before the model, and give it numbers",
    "TfIdfVectorizer": "prepare texts before the model, and give it numbers",
    "TopK": "cut the model before it; it belongs to whoever reads the scores",
}
"""Operators that models have and no exact model can, and what to do about each."""

FLOAT: Final = Gate(
    operators={
        "": _FOLDED | _ELEMENTWISE | _LINEAR | _REDUCTIONS | _MOVEMENTS,
        "ai.onnx.ml": _LEARNERS,
    },
    versions=range(7, 24),
    open_dimensions=True,
    other_types=True,
    items_max=FLOAT_ITEMS_MAX,
    operands_max=CONSTANTS_MAX,
    hints=HINTS,
)
"""What exporters write for the models that can be made exact, before and after folding."""
