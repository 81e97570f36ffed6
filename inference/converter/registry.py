"""The rule of each kind of step, by its type or, for a `Map`, by its form."""

from collections.abc import Mapping
from typing import Final

from inference.converter.program import Form, Map, Step
from inference.converter.rule import Rule
from inference.refusal import refuse

RULES: Final[Mapping[type[Step] | Form, Rule]] = {}


def rule_of(step: Step) -> Rule:
    """Raises Refused if there is none."""
    rule = RULES.get(step.form if isinstance(step, Map) else type(step))
    if rule is None:
        label = (step.label or step.form.value) if isinstance(step, Map) else type(step).__name__
        refuse(f"{label} has no exact form yet", step.name)
    return rule
