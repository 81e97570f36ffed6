"""Clients that hold on to the server: slow headers, answers that nobody reads, many connections."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.rpc.server import CONNECTIONS_MAX, WRITE_TIMEOUT_S, HttpServer

PATIENCE_S = 20.0
LONG = bytes(64 << 20)
"""More than two sockets hold."""


async def answer(_: Request) -> Response:
    return Response(LONG)


@pytest.fixture
async def server(nursery: trio.Nursery) -> AsyncIterator[HttpServer]:
    server = HttpServer([Route("/long", answer)], 0, "--rpc-port")
    nursery.start_soon(server.run)
    yield server
    nursery.cancel_scope.cancel()


async def connect(server: HttpServer) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", server.port)


async def closed(stream: trio.SocketStream) -> None:
    """Wait until the server has closed the connection."""
    with trio.fail_after(PATIENCE_S):
        try:
            while await stream.receive_some(1 << 20):
                pass
        except trio.BrokenResourceError:
            pass
    await stream.aclose()


async def begin_to_read(stream: trio.SocketStream) -> None:
    """Ask, read so much that the answer is under way, and no more."""
    await stream.send_all(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    arrived = 0
    while arrived < 100_000:
        arrived += len(await stream.receive_some(10_000))


async def test_headers_in_drops_are_cut_off(server: HttpServer, nursery: trio.Nursery) -> None:
    stream = await connect(server)

    async def drip() -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 10_000:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.2)

    nursery.start_soon(drip)
    await closed(stream)


async def test_a_silent_connection_is_cut_off(server: HttpServer) -> None:
    await closed(await connect(server))


async def test_connections_are_bounded(server: HttpServer) -> None:
    streams = [await connect(server) for _ in range(CONNECTIONS_MAX)]
    await closed(await connect(server))
    for stream in streams:
        await stream.aclose()


async def test_an_answer_that_nobody_reads_does_not_stop_the_stop() -> None:
    server = HttpServer([Route("/long", answer)], 0, "--rpc-port")
    with trio.fail_after(WRITE_TIMEOUT_S / 2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            stream = await connect(server)
            await begin_to_read(stream)
            nursery.cancel_scope.cancel()
    await stream.aclose()


async def test_an_answer_that_nobody_reads_is_given_up(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.rpc.server.WRITE_TIMEOUT_S", 0.2)
    stream = await connect(server)
    await begin_to_read(stream)
    await trio.sleep(1)  # while nothing is read
    arrived = 0
    with trio.fail_after(PATIENCE_S), suppress(trio.BrokenResourceError):
        while part := await stream.receive_some(1 << 20):
            arrived += len(part)
    assert arrived < len(LONG) // 2
    await stream.aclose()
