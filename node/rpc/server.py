"""The HTTP server: Hypercorn under trio, one route for JSON-RPC and those that the node adds.

A web page in the operator's browser could reach a port on loopback, so requests must say that they are JSON
(which makes a browser ask first, and this server never agrees), and the Host header must be an address, not a
name that an attacker resolves to loopback.
"""

import ipaddress
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from node.rpc.dispatch import Dispatcher

REQUEST_BYTES_MAX: Final = 2 * 1024 * 1024
"""Longest JSON request: the largest extrinsic in hexadecimal, in a batch."""

CONCURRENT_REQUESTS_MAX: Final = 64
"""More requests at one time are told to come back."""

READ_TIMEOUT_S: Final = 10.0
"""A client that sends its request slower than this is hung up on."""

_GRACE_S: Final = 0.5


class PortInUse(Exception):
    """The address cannot be bound; the text says which and why."""


class RpcServer:
    """Serves JSON-RPC on one loopback port."""

    def __init__(self, dispatcher: Dispatcher, port: int, routes: Sequence[BaseRoute] = ()) -> None:
        """Binds at once, so that a busy port stops the start. Port 0 picks a free one. Raises PortInUse."""
        self._dispatcher = dispatcher
        self._busy = trio.CapacityLimiter(CONCURRENT_REQUESTS_MAX)
        self._routes = [Route("/", self._answer, methods=["POST"]), *routes]
        self._socket = _bind(port)
        self.port = int(self._socket.getsockname()[1])
        """The port that clients connect to."""

    async def run(self) -> None:
        """Serve until cancelled."""
        config = Config()
        config.bind = [f"fd://{self._socket.detach()}"]  # Hypercorn closes it
        config.errorlog = None
        config.accesslog = None
        config.graceful_timeout = _GRACE_S
        config.shutdown_timeout = _GRACE_S
        config.read_timeout = 60
        config.h11_max_incomplete_size = 16 * 1024
        config.wsgi_max_body_size = REQUEST_BYTES_MAX
        application = Starlette(routes=self._routes)
        await serve(application, config, mode="asgi")  # type: ignore[arg-type]  # hypercorn's own ASGI alias

    async def _answer(self, request: Request) -> Response:
        refusal = refuse_foreign(request, "application/json")
        if refusal is not None:
            return refusal
        try:
            self._busy.acquire_on_behalf_of_nowait(request)
        except trio.WouldBlock:
            return PlainTextResponse("too many requests at one time; try again", status_code=503)
        try:
            body = await read_body(request, REQUEST_BYTES_MAX)
            if body is None:
                return PlainTextResponse(f"a request has at most {REQUEST_BYTES_MAX} bytes", status_code=413)
            answer = await self._dispatcher.answer(body)
        except trio.TooSlowError:
            return PlainTextResponse("the request took too long to arrive", status_code=408)
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            self._busy.release_on_behalf_of(request)
        if answer is None:
            return Response(status_code=204)
        return Response(answer, media_type="application/json")


def refuse_foreign(request: Request, content_type: str) -> Response | None:
    """A refusal for what a web page may have made the operator's browser send; None if all is well."""
    host = request.url.hostname or ""
    if host != "localhost" and not _is_address(host):
        return PlainTextResponse("the Host header must be localhost or an address", status_code=403)
    if request.headers.get("content-type", "").split(";")[0].strip() != content_type:
        return PlainTextResponse(f"send content-type {content_type}", status_code=415)
    return None


async def read_body(request: Request, bytes_max: int) -> bytes | None:
    """The body, or None if it is longer than `bytes_max`. Raises trio.TooSlowError, ClientDisconnect."""
    body = bytearray()
    with trio.fail_after(READ_TIMEOUT_S):
        async with aclosing(cast(AsyncGenerator[bytes, None], request.stream())) as parts:
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


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(128)
        bound.setblocking(False)
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "stop what uses it, or pass another --rpc-port"
        raise PortInUse(f"cannot listen on 127.0.0.1:{port} for RPC ({reason}): {remedy}") from None
    return bound
