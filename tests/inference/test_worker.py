"""The worker's service: what it answers when its engine is broken."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from inference import messages, worker
from inference.certificate import VERDICT_BYTES_MAX, proof_gas
from inference.encoding import greatest
from inference.engines.interface import InferenceEngine
from inference.engines.reference import NumpyEngine
from inference.evaluation import Cell, Classified, Metric, Row, Unusable, encode_dataset, evaluation_gas
from inference.prover import prove
from inference.sessions import Sessions
from inference.tensor import Tensor, from_integers
from inference.worker import Service
from primitives.hashing import blake2b_256
from tests.inference.build import two_layers

INPUTS = (from_integers("int8", (1, 3), (5, -7, 100)),)
SCORES = from_integers("int32", (1, 2), (2050, -2530))
CLASS = from_integers("int64", (1,), (0,))
RIGHT = greatest(SCORES)
ROWS = [Row(INPUTS, from_integers("uint8", (), (label,))) for label in (RIGHT, 1 - RIGHT, RIGHT)]


class Scripted:
    """An engine whose models are sound on zeros and then return what they are told to."""

    def __init__(self, outputs: tuple[Tensor, ...]) -> None:
        self._outputs = outputs

    def load(self, model: bytes) -> "ScriptedModel":
        return ScriptedModel(model, self._outputs)


class ScriptedModel:
    def __init__(self, model: bytes, outputs: tuple[Tensor, ...]) -> None:
        self._sound, self._outputs = NumpyEngine().load(model), outputs

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self._outputs if any(inputs[0].data) else self._sound.run(inputs)


def answer(outputs: tuple[Tensor, ...]) -> messages.Reply:
    """What the service says of a run whose engine returns `outputs`."""
    service, model = Service(Scripted(outputs), Sessions(0), lambda gas: None), two_layers()
    assert service.answer(messages.Load(model=model)) == messages.Loaded()
    return service.answer(messages.Run(file_hash=blake2b_256(model), inputs=INPUTS))


def test_outputs_within_their_bounds_are_returned() -> None:
    assert answer((SCORES, CLASS)) == messages.Outputs(outputs=(SCORES, CLASS))


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ((from_integers("int32", (1, 2), (4091, 0)), CLASS), "outside their proved range"),
        ((from_integers("int32", (1, 2), (0, -5101)), CLASS), "outside their proved range"),
        ((SCORES, from_integers("int64", (1,), (2,))), "outside their proved range"),
        ((SCORES,), "the wrong tensors"),
        ((from_integers("int32", (2,), (1, 2)), CLASS), "the wrong tensors"),
    ],
)
def test_impossible_outputs_are_a_failure_of_the_engine(outputs: tuple[Tensor, ...], why: str) -> None:
    reply = answer(outputs)
    assert isinstance(reply, messages.Failed)
    assert why in reply.reason


def test_each_request_may_take_the_time_of_its_gas() -> None:
    allowed: list[int] = []
    service, model = Service(NumpyEngine(), Sessions(0), allowed.append), two_layers()
    gas = prove(model).certificate.gas
    service.answer(messages.Prove(model=model))
    assert allowed == [proof_gas(len(model))]
    service.answer(messages.Load(model=model))
    assert allowed[1:] == [proof_gas(len(model)), gas]
    service.answer(messages.Run(file_hash=blake2b_256(model), inputs=INPUTS))
    assert allowed[3:] == [gas]
    request = replace(evaluating(ROWS), rows=7)
    service.answer(request)
    assert allowed[4:] == [evaluation_gas(request.certificate, request.metric, 7, len(request.data))]


def evaluating(rows: Sequence[Row]) -> messages.Evaluate:
    model = two_layers()
    return messages.Evaluate(
        file_hash=blake2b_256(model),
        certificate=prove(model).certificate,
        metric=Metric.CLASSIFICATION,
        rows=len(rows),
        data=encode_dataset(rows),
    )


def evaluated(engine: InferenceEngine, request: messages.Evaluate) -> messages.Reply:
    """What the service says to a request about a model that it has loaded."""
    service = Service(engine, Sessions(0), lambda gas: None)
    assert service.answer(request) == messages.NotLoaded()
    assert service.answer(messages.Load(model=two_layers())) == messages.Loaded()
    return service.answer(request)


def test_an_evaluation_counts_every_row() -> None:
    found = evaluated(NumpyEngine(), evaluating(ROWS))
    assert found == Classified(3, 2, (Cell(RIGHT, RIGHT, 2), Cell(1 - RIGHT, RIGHT, 1)))


def test_a_data_set_that_does_not_fit_is_a_verdict_without_a_run() -> None:
    assert evaluated(Scripted(()), replace(evaluating(ROWS), rows=4)) == Unusable(3, "it has 3 rows, not 4")


def test_impossible_outputs_are_no_evaluation() -> None:
    reply = evaluated(Scripted((from_integers("int32", (1, 2), (4091, 0)), CLASS)), evaluating(ROWS))
    assert isinstance(reply, messages.Failed)
    assert "outside their proved range" in reply.reason


def test_a_model_that_was_proved_otherwise_is_not_evaluated() -> None:
    request = evaluating(ROWS)
    other = replace(request.certificate, gas=request.certificate.gas + 1)
    reply = evaluated(Scripted(()), replace(request, certificate=other))
    assert reply == messages.Failed(reason="this machine contradicts the proof of the model")


def test_a_model_that_was_put_away_is_neither_read_nor_proved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    service, model = Service(NumpyEngine(), Sessions(0), lambda gas: None), two_layers()
    other = two_layers(metadata={"exact.scale.x": "2/1"})
    for each in (model, other):
        assert service.answer(messages.Load(model=each)) == messages.Loaded()
    request = messages.Run(file_hash=blake2b_256(model), inputs=INPUTS)
    assert service.answer(request) == messages.NotLoaded()
    monkeypatch.delattr(worker, "prove")
    assert service.answer(messages.Load(model=model)) == messages.Loaded()
    assert service.answer(request) == messages.Outputs(outputs=(SCORES, CLASS))


def test_proved_files_are_remembered_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [two_layers(metadata={"exact.scale.x": f"{scale}/1"}) for scale in range(1, 5)]
    each = len(prove(models[0]).canonical) + VERDICT_BYTES_MAX
    monkeypatch.setattr(worker, "PROVED_BYTES_MAX", 2 * each)
    service = Service(NumpyEngine(), Sessions(0), lambda gas: None)
    for at in (0, 1, 0, 2):
        service.answer(messages.Load(model=models[at]))
    assert list(service.proved) == [blake2b_256(models[at]) for at in (0, 2)]
    monkeypatch.setattr(worker, "PROVED_BYTES_MAX", 2 * each - 1)
    service.answer(messages.Load(model=models[3]))
    assert list(service.proved) == [blake2b_256(models[3])]


class Hungry:
    """An engine that runs out of memory."""

    def load(self, model: bytes) -> ScriptedModel:
        raise MemoryError


def test_a_worker_without_memory_says_so() -> None:
    service = Service(Hungry(), Sessions(0), lambda gas: None)
    reply = service.answer(messages.Load(model=two_layers()))
    assert reply == messages.Failed(reason="the worker ran out of memory")
