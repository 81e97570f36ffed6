"""The reference engine: each operator as its definition reads, in numpy. Slow, independent, the oracle of the
tests.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from inference.engines.interface import EngineError, from_array, to_array
from inference.engines.operations.operation import ABSENT, Operation
from inference.engines.operations.registry import OPERATIONS
from inference.graph import Gate, Graph, read
from inference.operators.registry import EXACT
from inference.refusal import Refused
from inference.tensor import Tensor

Operations = Mapping[str, Operation]


class NumpyModel:
    """One graph and its constants as arrays."""

    def __init__(self, graph: Graph, operations: Operations) -> None:
        self._graph = graph
        self._operations = operations
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
            arrays = [values[name] if name else ABSENT for name in node.inputs]
            computed = self._operations[node.operator](arrays, node.attributes)
            results = computed if isinstance(computed, tuple) else (computed,)
            values.update(zip(node.outputs, map(np.asarray, results), strict=True))
        return tuple(from_array(values[port.name]) for port in self._graph.outputs)


class NumpyEngine:
    """Runs what `gate` reads, one operator at a time: what the prover reads, unless told otherwise."""

    def __init__(self, operations: Operations = OPERATIONS, gate: Gate = EXACT) -> None:
        self._operations = operations
        self._gate = gate

    def load(self, model: bytes) -> NumpyModel:
        try:
            return NumpyModel(read(model, self._gate), self._operations)
        except Refused as refused:
            raise EngineError(str(refused)) from None
