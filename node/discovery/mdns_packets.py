"""Multicast DNS as far as two nodes on one local network need it: one question, and one answer. Pure.

A node asks who offers `_consilience._udp.local`; each answers with a TXT record that says of which chain it
is and where it listens. Packets come from anybody on the network, so every length and count is bounded, and
names may refer only backwards.
Source: RFC 1035, section 4; RFC 6762; libp2p specifications, `discovery/mdns.md`.
"""

import struct
from dataclasses import dataclass
from typing import Final

from node.network.identity import ADDRESS_LENGTH_MAX, PeerId

PACKET_BYTES_MAX: Final = 9_000
RECORDS_MAX: Final = 32
"""Records of one packet that are read."""

STRINGS_MAX: Final = 8
NAME_BYTES_MAX: Final = 255
SERVICE: Final = (b"_consilience", b"_udp", b"local")
TTL_S: Final = 120

_HEADER: Final = struct.Struct("!6H")
_QUESTION: Final = struct.Struct("!2H")
_RECORD: Final = struct.Struct("!2HIH")
_RESPONSE: Final = 0x8400
_PTR: Final = 12
_TXT: Final = 16
_INTERNET: Final = 1
_POINTER: Final = 0xC0


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants to know who is there."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A node of the chain with this genesis block accepts connections at these addresses, it says."""

    genesis: str
    addresses: tuple[str, ...]


class Malformed(Exception):
    """The packet is no DNS message, or longer than it has to be."""


def encode_question() -> bytes:
    """Who is there?"""
    return _HEADER.pack(0, 0, 1, 0, 0, 0) + _name(SERVICE) + _QUESTION.pack(_PTR, _INTERNET)


def encode_announcement(peer_id: PeerId, genesis: str, addresses: tuple[str, ...]) -> bytes:
    """Here is a node."""
    instance = _name((peer_id.encode("ascii"), *SERVICE))
    texts = [f"genesis={genesis}", *(f"dnsaddr={address}" for address in addresses)]
    content = b"".join(bytes([len(text)]) + text.encode("ascii") for text in texts)
    return b"".join(
        (
            _HEADER.pack(0, _RESPONSE, 0, 1, 0, 1),
            _name(SERVICE) + _RECORD.pack(_PTR, _INTERNET, TTL_S, len(instance)) + instance,
            instance + _RECORD.pack(_TXT, _INTERNET, TTL_S, len(content)) + content,
        )
    )


def decode(packet: bytes) -> Asked | list[Announced]:
    """What a packet says to us, perhaps nothing. Raises Malformed."""
    if len(packet) > PACKET_BYTES_MAX:
        raise Malformed("longer than a packet")
    try:
        return _decode(packet)
    except (IndexError, struct.error):
        raise Malformed("cut off") from None


def _decode(packet: bytes) -> Asked | list[Announced]:
    _, flags, questions, *counts = _HEADER.unpack_from(packet)
    if questions > RECORDS_MAX or sum(counts) > RECORDS_MAX:
        raise Malformed("too many records")
    at = _HEADER.size
    is_for_us = False
    for _ in range(questions):
        name, at = _read_name(packet, at)
        kind, _ = _QUESTION.unpack_from(packet, at)
        at += _QUESTION.size
        is_for_us |= name == SERVICE and kind == _PTR
    if not flags & 0x8000:
        return Asked() if is_for_us else []
    found = []
    for _ in range(sum(counts)):
        name, at = _read_name(packet, at)
        kind, _, _, length = _RECORD.unpack_from(packet, at)
        at += _RECORD.size
        if at + length > len(packet):
            raise Malformed("cut off")
        if kind == _TXT and name[1:] == SERVICE:
            found.append(_announced(packet[at : at + length]))
        at += length
    return found


def _announced(content: bytes) -> Announced:
    texts: list[str] = []
    at = 0
    while at < len(content) and len(texts) < STRINGS_MAX:
        length = content[at]
        texts.append(content[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    fields = [text.partition("=") for text in texts]
    genesis = next((value for key, _, value in fields if key == "genesis"), "")
    addresses = (value for key, _, value in fields if key == "dnsaddr")
    return Announced(genesis, tuple(value for value in addresses if len(value) <= ADDRESS_LENGTH_MAX))


def _name(labels: tuple[bytes, ...]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\x00"


def _read_name(packet: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """A name, and where the packet goes on after it. Raises Malformed, IndexError."""
    labels: list[bytes] = []
    size, following, limit = 0, None, at + 1
    while length := packet[at]:
        if length & _POINTER == _POINTER:
            target = (length & 0x3F) << 8 | packet[at + 1]
            following = at + 2 if following is None else following
            if target >= limit - 1:
                raise Malformed("a name that refers forwards")
            at, limit = target, target + 1
            continue
        size += 1 + length
        if length & _POINTER or size > NAME_BYTES_MAX or at + 1 + length > len(packet):
            raise Malformed("not a name")
        labels.append(packet[at + 1 : at + 1 + length])
        at += 1 + length
    return tuple(labels), at + 1 if following is None else following
