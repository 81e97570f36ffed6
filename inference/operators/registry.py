"""The allow-list: which operators a model may use, and the rule of each."""

from collections.abc import Mapping
from typing import Final

from inference.graph import LEARNERS, Gate
from inference.operators import (
    certified,
    convolution,
    elementwise,
    functions,
    integers,
    linear,
    movement,
    pooling,
    rounded,
    selection,
    trees,
)
from inference.operators.rule import Rule

_FAMILIES: Final = (
    certified.RULES,
    convolution.RULES,
    elementwise.RULES,
    functions.RULES,
    integers.RULES,
    linear.RULES,
    movement.RULES,
    pooling.RULES,
    rounded.RULES,
    selection.RULES,
    trees.RULES,
)

RULES: Final[Mapping[str, Rule]] = {
    operator: rule for family in _FAMILIES for operator, rule in family.items()
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
