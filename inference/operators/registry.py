"""The allow-list: which operators a model may use, and the rule of each."""

from collections.abc import Mapping
from typing import Final

from inference.graph import LEARNERS, Gate
from inference.operators import certified, elementwise, functions, integers, linear, movement, rounded, trees
from inference.operators.rule import Rule

RULES: Final[Mapping[str, Rule]] = {
    "Add": elementwise.ADD,
    "ArgMax": integers.ARGMAX,
    "Cast": integers.CAST,
    "Ceil": functions.CEIL,
    "Clip": elementwise.CLIP,
    "Div": rounded.DIV,
    "Flatten": movement.FLATTEN,
    "Floor": functions.FLOOR,
    "Gemm": linear.GEMM,
    "HardSigmoid": functions.HARD_SIGMOID,
    "Identity": movement.IDENTITY,
    "MatMul": linear.MATMUL,
    "Mul": elementwise.MUL,
    "Relu": elementwise.RELU,
    "Reshape": movement.RESHAPE,
    "Round": elementwise.ROUND,
    "Sqrt": rounded.SQRT,
    "Sub": elementwise.SUB,
    "TreeEnsembleRegressor": trees.REGRESSOR,
    **certified.RULES,
}

_LEARNERS: Final = frozenset({"TreeEnsembleRegressor"})
"""Those of them that belong to the domain ai.onnx.ml."""

EXACT: Final = Gate(
    operators={"": frozenset(RULES) - _LEARNERS, LEARNERS: _LEARNERS},
    versions=range(13, 22),
    learner_versions=range(1, 4),
    open_dimensions=False,
    other_types=False,
)
"""What the prover reads. The versions named define the operators above alike, for the attributes allowed."""
