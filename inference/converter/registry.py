"""The rule of each kind of step, by its type or, for a `Map`, by its form."""

from collections.abc import Mapping
from typing import Final

from inference.converter import (
    lower_attention,
    lower_combine,
    lower_linear,
    lower_maps,
    lower_moves,
    lower_norm,
    lower_tables,
    lower_trees,
)
from inference.converter.program import (
    Combine,
    Constant,
    Convolution,
    Form,
    Map,
    Matrix,
    Move,
    Norm,
    Pool,
    Product,
    Reduce,
    Softmax,
    Step,
    Table,
    Trees,
)
from inference.converter.rule import Rule, Want
from inference.refusal import refuse

RULES: Final[Mapping[type[Step] | Form, Rule]] = {
    Combine: lower_combine.COMBINE,
    Constant: lower_tables.CONSTANT,
    Convolution: lower_linear.CONVOLUTION,
    Form.AFFINE: lower_maps.AFFINE,
    Form.CLIP: lower_maps.CLIP,
    Form.CURVE: lower_tables.CURVE,
    Form.HARD_SWISH: lower_maps.HARD_SWISH,
    Form.LEAKY: lower_maps.LEAKY,
    Matrix: lower_linear.MATRIX,
    Move: lower_moves.MOVE,
    Norm: lower_norm.NORM,
    Pool: lower_combine.POOL,
    Product: lower_attention.PRODUCT,
    Reduce: lower_combine.REDUCE,
    Softmax: lower_attention.SOFTMAX,
    Table: lower_tables.TABLE,
    Trees: lower_trees.TREES,
}


def rule_of(step: Step) -> Rule:
    """Raises Refused if there is none."""
    rule = RULES.get(step.form if isinstance(step, Map) else type(step))
    if rule is None:
        label = (step.label or step.form.value) if isinstance(step, Map) else type(step).__name__
        refuse(f"{label} has no exact form yet", step.name)
    return rule


def given_by(step: Step) -> Want:
    """What the grid of a step's result must be. Raises Refused if there is no rule for it."""
    return Want(scale=1.0) if step.whole else rule_of(step).gives(step)
