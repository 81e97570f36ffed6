"""multistream-select 1.0: two ends agree on the protocol of a connection or a stream.

py-libp2p's own reader believes any announced length, before anybody is authenticated; this one reads lines of
at most 255 bytes, and answers a bounded number of proposals.
Source: libp2p specifications, `connections/README.md`, section multistream-select.
"""

from collections.abc import Container
from typing import Final, Protocol

MULTISTREAM: Final = "/multistream/1.0.0"
NOT_AVAILABLE: Final = "na"
LINE_BYTES_MAX: Final = 255
"""Longest line with its newline; protocol names are about 30 bytes."""

PROPOSALS_MAX: Final = 8
"""How many protocols a peer may ask for on one stream."""


class NegotiationFailed(Exception):
    """The other end does not speak multistream-select, or not to the end."""


class ProtocolUnsupported(NegotiationFailed):
    """The other end does not offer the protocol."""


class Duplex(Protocol):
    """Anything that reads up to n bytes and writes all of them."""

    async def read(self, n: int, /) -> bytes: ...

    async def write(self, data: bytes, /) -> None: ...


async def select(conn: Duplex, protocol: str) -> None:
    """Ask for `protocol`. Raises ProtocolUnsupported or NegotiationFailed."""
    await conn.write(_line(MULTISTREAM) + _line(protocol))
    if await _read_line(conn) != MULTISTREAM:
        raise NegotiationFailed("no multistream header")
    answer = await _read_line(conn)
    if answer == NOT_AVAILABLE:
        raise ProtocolUnsupported(protocol)
    if answer != protocol:
        raise NegotiationFailed(f"asked for {protocol}, got {answer!r}")


async def accept(conn: Duplex, offered: Container[str]) -> str:
    """The protocol among `offered` that the other end chose. Raises NegotiationFailed."""
    await conn.write(_line(MULTISTREAM))
    if await _read_line(conn) != MULTISTREAM:
        raise NegotiationFailed("no multistream header")
    for _ in range(PROPOSALS_MAX):
        protocol = await _read_line(conn)
        if protocol in offered:
            await conn.write(_line(protocol))
            return protocol
        await conn.write(_line(NOT_AVAILABLE))
    raise NegotiationFailed("too many proposals")


def _line(text: str) -> bytes:
    data = text.encode("ascii") + b"\n"
    assert len(data) < 0x80
    return bytes([len(data)]) + data


async def _read_line(conn: Duplex) -> str:
    length = (await _read_exactly(conn, 1))[0]
    if length & 0x80:
        high = (await _read_exactly(conn, 1))[0]
        length = (length & 0x7F) | high << 7
    if not 0 < length <= LINE_BYTES_MAX:
        raise NegotiationFailed(f"line of {length} bytes")
    line = await _read_exactly(conn, length)
    if not line.endswith(b"\n") or not line.isascii():
        raise NegotiationFailed("malformed line")
    return line[:-1].decode("ascii")


async def _read_exactly(conn: Duplex, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = await conn.read(length - len(data))
        if not part:
            raise NegotiationFailed("closed during negotiation")
        data += part
    return data
