"""The self-test."""

from collections.abc import Iterator

from inference.engines.interface import EngineError, InferenceEngine
from inference.selftest import images, lookups, matrices, reductions, rounding
from inference.selftest.vector import Tensors, Vector
from inference.tensor import TensorError, integers


def vectors() -> Iterator[Vector]:
    """All of them, cheap ones first."""
    for family in (matrices, reductions, images, rounding, lookups):
        yield from family.vectors()


def trouble(*engines: InferenceEngine) -> str | None:
    """The first difference between what one of the engines computes and what is true, if there is one."""
    for vector in vectors():
        for engine in engines:
            try:
                reason = _difference(engine, vector)
            except (EngineError, TensorError) as error:
                reason = str(error)
            if reason:
                return f"the engine fails the self-test {vector.name!r}: {reason}"
    return None


def _difference(engine: InferenceEngine, vector: Vector) -> str | None:
    """What is wrong with the first wrong output. The first case comes again at the end."""
    model = engine.load(vector.model)
    for inputs, expected in (*vector.cases, vector.cases[0]):
        if reason := _unlike(model.run(inputs), expected):
            return reason
    return None


def _unlike(outputs: Tensors, expected: Tensors) -> str | None:
    if len(outputs) != len(expected):
        return f"{len(outputs)} outputs, not {len(expected)}"
    for output, wanted in zip(outputs, expected, strict=True):
        if (output.dtype, output.shape) != (wanted.dtype, wanted.shape):
            return f"{output.dtype}{list(output.shape)}, not {wanted.dtype}{list(wanted.shape)}"
        if output != wanted:
            pairs = enumerate(zip(integers(output), integers(wanted), strict=True))
            index, (got, right) = next(each for each in pairs if each[1][0] != each[1][1])
            return f"element {index} is {got}, not {right}"
    return None
