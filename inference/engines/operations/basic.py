"""The operators of dense networks."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from inference.engines.interface import Array
from inference.engines.operations.operation import Attributes, Operation, integer
from inference.schema import ELEMENT_TYPES


def _gemm(inputs: Sequence[Array], attributes: Attributes) -> Array:
    weight = inputs[1].T if attributes.get("transB", 0) else inputs[1]
    product = inputs[0] @ weight
    return product + inputs[2] if len(inputs) > 2 and inputs[2].size else product


def _reshape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    source = inputs[0].shape
    sizes = [source[at] if size == 0 else int(size) for at, size in enumerate(inputs[1])]
    return inputs[0].reshape(sizes)


def _flatten(inputs: Sequence[Array], attributes: Attributes) -> Array:
    axis = integer(attributes, "axis", 1)
    axis += inputs[0].ndim if axis < 0 else 0
    rows = int(np.prod(inputs[0].shape[:axis], dtype=np.int64))
    return inputs[0].reshape(rows, -1)


def _cast(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return inputs[0].astype(ELEMENT_TYPES[integer(attributes, "to", 0)])


def _argmax(inputs: Sequence[Array], attributes: Attributes) -> Array:
    kept = bool(integer(attributes, "keepdims", 1))
    found = np.argmax(inputs[0], axis=integer(attributes, "axis", 0), keepdims=kept)
    return np.asarray(found, dtype=np.int64)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "ArgMax": _argmax,
    "Cast": _cast,
    "Clip": lambda inputs, _: np.minimum(np.maximum(inputs[0], inputs[1]), inputs[2]),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": lambda inputs, _: inputs[0],
    "Max": lambda inputs, _: np.maximum(inputs[0], inputs[1]),
    "Min": lambda inputs, _: np.minimum(inputs[0], inputs[1]),
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Relu": lambda inputs, _: np.maximum(inputs[0], 0),
    "Reshape": _reshape,
    "Round": lambda inputs, _: np.rint(inputs[0]),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
}
