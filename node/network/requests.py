"""Questions and answers: one stream each, a frame there and a frame back."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import trio

from node.network.identity import PeerId
from node.network.negotiation import NegotiationFailed, ProtocolUnsupported
from node.network.streams import ProtocolViolation, Stream, StreamClosed, frame

RESPONSE_BYTES_MAX: Final = 16 << 20
"""Longest answer of any protocol."""

REQUEST_READ_S: Final = 10.0
"""A question must be whole within this time of its stream."""

ANSWER_S: Final = 60.0
"""An answer must be made and taken by the peer within this time; it frees the peer's slot."""

_ANSWERED: Final = b"\x00"
_BUSY: Final = b"\x01"

RequestHandler = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Answers a question. Raises ProtocolViolation to charge the peer instead."""


class RequestFailure(StrEnum):
    """Why there is no answer."""

    NOT_CONNECTED = "not connected"
    UNSUPPORTED = "protocol not supported"
    TIMED_OUT = "timed out"
    BUSY = "the peer is busy"
    TOO_LONG = "answer too long"
    CLOSED = "the peer closed the stream"


class RequestFailed(Exception):
    """There is no answer, for `reason`."""

    def __init__(self, reason: RequestFailure) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """Bounds of one request protocol."""

    request_bytes_max: int
    response_bytes_max: int
    per_peer_max: int
    """Questions of one peer that are answered at once; further ones are told to come back."""


class Service:
    """Answers the questions of one protocol."""

    def __init__(self, handler: RequestHandler, limits: ServiceLimits) -> None:
        assert limits.response_bytes_max <= RESPONSE_BYTES_MAX
        self._handler = handler
        self._limits = limits
        self._open: Counter[PeerId] = Counter()

    async def answer(self, stream: Stream) -> None:
        """Serve one stream. Raises ProtocolViolation, StreamClosed, or what the handler raised."""
        if self._open[stream.peer] >= self._limits.per_peer_max:
            await stream.write(_BUSY)
            return
        self._open[stream.peer] += 1
        try:
            await self._answer(stream)
        finally:
            self._open[stream.peer] -= 1
            if not self._open[stream.peer]:
                del self._open[stream.peer]

    async def _answer(self, stream: Stream) -> None:
        try:
            with trio.fail_after(REQUEST_READ_S):
                request = await stream.read_frame(self._limits.request_bytes_max)
            with trio.fail_after(ANSWER_S):
                response = await self._handler(stream.peer, request)
                assert len(response) <= self._limits.response_bytes_max
                await stream.write(_ANSWERED + frame(response))
        except trio.TooSlowError:
            raise StreamClosed("question or answer took too long") from None


async def ask(stream: Stream, payload: bytes, response_bytes_max: int) -> bytes:
    """Put one question on a new stream; the answer. Raises RequestFailed, StreamClosed, ProtocolViolation."""
    await stream.write(frame(payload))
    await stream.close()
    if await stream.read_exactly(1) != _ANSWERED:
        raise RequestFailed(RequestFailure.BUSY)
    return await stream.read_frame(response_bytes_max)


async def request(
    open_stream: Callable[[], Awaitable[Stream]], payload: bytes, timeout_s: float, response_bytes_max: int
) -> bytes:
    """Open a stream, ask, and answer within `timeout_s`. Raises RequestFailed."""
    stream = None
    try:
        with trio.fail_after(timeout_s):
            stream = await open_stream()
            answer = await ask(stream, payload, min(response_bytes_max, RESPONSE_BYTES_MAX))
            stream = None
            return answer
    except trio.TooSlowError:
        raise RequestFailed(RequestFailure.TIMED_OUT) from None
    except ProtocolUnsupported:
        raise RequestFailed(RequestFailure.UNSUPPORTED) from None
    except ProtocolViolation:
        raise RequestFailed(RequestFailure.TOO_LONG) from None
    except (StreamClosed, NegotiationFailed):
        raise RequestFailed(RequestFailure.CLOSED) from None
    finally:
        if stream is not None:
            await stream.reset()
