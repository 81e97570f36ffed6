"""Blobs between nodes, over a network in memory."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.blobs.messages import CHUNK_BYTES, REQUEST, BlobId, Request, blob_id, manifest_of
from node.blobs.service import BURST_BYTES, SERVED_BYTES_PER_S, BlobTooLong, BlobUnavailable
from node.blobs.store import BlobStore, StoreFull, StoreLimits
from node.network.identity import PeerId
from node.network.requests import RequestFailed, RequestFailure
from node.network.streams import ProtocolViolation
from tests.node.blobs.samples import LARGE, SMALL, Hub, answer_of

LIAR = PeerId("liar")
BLOB = blob_id(manifest_of(LARGE))


async def lie(peer: PeerId, payload: bytes) -> bytes:
    """Has the manifest, and other bytes."""
    if REQUEST.decode(payload).chunk is None:
        return answer_of(LARGE, payload)
    return answer_of(LARGE[::-1], payload)


async def silence(peer: PeerId, payload: bytes) -> bytes:
    raise RequestFailed(RequestFailure.TIMED_OUT)


async def hang(peer: PeerId, payload: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


def cut_off(store: Path) -> None:
    """Damage the one blob of a store."""
    (file,) = (store / "cached").iterdir()
    file.write_bytes(file.read_bytes()[:-1])


async def test_a_blob_is_fetched_from_peers_and_served_to_the_next(tmp_path: Path) -> None:
    hub = Hub()
    one, two, three = (hub.node(name, tmp_path) for name in ("one", "two", "three"))
    assert await one.put(LARGE) == BLOB
    assert await two.get(BLOB) == LARGE
    assert BLOB in two
    del hub.handlers[PeerId("one")]
    assert await three.get(BLOB) == LARGE
    assert hub.penalties == []


async def test_a_blob_that_is_here_is_not_asked_for(tmp_path: Path) -> None:
    hub = Hub()
    node = hub.node("one", tmp_path)
    blob = await node.put(SMALL)
    assert await node.get(blob) == SMALL
    assert hub.asked == []


async def test_a_lying_peer_is_charged_and_the_fetch_succeeds(tmp_path: Path) -> None:
    hub = Hub({LIAR: lie})
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    assert await two.get(BLOB) == LARGE
    assert set(hub.penalties) == {LIAR}


async def test_a_silent_peer_is_left_for_another(tmp_path: Path) -> None:
    hub = Hub({PeerId("silent"): silence})
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    assert await two.get(BLOB) == LARGE
    assert hub.penalties == []


async def test_a_blob_that_nobody_has_is_unavailable(tmp_path: Path, autojump_clock: MockClock) -> None:
    hub = Hub({LIAR: lie, PeerId("silent"): silence})
    hub.node("one", tmp_path)
    two = hub.node("two", tmp_path)
    with pytest.raises(BlobUnavailable, match=BLOB.hex()):
        await two.get(BLOB)
    assert (two.used_bytes, BLOB in two) == (0, False)


async def test_a_blob_that_is_longer_than_wanted_is_neither_fetched_nor_kept(tmp_path: Path) -> None:
    hub = Hub()
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    for node in (one, two):
        with pytest.raises(BlobTooLong) as refusal:
            await node.get(BLOB, pinned=True, bytes_max=len(LARGE) - 1)
        assert refusal.value.size_bytes == len(LARGE)
    assert hub.asked == [("one", None)]
    assert two.used_bytes == 0
    assert await two.get(BLOB, bytes_max=len(LARGE)) == LARGE


async def test_those_who_want_the_same_blob_share_one_fetch(tmp_path: Path) -> None:
    hub = Hub()
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(two.ensure, BLOB)
    assert sorted(hub.asked, key=str) == [("one", 0), ("one", 1), ("one", 2), ("one", None)]


async def test_a_fetch_that_is_cancelled_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    hub = Hub({PeerId("silent"): hang})
    two = hub.node("two", tmp_path)
    with trio.move_on_after(0):
        await two.get(BLOB)
    assert two.used_bytes == 0
    hub.handlers.clear()
    await hub.node("one", tmp_path).put(LARGE)
    assert await two.get(BLOB) == LARGE


async def test_a_fetched_blob_can_be_pinned_on_arrival_and_later(tmp_path: Path) -> None:
    hub = Hub()
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    await two.ensure(BLOB, pinned=True)
    await one.ensure(BLOB, pinned=True)
    for name in ("one", "two"):
        again = BlobStore(tmp_path / name, StoreLimits(count_max=1))
        with pytest.raises(StoreFull):
            again.put(SMALL, pinned=False)


async def test_a_blob_damaged_on_disk_is_fetched_again(tmp_path: Path) -> None:
    hub = Hub()
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    await two.put(LARGE)
    cut_off(tmp_path / "two")
    assert await two.get(BLOB) == LARGE


async def test_a_damaged_blob_is_not_served(tmp_path: Path) -> None:
    hub = Hub()
    one, two = (hub.node(name, tmp_path) for name in ("one", "two"))
    await one.put(LARGE)
    cut_off(tmp_path / "one")
    with pytest.raises(BlobUnavailable):
        await two.get(BLOB)
    assert hub.penalties == []


async def test_a_full_store_refuses_a_fetch_in_one_line(tmp_path: Path) -> None:
    hub = Hub()
    one, two = hub.node("one", tmp_path), hub.node("two", tmp_path, size_bytes_max=CHUNK_BYTES)
    await one.put(LARGE)
    with pytest.raises(StoreFull, match="is full"):
        await two.get(BLOB)
    assert two.used_bytes == 0


@pytest.mark.parametrize("payload", [b"", REQUEST.encode(Request(BLOB, 3))])
async def test_a_malformed_request_or_one_beyond_the_end_is_a_violation(
    tmp_path: Path, payload: bytes
) -> None:
    node = Hub().node("one", tmp_path)
    await node.put(LARGE)
    with pytest.raises(ProtocolViolation):
        await node.answer(LIAR, payload)


async def test_what_is_served_is_rationed(tmp_path: Path, autojump_clock: MockClock) -> None:
    node = Hub().node("one", tmp_path)
    blob = await node.put(bytes(CHUNK_BYTES))
    start = trio.current_time()
    served = (BURST_BYTES + SERVED_BYTES_PER_S) // CHUNK_BYTES
    for _ in range(served + 1):
        await node.answer(LIAR, REQUEST.encode(Request(blob, 0)))
    assert trio.current_time() - start == pytest.approx(1)


async def test_an_unknown_blob_costs_no_budget(tmp_path: Path, autojump_clock: MockClock) -> None:
    node = Hub().node("one", tmp_path)
    start = trio.current_time()
    for _ in range(100):
        await node.answer(LIAR, REQUEST.encode(Request(BlobId(bytes(32)), 0)))
    assert trio.current_time() == start
