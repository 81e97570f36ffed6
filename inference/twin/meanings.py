"""What a tensor of a twin can mean in the original. `inference.twin.proof` says how these come about."""

from dataclasses import dataclass

from inference.engines.interface import Array
from inference.graph import Node
from inference.twin.intervals import Interval
from inference.twin.linear import Linear


@dataclass(frozen=True, slots=True)
class Code:
    """Bytes that stand for a tensor's integers, `zero` for 0."""

    tensor: str
    zero: int


@dataclass(frozen=True, slots=True)
class Ramp:
    """The bytes of a code, from `low` to `high`."""

    code: Code
    low: int = 0
    high: int = 255


@dataclass(frozen=True, slots=True)
class Index:
    """The bytes of a code, as integers."""

    code: Code


@dataclass(frozen=True, slots=True)
class Limited:
    """Bytes that stand for round(e), from `low` to `high`."""

    node: Node
    """The original's: its output is e."""
    reach: Interval
    zero: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Sums:
    """The integers of a linear node: as they are, as floats, or times its steps."""

    linear: tuple[Linear, ...]
    """Those of the original that read the same tensor in the same way."""
    weights: Array
    real: bool = False
    steps: Array | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One operand of a product: (bytes - zero) * 2^-bits."""

    ramp: Ramp
    bits: int
    zero: int


Meaning = Code | Index | Limited | Ramp | Sums
