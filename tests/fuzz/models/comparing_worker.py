"""A worker whose engine is all engines at once, and fails if two of them differ; a program, like
`inference.worker`.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from inference.engines.choice import Chosen
from inference.engines.int8 import TwinEngine
from inference.engines.interface import EngineError, InferenceEngine, LoadedModel
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.tensor import Tensor, from_integers, integers
from inference.worker import serve

ENGINES: Final[Mapping[str, InferenceEngine]] = {
    "numpy": NumpyEngine(),
    "onnxruntime, as it is": OnnxRuntimeEngine(1, Optimization.NONE),
    "onnxruntime, extended": OnnxRuntimeEngine(1, Optimization.EXTENDED),
    "onnxruntime, all": OnnxRuntimeEngine(1, Optimization.ALL),
    "onnxruntime, all, 3 threads": OnnxRuntimeEngine(3, Optimization.ALL),
    "int8 twin": TwinEngine(),
}


class Comparing:
    """Every engine."""

    def __init__(self, engines: Mapping[str, InferenceEngine]) -> None:
        self._engines = engines

    def load(self, model: bytes) -> LoadedModel:
        loaded = {}
        for name, engine in self._engines.items():
            try:
                loaded[name] = engine.load(model)
            except EngineError as error:
                raise EngineError(f"{name} cannot load: {error}") from None
        return ComparingModel(loaded)


class ComparingModel:
    def __init__(self, models: Mapping[str, LoadedModel]) -> None:
        self._models = models

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        outputs = {}
        for name, model in self._models.items():
            try:
                outputs[name] = model.run(inputs)
            except EngineError as error:
                raise EngineError(f"{name} cannot run: {error}") from None
        first, *_ = outputs.values()
        different = [name for name, output in outputs.items() if output != first]
        if different:
            raise EngineError(f"numpy differs from {', '.join(different)}")
        return first


class Wrong:
    """An engine whose first number is one too high once the self-test is over."""

    def load(self, model: bytes) -> LoadedModel:
        return WrongModel(NumpyEngine().load(model))


class WrongModel:
    def __init__(self, sound: LoadedModel) -> None:
        self._sound = sound

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        output, *others = self._sound.run(inputs)
        first, *rest = integers(output)
        return (from_integers(output.dtype, output.shape, [first + 1, *rest]), *others)


def engines(kind: str) -> Mapping[str, InferenceEngine]:
    """All of them, one of them wrong if the worker is asked for that."""
    return {**ENGINES, "onnxruntime, all": Wrong()} if kind == "wrong" else ENGINES


if __name__ == "__main__":
    serve(lambda: Chosen(Comparing(engines(sys.argv[1])), (Comparing(ENGINES),)))
