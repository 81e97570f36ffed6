"""The reference engine: each operator as its definition reads, in numpy. Slow, independent, the oracle of the
tests.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from inference.engine import Array, EngineError, from_array, to_array
from inference.graph import AttributeValue, Graph, read
from inference.operators.registry import EXACT
from inference.refusal import Refused
from inference.schema import ELEMENT_TYPES
from inference.tensor import Tensor

Attributes = Mapping[str, AttributeValue]
Operation = Callable[[Sequence[Array], Attributes], Array]


def _gemm(inputs: Sequence[Array], attributes: Attributes) -> Array:
    weight = inputs[1].T if attributes.get("transB", 0) else inputs[1]
    product = inputs[0] @ weight
    return product + inputs[2] if len(inputs) > 2 else product


def _reshape(inputs: Sequence[Array], attributes: Attributes) -> Array:
    source = inputs[0].shape
    sizes = [source[at] if size == 0 else int(size) for at, size in enumerate(inputs[1])]
    return inputs[0].reshape(sizes)


def _flatten(inputs: Sequence[Array], attributes: Attributes) -> Array:
    axis = _integer(attributes, "axis", 1)
    axis += inputs[0].ndim if axis < 0 else 0
    rows = int(np.prod(inputs[0].shape[:axis], dtype=np.int64))
    return inputs[0].reshape(rows, -1)


def _cast(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return inputs[0].astype(ELEMENT_TYPES[_integer(attributes, "to", 0)])


def _argmax(inputs: Sequence[Array], attributes: Attributes) -> Array:
    kept = bool(_integer(attributes, "keepdims", 1))
    return np.asarray(
        np.argmax(inputs[0], axis=_integer(attributes, "axis", 0), keepdims=kept), dtype=np.int64
    )


def _integer(attributes: Attributes, name: str, default: int) -> int:
    value = attributes.get(name, default)
    assert isinstance(value, int)
    return value


_OPERATIONS: Final[Mapping[str, Operation]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "ArgMax": _argmax,
    "Cast": _cast,
    "Clip": lambda inputs, _: np.minimum(np.maximum(inputs[0], inputs[1]), inputs[2]),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": lambda inputs, _: inputs[0],
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Relu": lambda inputs, _: np.maximum(inputs[0], 0),
    "Reshape": _reshape,
    "Round": lambda inputs, _: np.rint(inputs[0]),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
}


class NumpyModel:
    """One graph and its constants as arrays."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants = {name: to_array(tensor) for name, tensor in graph.constants.items()}

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs) != len(self._graph.inputs):
            raise EngineError(f"{len(inputs)} inputs for {len(self._graph.inputs)}")
        values = dict(self._constants)
        for port, tensor in zip(self._graph.inputs, inputs, strict=True):
            if (tensor.dtype, tensor.shape) != (port.dtype, port.shape):
                raise EngineError(f"{port.name} takes {port.dtype}{list(port.shape)}")
            values[port.name] = to_array(tensor)
        for node in self._graph.nodes:
            arrays = [values[name] for name in node.inputs if name]
            values[node.outputs[0]] = np.asarray(_OPERATIONS[node.operator](arrays, node.attributes))
        return tuple(from_array(values[port.name]) for port in self._graph.outputs)


class NumpyEngine:
    """Runs what the prover reads, one operator at a time."""

    def load(self, model: bytes) -> NumpyModel:
        try:
            return NumpyModel(read(model, EXACT))
        except Refused as refused:
            raise EngineError(str(refused)) from None
