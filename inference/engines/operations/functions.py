"""Functions of one number or two, element by element."""

from collections.abc import Mapping, Sequence
from math import erf
from typing import Final

import numpy as np

from inference.engines.interface import Array
from inference.engines.operations.operation import Attributes, Operation


def _hard_sigmoid(inputs: Sequence[Array], attributes: Attributes) -> Array:
    slope, shift = _number(attributes, "alpha", 0.2), _number(attributes, "beta", 0.5)
    limited: Array = np.minimum(np.maximum(inputs[0] * slope + shift, np.float32(0)), np.float32(1))
    return limited


def _number(attributes: Attributes, name: str, default: float) -> np.float32:
    value = attributes.get(name, default)
    assert isinstance(value, float)
    return np.float32(value)


def _erf(inputs: Sequence[Array], _: Attributes) -> Array:
    values = [erf(value) for value in inputs[0].flat]
    return np.array(values, np.float32).reshape(inputs[0].shape)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "Ceil": lambda inputs, _: np.ceil(inputs[0]),
    "Erf": _erf,
    "Exp": lambda inputs, _: np.exp(inputs[0]),
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Floor": lambda inputs, _: np.floor(inputs[0]),
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": lambda inputs, _: np.tanh(inputs[0] / np.float32(2)) / np.float32(2) + np.float32(0.5),
    "Sqrt": lambda inputs, _: np.sqrt(inputs[0]),
    "Tanh": lambda inputs, _: np.tanh(inputs[0]),
}
