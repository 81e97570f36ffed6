"""Visits: one question to a node without being its peer, on a connection that ends with the answer.

What a node serves to visitors it serves to everybody, so such protocols carry nothing that needs a hello. A
visit takes no peer's slot: it has the time and the place of a handshake.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from node.network.identity import PeerId
from node.network.muxer import BoundedYamux
from node.network.requests import RequestFailed, RequestFailure, request
from node.network.session import Session
from node.network.transport import Socket

LOGGER: Final = logging.getLogger(__name__)

VISITS_MAX: Final = 240
"""Visits of one network within VISITS_WINDOW_S."""

VISITS_WINDOW_S: Final = 60.0


async def visit(
    socket: Socket,
    upgrade: Callable[[Socket], Awaitable[BoundedYamux]],
    peer: PeerId,
    ask: Callable[[Session], Awaitable[bytes]],
) -> bytes:
    """Connect over `socket`, ask, and close. Raises RequestFailed; the caller sets the deadline."""
    try:
        muxer = await upgrade(socket)
    except Exception as error:  # the boundary: whatever a stranger's handshake did wrong
        raise RequestFailed(RequestFailure.CLOSED) from error
    session = Session(muxer, peer, socket, outbound=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, session)
        answer: bytes | RequestFailed
        try:
            answer = await ask(session)
        except RequestFailed as failed:
            answer = failed
        session.close("the visit is over")
    if isinstance(answer, RequestFailed):
        raise answer
    return answer


async def _read(session: Session) -> None:
    """Read the connection to its end, however it ends."""
    try:
        await session.run()
    except Exception as error:  # noqa: BLE001 - the boundary, as above: without an answer the question fails
        LOGGER.debug("visit of %s: %r", session.peer, error)


def question(
    protocol: str, payload: bytes, timeout_s: float, response_bytes_max: int
) -> Callable[[Session], Awaitable[bytes]]:
    """What `visit` does on its session."""

    async def ask(session: Session) -> bytes:
        opening = partial(session.open_stream, protocol)
        return await request(opening, payload, timeout_s, response_bytes_max)

    return ask
