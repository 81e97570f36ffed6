import struct
from contextlib import suppress
from importlib.metadata import version
from typing import NamedTuple

import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_WINDOW_UPDATE, YAMUX_HEADER_FORMAT

from node.network.counters import Counters
from node.network.identity import peer_id_of
from node.network.muxer import (
    BUFFER_BYTES_MAX,
    INBOUND_STREAMS_MAX,
    WINDOW_BYTES,
    BoundedYamux,
    MuxerViolation,
)
from node.network.transport import Socket, Upgrader
from tests.node.network.networks import eventually, seed

INITIAL_WINDOW = 256 * 1024


class Pair(NamedTuple):
    attacker: BoundedYamux
    victim: BoundedYamux
    counters: Counters


async def connect(nursery: trio.Nursery) -> Pair:
    """Two ends of one connection; the attacker's is read, the victim's only when the test says so."""
    counters = Counters()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    accepted: list[BoundedYamux] = []

    async def accept() -> None:
        async with listener:
            stream = await listener.accept()
        accepted.append(await Upgrader(seed(1), counters).inbound(Socket(stream, counters)))

    async with trio.open_nursery() as handshake:
        handshake.start_soon(accept)
        stream = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        attacker = await Upgrader(seed(2), Counters()).outbound(
            Socket(stream, Counters()), peer_id_of(seed(1))
        )
    nursery.start_soon(receive, attacker)
    return Pair(attacker, accepted[0], counters)


async def receive(muxer: BoundedYamux) -> None:
    with suppress(ConnectionClosedError, IncompleteReadError):
        await muxer.run()


async def accept_all(muxer: BoundedYamux) -> None:
    while True:
        await muxer.accept_stream()


def held(muxer: BoundedYamux) -> int:
    return sum(map(len, muxer.stream_buffers.values()))


async def send(
    muxer: BoundedYamux, kind: int, flags: int, stream_id: int, length: int, body: bytes = b""
) -> None:
    await muxer.secured_conn.write(struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, stream_id, length) + body)


def test_the_base_class_is_the_one_that_was_read() -> None:
    assert version("libp2p") == "0.8.1"


async def test_bytes_arrive_in_both_directions(nursery: trio.Nursery) -> None:
    attacker, victim, _ = await connect(nursery)
    nursery.start_soon(receive, victim)
    stream = await attacker.open_stream()
    other = await victim.accept_stream()
    data = bytes(range(256)) * 20_000
    nursery.start_soon(stream.write, data)
    received = b""
    while len(received) < len(data):
        received += await other.read(1 << 16)
        assert held(victim) <= WINDOW_BYTES
    assert received == data
    await other.write(b"back")
    assert await stream.read(10) == b"back"
    nursery.cancel_scope.cancel()


async def test_more_than_the_window_resets_the_stream(nursery: trio.Nursery) -> None:
    attacker, victim, counters = await connect(nursery)
    nursery.start_soon(receive, victim)
    stream = await attacker.open_stream()
    bystander = await attacker.open_stream()
    body = bytes(INITIAL_WINDOW)
    await send(attacker, TYPE_DATA, 0, stream.stream_id, len(body), body)
    for _ in range(20):
        await send(attacker, TYPE_DATA, 0, stream.stream_id, len(body), body)
    with pytest.raises(MuxedStreamError):
        await stream.read(1)
    assert held(victim) == 0
    assert counters.streams_flooded == 1
    await bystander.write(b"still here")
    await victim.accept_stream()
    accepted = await victim.accept_stream()
    assert await accepted.read(100) == b"still here"
    nursery.cancel_scope.cancel()


async def test_many_streams_together_stay_below_the_total(nursery: trio.Nursery) -> None:
    attacker, victim, counters = await connect(nursery)
    nursery.start_soon(receive, victim)
    body = bytes(INITIAL_WINDOW)
    streams = BUFFER_BYTES_MAX // INITIAL_WINDOW + 4
    for _ in range(streams):
        stream = await attacker.open_stream()
        await victim.accept_stream()
        await send(attacker, TYPE_DATA, 0, stream.stream_id, len(body), body)
    await eventually(lambda: counters.streams_flooded == 4)
    assert held(victim) == BUFFER_BYTES_MAX
    nursery.cancel_scope.cancel()


async def test_too_many_streams_are_reset(nursery: trio.Nursery) -> None:
    attacker, victim, _ = await connect(nursery)
    nursery.start_soon(receive, victim)
    for _ in range(INBOUND_STREAMS_MAX):
        await attacker.open_stream()
        await victim.accept_stream()
    stream = await attacker.open_stream()
    with pytest.raises(MuxedStreamError):
        await stream.read(1)
    assert len(victim.streams) == INBOUND_STREAMS_MAX
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("kind", "flags", "stream_id", "length"),
    [
        (TYPE_DATA, FLAG_SYN, 1, WINDOW_BYTES + 1),
        (TYPE_WINDOW_UPDATE, FLAG_SYN, 2, 0),
        (9, 0, 1, 0),
    ],
    ids=["frame larger than any window", "stream id of the other side", "unknown type"],
)
async def test_breaking_the_protocol_ends_the_connection(
    nursery: trio.Nursery, kind: int, flags: int, stream_id: int, length: int
) -> None:
    attacker, victim, _ = await connect(nursery)
    await send(attacker, kind, flags, stream_id, length)
    with pytest.raises(MuxerViolation):
        await victim.run()
    assert victim.is_closed
    nursery.cancel_scope.cancel()


async def test_shutdown_wakes_readers_and_refuses_new_streams(nursery: trio.Nursery) -> None:
    attacker, victim, _ = await connect(nursery)
    stream = await attacker.open_stream()

    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        attacker.shutdown()

    nursery.start_soon(close)
    with pytest.raises(MuxedStreamError):
        await stream.read(1)
    with pytest.raises(MuxedStreamError):
        await attacker.open_stream()
    victim.shutdown()
    nursery.cancel_scope.cancel()


async def test_a_writer_cancelled_within_a_frame_leaves_the_connection_whole(nursery: trio.Nursery) -> None:
    attacker, victim, _ = await connect(nursery)

    async def fill_the_socket() -> None:
        while True:
            await (await attacker.open_stream()).write(bytes(INITIAL_WINDOW))

    async with trio.open_nursery() as writing:
        writing.start_soon(fill_the_socket)
        await trio.testing.wait_all_tasks_blocked(0.2)
        writing.cancel_scope.cancel()
        nursery.start_soon(receive, victim)
        nursery.start_soon(accept_all, victim)
    fresh = await attacker.open_stream()
    await fresh.write(b"intact")
    await eventually(lambda: bytes(victim.stream_buffers.get(fresh.stream_id, b"")) == b"intact")
    nursery.cancel_scope.cancel()
