"""Which models a worker keeps."""

from collections.abc import Sequence

import pytest

from inference.certificate import ready_bytes
from inference.engines.interface import EngineError
from inference.engines.reference import NumpyEngine
from inference.prover import prove
from inference.sessions import Session, Sessions
from inference.tensor import Tensor, from_integers
from tests.inference.build import two_layers

PROOF = prove(two_layers())
SESSION = Session(PROOF.certificate, NumpyEngine().load(PROOF.canonical))


READY = ready_bytes(PROOF.certificate)


def hashes(count: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in range(count)]


def kept(sessions: Sessions, among: list[bytes]) -> list[bool]:
    """Which of them are kept; looking one up makes it the last used."""
    return [sessions.get(each) is not None for each in among]


def test_a_session_takes_what_its_certificate_says() -> None:
    assert PROOF.certificate.peak_bytes + PROOF.certificate.size_bytes < READY


def test_the_model_unused_for_longest_goes_first() -> None:
    sessions = Sessions(3 * READY)
    first, second, third, fourth = hashes(4)
    for each in (first, second, third):
        sessions.put(each, SESSION)
    assert sessions.get(first) is SESSION
    sessions.put(fourth, SESSION)
    assert kept(sessions, [first, second, third, fourth]) == [True, False, True, True]


@pytest.mark.parametrize("bytes_max", [0, READY - 1])
def test_a_model_larger_than_the_bound_is_kept_alone(bytes_max: int) -> None:
    sessions = Sessions(bytes_max)
    first, second = hashes(2)
    sessions.put(first, SESSION)
    sessions.put(second, SESSION)
    assert kept(sessions, [first, second]) == [False, True]


def test_a_model_that_is_put_again_counts_once() -> None:
    sessions = Sessions(2 * READY)
    first, second = hashes(2)
    for each in (first, first, first, second):
        sessions.put(each, SESSION)
    assert kept(sessions, [first, second]) == [True, True]


def test_nothing_is_left_after_clearing() -> None:
    sessions = Sessions(READY)
    sessions.put(hashes(1)[0], SESSION)
    sessions.clear()
    assert kept(sessions, hashes(1)) == [False]


class Answering:
    """A loaded model that gives the same outputs whatever it is asked."""

    def __init__(self, score: int, label: int) -> None:
        self._outputs = (
            from_integers("int32", (1, 2), (score, 0)),
            from_integers("int64", (1,), (label,)),
        )

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self._outputs


@pytest.mark.parametrize(("score", "label"), [(-5101, 0), (4091, 0), (0, -1), (0, 2)])
def test_an_engine_that_leaves_the_proved_range_is_found_out(score: int, label: int) -> None:
    inputs = (from_integers("int8", (1, 3), (1, 2, 3)),)
    Session(PROOF.certificate, Answering(-5100, 1)).run(inputs)
    Session(PROOF.certificate, Answering(4090, 0)).run(inputs)
    with pytest.raises(EngineError, match="outside their proved range"):
        Session(PROOF.certificate, Answering(score, label)).run(inputs)
