"""A float model and its exact form side by side: what is counted, and what cannot be compared."""

from collections.abc import Sequence

import pytest

from inference.comparison import compare
from inference.converter.convert import convert
from inference.converter.options import Options, unwatched
from inference.converter.program import Sink
from inference.converter.understanding import understand
from inference.engines.interface import EngineError, InferenceEngine, LoadedModel
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.prover import Proof, prove
from inference.refusal import Refused
from inference.tensor import Tensor
from tests.models.load import load

MODEL = load("diagnosis_mlp")


class Flipped:
    """Gives the float32 engine's outputs with one bit of the first wrong."""

    def load(self, model: bytes) -> LoadedModel:
        self._model = OnnxRuntimeEngine().load(model)
        return self

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        first, *rest = self._model.run(inputs)
        return Tensor(
            dtype=first.dtype, shape=first.shape, data=bytes([first.data[0] ^ 1]) + first.data[1:]
        ), *rest


class Opposite:
    """Gives the outputs of the float32 engine with every bit of every score turned over."""

    def load(self, model: bytes) -> LoadedModel:
        self._model = OnnxRuntimeEngine().load(model)
        return self

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(dtype=each.dtype, shape=each.shape, data=bytes(255 - byte for byte in each.data))
            for each in self._model.run(inputs)
        )


class Broken:
    """Takes no model."""

    def load(self, model: bytes) -> LoadedModel:
        raise EngineError("out of order")


@pytest.fixture(scope="module")
def proof() -> Proof:
    return prove(convert(MODEL.model, MODEL.samples, MODEL.held_out, Options(), OnnxRuntimeEngine()).model)


def test_engines_are_counted_against_the_float_model_and_each_other(proof: Proof) -> None:
    engines: dict[str, InferenceEngine] = {
        "ort": OnnxRuntimeEngine(),
        "numpy": NumpyEngine(),
        "flipped": Flipped(),
        "broken": Broken(),
    }
    labels = [int(label) for label in MODEL.labels][:40]
    original, ort, numpy, flipped, broken = compare(
        understand(MODEL.model), proof, MODEL.held_out[:40], labels, engines, unwatched
    )
    assert (original.name, ort.name) == ("float", "ort")
    assert ort.identical == numpy.identical == 40
    assert flipped.identical == 0
    assert broken.trouble == "out of order"
    assert ort.matched >= 39
    assert ort.positions == 40
    assert ort.right is not None
    assert original.right is not None
    assert ort.right >= 36
    assert all(each.latency_us > 0 for each in (original, ort, numpy))


def test_another_answer_matches_nowhere(proof: Proof) -> None:
    engines: dict[str, InferenceEngine] = {"ort": OnnxRuntimeEngine(), "opposite": Opposite()}
    _, exact, opposite = compare(understand(MODEL.model), proof, MODEL.held_out[:40], [], engines, unwatched)
    assert (opposite.matched, opposite.positions, opposite.right) == (40 - exact.matched, 40, None)


def test_two_models_of_different_inputs_cannot_be_compared(proof: Proof) -> None:
    with pytest.raises(Refused, match="was it made of another"):
        compare(
            understand(load("wine_logistic").model), proof, [], [], {"ort": OnnxRuntimeEngine()}, unwatched
        )


def test_the_first_engine_must_work(proof: Proof) -> None:
    with pytest.raises(EngineError, match="out of order"):
        compare(understand(MODEL.model), proof, MODEL.held_out, [], {"broken": Broken()}, unwatched)


def test_classes_lie_where_the_cut_softmax_ran() -> None:
    assert Sink(name="y", step="y", head_axis=1).axis((1, 4, 7)) == 1
    assert Sink(name="y", step="y", class_axis=-1, head_axis=1).axis((1, 4, 7)) == 2
    assert Sink(name="y", step="y").axis((1, 4, 7)) == 2
    assert Sink(name="y", step="y").axis((1, 4, 7, 7)) == 1
