"""All operations by operator, one module per family."""

from collections.abc import Mapping
from typing import Final

from inference.engines.operations import basic, convolution, functions, movement, trees
from inference.engines.operations.operation import Operation

_FAMILIES: Final = (
    basic.OPERATIONS,
    convolution.OPERATIONS,
    functions.OPERATIONS,
    movement.OPERATIONS,
    trees.OPERATIONS,
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    operator: operation for family in _FAMILIES for operator, operation in family.items()
}
"""A test sees to it that these are the operators that the prover admits, each in one family."""
