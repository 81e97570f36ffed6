"""Which peers a fetch asks, whom it believes, and how bytes are rationed."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.blobs.core import (
    FAILURES_MAX,
    IN_FLIGHT_MAX,
    LATE_S,
    PER_PEER_MAX,
    REST_S,
    Ask,
    Fetch,
    Proved,
    Throttle,
    Verdict,
)
from node.blobs.messages import (
    CHUNK_ANSWER,
    MANIFEST_ANSWER,
    REQUEST,
    Absence,
    Request,
    blob_id,
    chunks_of,
    manifest_of,
)
from node.network.identity import PeerId
from tests.node.blobs.samples import LARGE, SMALL, answer_of, chunk_of

A, B, C = map(PeerId, "abc")
BLOB = blob_id(manifest_of(LARGE))
MISSING = MANIFEST_ANSWER.encode(Absence.MISSING)
BUSY = MANIFEST_ANSWER.encode(Absence.BUSY)


def honest(ask: Ask) -> bytes:
    return answer_of(LARGE, REQUEST.encode(Request(BLOB, ask.chunk)))


def fetch_from(*peers: PeerId) -> Fetch:
    """A fetch for which every peer has answered that it has the blob, all chunks put back."""
    fetch = Fetch(BLOB, peers)
    asks = fetch.ask(0)
    for ask in asks:
        assert fetch.answered(ask, honest(ask), 0) is Verdict.MANIFEST
    return fetch


def test_everybody_is_asked_for_the_manifest_first() -> None:
    fetch = Fetch(BLOB, [A, B])
    assert fetch.ask(0) == [Ask(A, None), Ask(B, None)]
    assert fetch.ask(0) == []


def test_chunks_are_spread_over_those_who_have_the_blob() -> None:
    assert fetch_from(A, B).ask(0) == [Ask(A, 0), Ask(B, 1), Ask(A, 2)]


def test_questions_are_bounded_for_each_peer_and_in_all() -> None:
    assert len(fetch_from(A).ask(0)) == PER_PEER_MAX
    assert len(Fetch(BLOB, [PeerId(str(each)) for each in range(9)]).ask(0)) == IN_FLIGHT_MAX


def test_honest_answers_complete_the_blob() -> None:
    fetch = fetch_from(A, B)
    got = {}
    while asks := fetch.ask(0):
        for ask in asks:
            judged = fetch.answered(ask, honest(ask), 0)
            assert isinstance(judged, Proved)
            got[judged.index] = judged.data
    assert fetch.is_done
    assert [got[index] for index in range(3)] == chunks_of(LARGE)


@pytest.mark.parametrize(
    "lie",
    [
        b"nonsense",
        CHUNK_ANSWER.encode(chunk_of(LARGE, 1)),
        CHUNK_ANSWER.encode(replace(chunk_of(LARGE, 0), data=chunk_of(LARGE, 1).data)),
    ],
)
def test_who_lies_about_a_chunk_is_asked_no_more_and_another_is(lie: bytes) -> None:
    fetch = fetch_from(A, B)
    first, *_ = fetch.ask(0)
    assert fetch.answered(first, lie, 0) is Verdict.LIE
    assert fetch.ask(0) == [Ask(B, 0)]


def test_who_lies_about_the_manifest_is_asked_no_more() -> None:
    fetch = Fetch(BLOB, [A])
    (ask,) = fetch.ask(0)
    assert fetch.answered(ask, MANIFEST_ANSWER.encode(manifest_of(SMALL)), 0) is Verdict.LIE
    assert fetch.is_hopeless
    assert fetch.ask(99) == []


def test_who_does_not_have_the_blob_is_asked_no_more() -> None:
    fetch = Fetch(BLOB, [A])
    (ask,) = fetch.ask(0)
    assert fetch.answered(ask, MISSING, 0) is Verdict.NOTHING
    assert fetch.is_hopeless


def test_who_is_busy_or_silent_rests_longer_each_time_and_is_given_up_in_the_end() -> None:
    fetch, now = Fetch(BLOB, [A]), 0.0
    for attempt in range(FAILURES_MAX):
        assert not fetch.is_hopeless
        (ask,) = fetch.ask(now)
        if attempt % 2:
            fetch.failed(ask, now)
        else:
            assert fetch.answered(ask, BUSY, now) is Verdict.NOTHING
        assert fetch.ask(now) == []
        assert attempt + 1 == FAILURES_MAX or fetch.wakes_at(now) == now + REST_S * 2**attempt
        now = fetch.wakes_at(now)
    assert fetch.is_hopeless


def test_who_is_late_keeps_nobody_from_asking_others() -> None:
    peers = [PeerId(str(each)) for each in range(IN_FLIGHT_MAX)]
    fetch = Fetch(BLOB, [*peers, A])
    assert fetch.ask(0) == [Ask(peer, None) for peer in peers]
    assert fetch.ask(LATE_S - 0.1) == []
    assert fetch.wakes_at(0) == LATE_S
    assert fetch.ask(LATE_S) == [Ask(A, None)]


def test_a_late_chunk_is_asked_of_others_and_taken_from_whoever_gives_it_first() -> None:
    fetch = fetch_from(A, B)
    slow, quick, slower = fetch.ask(0)
    assert (slow, quick, slower) == (Ask(A, 0), Ask(B, 1), Ask(A, 2))
    assert isinstance(fetch.answered(quick, honest(quick), 1), Proved)
    again = fetch.ask(LATE_S)
    assert sorted(again, key=str) == [Ask(B, 0), Ask(B, 2)]
    assert isinstance(fetch.answered(slow, honest(slow), LATE_S), Proved)
    for ask in again:
        assert isinstance(fetch.answered(ask, honest(ask), LATE_S), Proved)
    assert fetch.is_done
    fetch.failed(slower, LATE_S)
    assert fetch.is_done
    assert fetch.ask(LATE_S + 60) == []


def test_a_late_chunk_is_not_asked_again_of_the_same_peer() -> None:
    fetch = fetch_from(A)
    first, second = fetch.ask(0)
    assert fetch.ask(LATE_S) == []
    for ask in (first, second):
        assert isinstance(fetch.answered(ask, honest(ask), LATE_S), Proved)
    assert fetch.ask(LATE_S) == [Ask(A, 2)]


def test_without_peers_there_is_no_hope() -> None:
    assert Fetch(BLOB, []).is_hopeless


ANSWERS = st.sampled_from(["honest", "honest", "missing", "busy", "lie", "nothing"])


@given(st.lists(ANSWERS, max_size=30))
def test_a_fetch_ends_done_or_hopeless_whatever_peers_do(behaviour: list[str]) -> None:
    fetch, now, open_asks, acts = Fetch(BLOB, [A, B, C]), 0.0, list[Ask](), iter(behaviour)
    for steps in count():
        assert steps < 200
        open_asks += fetch.ask(now)
        assert len(open_asks) <= IN_FLIGHT_MAX
        if fetch.is_done or fetch.is_hopeless:
            break
        if not open_asks:
            assert now < fetch.wakes_at(now) < float("inf")
            now = fetch.wakes_at(now)
            continue
        ask = open_asks.pop(0)
        match next(acts, "honest"):
            case "nothing":
                fetch.failed(ask, now)
            case "honest":
                judged = fetch.answered(ask, honest(ask), now)
                assert judged is Verdict.MANIFEST if ask.chunk is None else isinstance(judged, Proved)
            case "missing":
                assert fetch.answered(ask, MISSING, now) is Verdict.NOTHING
            case "busy":
                assert fetch.answered(ask, BUSY, now) is Verdict.NOTHING
            case "lie":
                assert fetch.answered(ask, b"?", now) is Verdict.LIE


def test_a_burst_is_free_and_then_bytes_are_paid_for_with_time() -> None:
    throttle = Throttle(bytes_per_s=100, burst_bytes=200)
    assert [throttle.wait_s(100, 50, 9) for _ in range(5)] == [0, 0, 0, 1, 2]


def test_a_request_that_would_wait_too_long_is_granted_nothing() -> None:
    throttle = Throttle(bytes_per_s=100, burst_bytes=100)
    assert throttle.wait_s(1000, 0, 1) == 0
    assert throttle.wait_s(100, 0, 1) is None
    assert throttle.wait_s(100, 9.0, 1) == 0


def test_a_rest_refills_the_budget_up_to_the_burst() -> None:
    throttle = Throttle(bytes_per_s=100, burst_bytes=100)
    throttle.wait_s(100, 0, 9)
    assert [throttle.wait_s(100, 1000, 9) for _ in range(3)] == [0, 0, 1]
