"""The worker's service: what it answers when its engine is broken."""

from collections.abc import Sequence

import pytest

from inference import messages
from inference.engines.reference import NumpyEngine
from inference.tensor import Tensor, from_integers
from inference.worker import Service
from primitives.hashing import blake2b_256
from tests.inference.build import two_layers

INPUTS = (from_integers("int8", (1, 3), (5, -7, 100)),)
SCORES = from_integers("int32", (1, 2), (2050, -2530))
CLASS = from_integers("int64", (1,), (0,))


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
    service, model = Service(Scripted(outputs)), two_layers()
    assert service.answer(messages.Load(model=model)) == messages.Loaded()
    return service.answer(messages.Run(file_hash=blake2b_256(model), inputs=INPUTS))


def test_outputs_within_their_bounds_are_returned() -> None:
    assert answer((SCORES, CLASS)) == messages.Outputs(tensors=(SCORES, CLASS))


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


def test_an_engine_that_fails_the_self_test_says_why() -> None:
    reply = Service(Scripted((SCORES, CLASS))).answer(messages.SelfTest())
    assert isinstance(reply, messages.Failed)
    assert reply.reason.startswith("the engine fails the self-test")
