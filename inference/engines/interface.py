"""What runs a model: the protocol that every engine keeps, and the bridge between tensors and arrays.

An engine gets canonical bytes only, from a proof; it may use any order, fusion, thread count or instruction
set.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.tensor import Tensor, ensure_sound

Array = NDArray[Any]


class EngineError(Exception):
    """The engine could not load or run the model: this machine's fault, no verdict on the model."""


class LoadedModel(Protocol):
    """A model that is ready to run."""

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs, in the model's order. Raises EngineError."""
        ...


class InferenceEngine(Protocol):
    """Loads models; whoever needs one more than once keeps what `load` returned."""

    def load(self, model: bytes) -> LoadedModel:
        """Raises EngineError."""
        ...


def run(engine: InferenceEngine, model: bytes, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Load and run once. Raises EngineError."""
    return engine.load(model).run(inputs)


def to_array(tensor: Tensor) -> Array:
    """Raises TensorError."""
    ensure_sound(tensor)
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def from_array(array: Array) -> Tensor:
    """The tensor of an array; `shape` of a scalar is ()."""
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return Tensor(dtype=array.dtype.name, shape=array.shape, data=data)
