"""Which models a worker keeps."""

import pytest

from inference.engines.reference import NumpyEngine
from inference.prover import prove
from inference.sessions import Session, Sessions
from tests.inference.build import two_layers

PROOF = prove(two_layers())
SESSION = Session(PROOF.certificate, NumpyEngine().load(PROOF.canonical))


def hashes(count: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in range(count)]


def kept(sessions: Sessions, among: list[bytes]) -> list[bool]:
    """Which of them are kept; looking one up makes it the last used."""
    return [sessions.get(each) is not None for each in among]


def test_a_session_takes_what_its_certificate_says() -> None:
    assert SESSION.bytes > PROOF.certificate.peak_bytes + PROOF.certificate.size_bytes


def test_the_model_unused_for_longest_goes_first() -> None:
    sessions = Sessions(3 * SESSION.bytes)
    first, second, third, fourth = hashes(4)
    for each in (first, second, third):
        sessions.put(each, SESSION)
    assert sessions.get(first) is SESSION
    sessions.put(fourth, SESSION)
    assert kept(sessions, [first, second, third, fourth]) == [True, False, True, True]


@pytest.mark.parametrize("bytes_max", [0, SESSION.bytes - 1])
def test_a_model_larger_than_the_bound_is_kept_alone(bytes_max: int) -> None:
    sessions = Sessions(bytes_max)
    first, second = hashes(2)
    sessions.put(first, SESSION)
    sessions.put(second, SESSION)
    assert kept(sessions, [first, second]) == [False, True]


def test_a_model_that_is_put_again_counts_once() -> None:
    sessions = Sessions(2 * SESSION.bytes)
    first, second = hashes(2)
    for each in (first, first, first, second):
        sessions.put(each, SESSION)
    assert kept(sessions, [first, second]) == [True, True]


def test_nothing_is_left_after_clearing() -> None:
    sessions = Sessions(SESSION.bytes)
    sessions.put(hashes(1)[0], SESSION)
    sessions.clear()
    assert kept(sessions, hashes(1)) == [False]
