"""What elementwise operators compute, on float64, and functions of one variable made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import erf, inf, sqrt
from typing import Any, Final

import numpy as np

from inference.converter.draft import number, text, whole
from inference.converter.program import Reals
from inference.graph import Node
from inference.schema import BOOLEAN

_erf: Final = np.frompyfunc(erf, 1, 1)


def erf_of(x: Reals) -> Reals:
    """The error function of every element, as the C library has it."""
    return np.asarray(_erf(x), dtype=np.float64)


def sigmoid(x: Reals) -> Reals:
    """Without overflow on either side."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softplus(x: Reals) -> Reals:
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def hard_sigmoid(x: Reals, slope: float, shift: float) -> Reals:
    return np.asarray(np.minimum(np.maximum(slope * x + shift, 0), 1))


def gelu(x: Reals) -> Reals:
    return 0.5 * x * (1 + erf_of(x / sqrt(2)))


def tanh_gelu(x: Reals) -> Reals:
    """The approximation by tanh."""
    return np.asarray(0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def elu(x: Reals, alpha: float) -> Reals:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _clip(node: Node, x: Reals, *limits: Reals) -> Reals:
    low, high = (*limits, *(np.array(np.nan),) * 2)[:2]
    low = np.array(number(node, "min", -inf)) if np.isnan(low).any() else low
    high = np.array(number(node, "max", inf)) if np.isnan(high).any() else high
    return np.asarray(np.minimum(np.maximum(x, low), high))


def _selu(node: Node, x: Reals) -> Reals:
    alpha, gamma = number(node, "alpha", 1.6732632423543772), number(node, "gamma", 1.0507009873554805)
    return gamma * elu(x, alpha)


def _celu(node: Node, x: Reals) -> Reals:
    alpha = number(node, "alpha", 1.0)
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _gelu(node: Node, x: Reals) -> Reals:
    return tanh_gelu(x) if text(node, "approximate") == "tanh" else gelu(x)


def _first(node: Node, x: Reals, *rest: Reals) -> Reals:
    return x


def _cast(node: Node, x: Reals) -> Reals:
    """Only the cast to Booleans changes a value that may be cast here."""
    return _truth(x != 0) if whole(node, "to", 0) == BOOLEAN else x


def _where(node: Node, condition: Reals, x: Reals, y: Reals) -> Reals:
    return np.asarray(np.where(condition != 0, x, y))


def _truth(x: Any) -> Reals:
    return np.asarray(x, dtype=np.float64)


Operator = Callable[..., Reals]

OPERATORS: Final[Mapping[str, Operator]] = {
    "Abs": lambda node, x: np.abs(x),
    "Add": lambda node, x, y: x + y,
    "And": lambda node, x, y: _truth((x != 0) & (y != 0)),
    "Cast": _cast,
    "Ceil": lambda node, x: np.ceil(x),
    "Celu": _celu,
    "Clip": _clip,
    "Div": lambda node, x, y: x / y,
    "Dropout": _first,
    "Elu": lambda node, x: elu(x, number(node, "alpha", 1.0)),
    "Equal": lambda node, x, y: _truth(x == y),
    "Erf": lambda node, x: erf_of(x),
    "Exp": lambda node, x: np.exp(x),
    "Floor": lambda node, x: np.floor(x),
    "Gelu": _gelu,
    "Greater": lambda node, x, y: _truth(x > y),
    "GreaterOrEqual": lambda node, x, y: _truth(x >= y),
    "HardSigmoid": lambda node, x: hard_sigmoid(x, number(node, "alpha", 0.2), number(node, "beta", 0.5)),
    "HardSwish": lambda node, x: x * hard_sigmoid(x, 1 / 6, 0.5),
    "Identity": _first,
    "LeakyRelu": lambda node, x: np.where(x >= 0, x, number(node, "alpha", 0.01) * x),
    "Less": lambda node, x, y: _truth(x < y),
    "LessOrEqual": lambda node, x, y: _truth(x <= y),
    "Log": lambda node, x: np.log(x),
    "Max": lambda node, *x: reduce(np.maximum, x),
    "Mean": lambda node, *x: reduce(np.add, x) / len(x),
    "Min": lambda node, *x: reduce(np.minimum, x),
    "Mish": lambda node, x: x * np.tanh(softplus(x)),
    "Mul": lambda node, x, y: x * y,
    "Neg": lambda node, x: -x,
    "Not": lambda node, x: _truth(x == 0),
    "Or": lambda node, x, y: _truth((x != 0) | (y != 0)),
    "PRelu": lambda node, x, slope: np.where(x >= 0, x, slope * x),
    "Pow": lambda node, x, y: np.power(x, y),
    "Reciprocal": lambda node, x: 1 / x,
    "Relu": lambda node, x: np.maximum(x, 0),
    "Round": lambda node, x: np.rint(x),
    "Selu": _selu,
    "Sigmoid": lambda node, x: sigmoid(x),
    "Softplus": lambda node, x: softplus(x),
    "Softsign": lambda node, x: x / (1 + np.abs(x)),
    "Sqrt": lambda node, x: np.sqrt(x),
    "Sub": lambda node, x, y: x - y,
    "Sum": lambda node, *x: reduce(np.add, x),
    "Tanh": lambda node, x: np.tanh(x),
    "ThresholdedRelu": lambda node, x: np.where(x > number(node, "alpha", 1.0), x, 0),
    "Where": _where,
}
"""From a node and its inputs, constants included, to its result. An optional input left out is NaN."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator within a function of one variable."""

    node: Node
    operands: tuple[int | float, ...]
    """Results of earlier operations by index, 0 being the variable, or numbers."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A function of one variable, element by element: the result of its last operation."""

    operations: tuple[Operation, ...]

    def __call__(self, x: Reals) -> Reals:
        values: list[Reals] = [np.asarray(x, dtype=np.float64)]
        with np.errstate(all="ignore"):
            for operation in self.operations:
                operands: Sequence[Reals] = [
                    values[each] if isinstance(each, int) else np.array(each) for each in operation.operands
                ]
                operator = OPERATORS[operation.node.operator]
                values.append(np.asarray(operator(operation.node, *operands), dtype=np.float64))
        return np.broadcast_to(values[-1], values[0].shape)
