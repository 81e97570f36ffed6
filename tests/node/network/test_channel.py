import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.network.channel import COALESCE_BYTES, Channel, ChannelLimits, Inbox, Lane, Received
from node.network.counters import Counters
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.network.streams import frame

LIMITS = ChannelLimits(
    frame_bytes_max=1000, queue_frames_max=3, queue_bytes_max=100, inbox_frames_max=4, inbox_bytes_max=100
)
WIDE = ChannelLimits(
    frame_bytes_max=1 << 20,
    queue_frames_max=1000,
    queue_bytes_max=1 << 20,
    inbox_frames_max=2,
    inbox_bytes_max=1 << 20,
)
A, B = PeerId("a"), PeerId("b")


def peer(peer_id: PeerId, session_key: bytes | None = None) -> PeerInfo:
    return PeerInfo(
        peer_id=peer_id,
        address="/ip4/127.0.0.1/tcp/1",
        outbound=False,
        role=Role.FULL,
        session_key=session_key,
        finalized_height=0,
    )


async def test_frames_leave_in_order_and_together() -> None:
    lane = Lane(LIMITS)
    assert lane.put(b"one", None)
    assert lane.put(b"two", None)
    assert await lane.take() == (2, frame(b"one") + frame(b"two"))


async def test_a_full_lane_loses_the_newest() -> None:
    lane = Lane(LIMITS)
    assert [lane.put(bytes([n]), None) for n in range(4)] == [True, True, True, False]
    assert await lane.take() == (3, frame(b"\0") + frame(b"\1") + frame(b"\2"))
    assert lane.put(b"again", None)


async def test_a_lane_is_full_by_bytes_but_takes_one_large_frame() -> None:
    lane = Lane(LIMITS)
    assert lane.put(b"x" * 500, None)
    assert not lane.put(b"y", None)


async def test_a_newer_frame_takes_the_place_of_the_one_it_replaces() -> None:
    lane = Lane(LIMITS)
    lane.put(b"vote 1", "vote")
    lane.put(b"other", None)
    lane.put(b"third", None)
    assert lane.put(b"vote 2", "vote")
    assert await lane.take() == (3, frame(b"vote 2") + frame(b"other") + frame(b"third"))


async def test_coalescing_stops_at_its_size() -> None:
    lane = Lane(WIDE)
    half = b"x" * (COALESCE_BYTES // 2)
    lane.put(half, None)
    lane.put(half, None)
    assert await lane.take() == (1, frame(half))
    assert await lane.take() == (1, frame(half))


async def test_a_large_frame_goes_alone() -> None:
    lane = Lane(WIDE)
    large = b"x" * (COALESCE_BYTES * 3)
    lane.put(large, None)
    lane.put(b"small", None)
    assert await lane.take() == (1, frame(large))
    assert await lane.take() == (1, frame(b"small"))


async def test_taking_waits_for_a_frame(nursery: trio.Nursery, autojump_clock: object) -> None:
    lane = Lane(LIMITS)

    async def put_later() -> None:
        await trio.sleep(1)
        lane.put(b"late", None)

    nursery.start_soon(put_later)
    assert await lane.take() == (1, frame(b"late"))


async def test_a_closed_lane_counts_what_it_loses() -> None:
    lane = Lane(LIMITS)
    lane.put(b"one", None)
    assert lane.close() == 1
    assert not lane.put(b"two", None)


@given(st.lists(st.tuples(st.binary(max_size=40), st.sampled_from([None, 1, 2])), max_size=40))
def test_a_lane_never_holds_more_than_its_bounds(frames: list[tuple[bytes, int | None]]) -> None:
    async def run() -> None:
        lane = Lane(LIMITS)
        queued: dict[object, bytes] = {}
        for data, replaces in frames:
            key = object() if replaces is None else replaces
            if lane.put(data, replaces):
                queued[key] = data
        assert len(queued) <= LIMITS.queue_frames_max
        assert sum(map(len, queued.values())) <= LIMITS.queue_bytes_max
        if queued:
            assert await lane.take() == (len(queued), b"".join(map(frame, queued.values())))

    trio.run(run)


async def test_one_peer_cannot_fill_the_inbox() -> None:
    inbox = Inbox(LIMITS)
    assert [inbox.put(Received(A, b"")) for _ in range(3)] == [True, True, False]
    assert [inbox.put(Received(B, b"")) for _ in range(3)] == [True, True, False]
    assert await inbox.receive() == Received(A, b"")
    assert inbox.put(Received(A, b"new"))


async def test_a_full_inbox_loses_the_newest() -> None:
    inbox = Inbox(WIDE)
    assert inbox.put(Received(A, b"1"))
    assert inbox.put(Received(B, b"2"))
    assert not inbox.put(Received(PeerId("c"), b"3"))
    assert [inbox.receive_nowait(), inbox.receive_nowait()] == [Received(A, b"1"), Received(B, b"2")]
    with pytest.raises(trio.WouldBlock):
        inbox.receive_nowait()


async def test_the_inbox_is_bounded_in_bytes_too() -> None:
    inbox = Inbox(LIMITS)
    assert inbox.put(Received(A, bytes(50)))
    assert not inbox.put(Received(A, b"1"))
    assert not inbox.put(Received(B, bytes(51)))
    assert inbox.put(Received(B, bytes(50)))
    for _ in range(2):
        await inbox.receive()
    assert inbox.put(Received(A, bytes(1000)))


async def test_a_frame_for_nobody_is_counted() -> None:
    counters = Counters()
    channel = Channel("/x", LIMITS, counters)
    assert not channel.send(A, b"data")
    assert counters.dropped_out["/x"] == 1


async def test_a_broadcast_reaches_those_it_is_for() -> None:
    channel = Channel("/x", LIMITS, Counters())
    urgent, bulk = channel.open(peer(A, b"key"))
    other, _ = channel.open(peer(B))
    assert channel.broadcast(b"vote", where=lambda info: info.session_key is not None, urgent=True) == 1
    assert channel.broadcast(b"block") == 2
    assert await urgent.take() == (1, frame(b"vote"))
    assert await bulk.take() == (1, frame(b"block"))
    assert other.close() == 0


async def test_a_closed_connection_takes_its_frames_along() -> None:
    counters = Counters()
    channel = Channel("/x", LIMITS, counters)
    lanes = channel.open(peer(A))
    channel.send(A, b"1")
    channel.close(lanes)
    assert counters.dropped_out["/x"] == 1
    assert not channel.send(A, b"2")


async def test_closing_an_older_connection_leaves_the_newer_alone() -> None:
    channel = Channel("/x", LIMITS, Counters())
    older = channel.open(peer(A))
    _, bulk = channel.open(peer(A))
    channel.close(older)
    assert channel.send(A, b"1")
    assert await bulk.take() == (1, frame(b"1"))
