"""The self-test passes on sound engines and names what each wrong one fails."""

import numpy as np
import pytest

from inference.engines.int8 import FasterEngine, TwinEngine
from inference.engines.interface import EngineError, InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine, NumpyModel
from inference.prover import prove
from inference.selftest.trial import trouble, vectors
from inference.selftest.vector import Vector
from inference.twin.derive import twin
from tests.inference.selftest.wrong import WRONG

SOUND: list[InferenceEngine] = [
    NumpyEngine(),
    *(OnnxRuntimeEngine(1, level) for level in Optimization),
    OnnxRuntimeEngine(threads=2),
    TwinEngine(),
    FasterEngine(OnnxRuntimeEngine(), TwinEngine()),
]


def test_sound_engines_pass() -> None:
    assert trouble(*SOUND) is None


@pytest.mark.parametrize("vector", list(vectors()), ids=lambda vector: vector.name)
def test_each_model_is_proved(vector: Vector) -> None:
    certificate = prove(vector.model).certificate
    for inputs, outputs in vector.cases:
        assert [each.shape for each in inputs] == [port.shape for port in certificate.inputs]
        assert [each.shape for each in outputs] == [port.shape for port in certificate.outputs]


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_engine_is_refused_by_name(name: str) -> None:
    engine, vector = WRONG[name]
    with np.errstate(all="ignore"):
        reason = trouble(engine)
    assert reason is not None
    assert reason.startswith(f"the engine fails the self-test {vector!r}: ")


def test_the_first_wrong_engine_of_several_counts() -> None:
    engine, _ = WRONG["stale"]
    assert trouble(NumpyEngine(), engine) is not None


def test_an_engine_that_fails_is_trouble() -> None:
    class Broken:
        def load(self, model: bytes) -> NumpyModel:
            raise EngineError("no such kernel")

    assert trouble(Broken()) == "the engine fails the self-test 'sums of 1': no such kernel"


def test_the_twin_runs_what_is_meant_for_it() -> None:
    """Among others, every convolution of bytes, and products of the largest bytes and weights."""
    with_twin = {vector.name for vector in vectors() if twin(prove(vector.model).canonical) is not None}
    meant = {vector.name for vector in vectors() if "bytes" in vector.name}
    assert meant - with_twin == {"bytes, 2 terms", "bytes, 64 terms"}, (
        "too few terms to repay sums of 32 bits"
    )
