"""Visits to nodes that are not what they say."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from node.network.counters import Counters
from node.network.identity import Address, peer_id_of
from node.network.muxer import BoundedYamux
from node.network.requests import RequestFailed
from node.network.transport import Socket, Upgrader
from tests.node.network.networks import PATIENCE_S, SERVICE, config, seed, start

Answer = Callable[[trio.SocketStream, BoundedYamux], Awaitable[None]]


async def not_noise(stream: trio.SocketStream, _: BoundedYamux) -> None:
    """A Noise message that does not decrypt."""
    await stream.send_all(b"\x00\x40" + b"\x5a" * 64)
    await trio.sleep_forever()


async def not_yamux(_: trio.SocketStream, muxer: BoundedYamux) -> None:
    await muxer.secured_conn.write(b"\xff" * 12)
    await trio.sleep_forever()


async def nothing(stream: trio.SocketStream, _: BoundedYamux) -> None:
    await stream.aclose()


@pytest.mark.parametrize("answer", [not_noise, not_yamux, nothing])
async def test_whatever_a_visited_node_does_is_a_question_without_an_answer(
    nursery: trio.Nursery, answer: Answer
) -> None:
    async def host(stream: trio.SocketStream) -> None:
        muxer = await Upgrader(seed(2), Counters()).inbound(Socket(stream, Counters()))
        await answer(stream, muxer)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, host, listeners)
    port = listeners[0].socket.getsockname()[1]
    visitor = await start(nursery, config(1))
    where = Address(host="127.0.0.1", port=port, peer_id=peer_id_of(seed(2)))
    with pytest.raises(RequestFailed):
        await visitor.visit(where, SERVICE, b"", timeout_s=PATIENCE_S, response_bytes_max=100)
    nursery.cancel_scope.cancel()
