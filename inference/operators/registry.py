"""The allow-list: which operators a model may use, and the rule of each."""

from collections.abc import Mapping
from typing import Final

from inference.graph import Gate
from inference.operators import elementwise, integers, linear, movement
from inference.operators.rule import Rule

RULES: Final[Mapping[str, Rule]] = {
    "Add": elementwise.ADD,
    "ArgMax": integers.ARGMAX,
    "Cast": integers.CAST,
    "Clip": elementwise.CLIP,
    "Flatten": movement.FLATTEN,
    "Gemm": linear.GEMM,
    "Identity": movement.IDENTITY,
    "MatMul": linear.MATMUL,
    "Mul": elementwise.MUL,
    "Relu": elementwise.RELU,
    "Reshape": movement.RESHAPE,
    "Round": elementwise.ROUND,
    "Sub": elementwise.SUB,
}

EXACT: Final = Gate(
    operators={"": frozenset(RULES)}, versions=range(13, 22), open_dimensions=False, other_types=False
)
"""What the prover reads. Versions 13 to 21 define the operators above alike, for the attributes allowed."""
