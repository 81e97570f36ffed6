"""The HTTP server: Hypercorn under trio, and the route for JSON-RPC.

A web page in the operator's browser could reach a port on loopback, so requests must say that they are JSON
(which makes a browser ask first, and this server never agrees), and the Host header must be an address, not a
name that an attacker resolves to loopback.
"""

import ipaddress
import logging
import socket
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from node.rpc.dispatch import Dispatcher

LOGGER: Final = logging.getLogger(__name__)

REQUEST_BYTES_MAX: Final = 2 * 1024 * 1024
"""Longest JSON request: the largest extrinsic in hexadecimal, in a batch."""

CONCURRENT_REQUESTS_MAX: Final = 64
"""More requests at one time are told to come back."""

READ_TIMEOUT_S: Final = 10.0
"""A client that sends its request slower than this is hung up on."""

WRITE_TIMEOUT_S: Final = 10.0
"""A client that takes no part of its answer for this long is hung up on."""

WRITE_BYTES: Final = 256 * 1024
CONNECTIONS_MAX: Final = 256
"""Connections at one time; further ones are closed at once. Headers must come within five seconds."""

GONE_S: Final = 5.0
"""How long something is still done for a client that is gone."""

_GRACE_S: Final = 0.5


class PortInUse(Exception):
    """The address cannot be bound; the text says which, why and what to do."""


class HttpServer:
    """Serves routes on one port of the loopback interface."""

    def __init__(self, routes: Sequence[BaseRoute], port: int, option: str) -> None:
        """Binds at once, so that a busy port stops the start; port 0 picks a free one.

        `option` is the command-line option that names another port. Raises PortInUse.
        """
        self._application = Starlette(routes=routes)
        self._socket = _bind(port, option)
        self.port = int(self._socket.getsockname()[1])
        """The port that clients connect to."""

        self._connections: set[_Connection] = set()
        self._context = WorkerContext(None)
        self._emptied = trio.Event()
        """Set when the last connection has ended, while the server stops."""

    async def run(self) -> None:
        """Serve until cancelled; answers under way have a moment then, whatever their clients do."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
        async with trio.open_nursery() as handlers:
            try:
                await trio.serve_listeners(self._serve, [listener], handler_nursery=handlers)
            finally:
                await self._context.terminated.set()
                if self._connections:
                    with trio.move_on_after(_GRACE_S, shield=True):
                        await self._emptied.wait()
                for connection in self._connections:
                    connection.close_now()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection to its end."""
        connection = _Connection(stream)
        if len(self._connections) >= CONNECTIONS_MAX:
            connection.close_now()
            return
        config = Config()
        config.errorlog = None
        config.accesslog = None
        config.read_timeout = int(READ_TIMEOUT_S)
        self._connections.add(connection)
        try:
            application = ASGIWrapper(self._application)  # type: ignore[arg-type]  # hypercorn's own ASGI alias
            state = ConnectionState({})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.outlast, nursery.cancel_scope)
                # Typed for TLS, but it asks of a stream only what _Connection has.
                await TCPServer(application, config, self._context, state, connection)  # type: ignore[arg-type]
                nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - the boundary: Hypercorn raises on some of what clients send
            LOGGER.debug("a connection was given up: %r", error)
        finally:
            connection.close_now()
            self._connections.discard(connection)
            if not self._connections and self._context.terminated.is_set():
                self._emptied.set()

    def close(self) -> None:
        """Free the port of a server that never ran; one that ran has freed it."""
        self._socket.close()


class _Connection:
    """A client's connection, on which no write lasts for ever, and which can be closed from outside.

    Hypercorn shields its writes from cancellation, so that a client that reads nothing would keep a node from
    stopping.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket
        self._ended = trio.Event()
        """Set when nothing more comes from the client."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes | bytearray = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self._ended.set()
        return data

    async def outlast(self, scope: trio.CancelScope) -> None:
        """Cancel what still works for a client that is gone, a moment later.

        Hypercorn waits for ever for the stream of an HTTP/2 client that has left.
        """
        await self._ended.wait()
        await trio.sleep(GONE_S)
        scope.cancel()

    async def send_all(self, data: bytes) -> None:
        for start in range(0, len(data), WRITE_BYTES):
            with trio.move_on_after(WRITE_TIMEOUT_S) as scope:
                await self._stream.send_all(memoryview(data)[start : start + WRITE_BYTES])
            if scope.cancelled_caught:
                self.close_now()
                raise trio.BrokenResourceError("the client reads nothing")

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        """Whoever waits on it wakes with an error."""
        self.socket.close()


def rpc_route(dispatcher: Dispatcher) -> Route:
    """JSON-RPC at the root."""
    busy = trio.CapacityLimiter(CONCURRENT_REQUESTS_MAX)

    async def answer(request: Request) -> Response:
        refusal = refuse_foreign(request, "application/json")
        if refusal is not None:
            return refusal
        try:
            busy.acquire_on_behalf_of_nowait(request)
        except trio.WouldBlock:
            return PlainTextResponse("too many requests at one time; try again", status_code=503)
        try:
            return await _answer(request, dispatcher)
        finally:
            busy.release_on_behalf_of(request)

    return Route("/", answer, methods=["POST"])


async def _answer(request: Request, dispatcher: Dispatcher) -> Response:
    try:
        body = await read_body(request, REQUEST_BYTES_MAX, READ_TIMEOUT_S)
    except trio.TooSlowError:
        return PlainTextResponse("the request took too long to arrive", status_code=408)
    except ClientDisconnect:
        return Response(status_code=400)
    if body is None:
        return PlainTextResponse(f"a request has at most {REQUEST_BYTES_MAX} bytes", status_code=413)
    answer = await dispatcher.answer(body)
    return Response(status_code=204) if answer is None else Response(answer, media_type="application/json")


def refuse_foreign(request: Request, content_type: str) -> Response | None:
    """A refusal for what a web page may have made the operator's browser send; None if all is well."""
    host = request.url.hostname or ""
    if host != "localhost" and not _is_address(host):
        return PlainTextResponse("the Host header must be localhost or an address", status_code=403)
    if request.headers.get("content-type", "").split(";")[0].strip() != content_type:
        return PlainTextResponse(f"send content-type {content_type}", status_code=415)
    return None


async def read_body(request: Request, bytes_max: int, timeout_s: float) -> bytes | None:
    """The body, or None if it is longer than `bytes_max`. Raises trio.TooSlowError, ClientDisconnect."""
    body = bytearray()
    with trio.fail_after(timeout_s):
        async with aclosing(request.stream()) as parts:
            async for part in parts:
                body += part
                if len(body) > bytes_max:
                    return None
    return bytes(body)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bind(port: int, option: str) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(128)
        bound.setblocking(False)
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        remedy = f"stop what uses the port, or pass another {option}"
        raise PortInUse(f"cannot listen on 127.0.0.1:{port} ({reason}): {remedy}") from None
    return bound
