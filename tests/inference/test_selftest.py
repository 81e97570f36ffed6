"""The self-test passes on sound engines and catches each way of computing that loses bits."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from inference.engines.interface import Array, EngineError, InferenceEngine, from_array, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.selftest import trouble
from inference.tensor import Tensor


@pytest.mark.parametrize("engine", [NumpyEngine(), OnnxRuntimeEngine(), OnnxRuntimeEngine(threads=2)])
def test_a_sound_engine_passes(engine: InferenceEngine) -> None:
    assert trouble(engine) is None


class Spoiled:
    """An engine that spoils what a sound one computes."""

    def __init__(self, spoil: Callable[[Array], Array]) -> None:
        self._spoil = spoil

    def load(self, model: bytes) -> "SpoiledModel":
        return SpoiledModel(model, self._spoil)


class SpoiledModel:
    def __init__(self, model: bytes, spoil: Callable[[Array], Array]) -> None:
        self._model = NumpyEngine().load(model)
        self._spoil = spoil

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(from_array(self._spoil(to_array(output))) for output in self._model.run(inputs))


def bfloat16(array: Array) -> Array:
    """Eight bits of mantissa."""
    bits = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(array.dtype)


@pytest.mark.parametrize(
    "spoil",
    [bfloat16, lambda array: array + (np.abs(array) == 2**24 - 1), lambda array: array - (array % 2)],
    ids=["bfloat16", "last bit", "even only"],
)
def test_lost_bits_are_found(spoil: Callable[[Array], Array]) -> None:
    reason = trouble(Spoiled(spoil))
    assert reason is not None
    assert reason.startswith("the engine fails the self-test stress 1: element 0 is")


def test_an_engine_that_fails_is_trouble() -> None:
    class Broken:
        def load(self, model: bytes) -> SpoiledModel:
            raise EngineError("no such kernel")

    assert trouble(Broken()) == "the engine fails the self-test stress 1: no such kernel"
