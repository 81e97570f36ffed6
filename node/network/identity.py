"""Who a node is and where it listens: peer ids and multiaddresses, without loading libp2p.

A peer id is the base58 text of the identity multihash of an Ed25519 public key in libp2p's key record.
Source: libp2p specifications, `peer-ids/peer-ids.md`; multiformats, `multiaddr`.
"""

import ipaddress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NewType

from primitives.signing import SigningKey
from primitives.types import Seed

PeerId = NewType("PeerId", str)
"""Name of a node: its public key as libp2p writes it, `12D3KooW...`."""

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KEY_PREFIX: Final = bytes.fromhex("002408011220")
"""Multihash (identity, 36 bytes) of a key record (type Ed25519, 32 bytes)."""
_PEER_ID_LENGTH: Final = 52

ADDRESS_LENGTH_MAX: Final = 320
"""Longest multiaddress that is read: a DNS name of 253 characters and the rest."""


OWN_MACHINE: Final = frozenset({"127.0.0.1", "::1", "::/64"})
"""The hosts and networks of this machine alone. Whoever runs programs here needs no network to do harm."""


class Scope(IntEnum):
    """From how far an address is reached."""

    LOOPBACK = 0
    PRIVATE = 1
    """A local network: private, link-local and shared address space."""

    GLOBAL = 2


class AddressError(ValueError):
    """The text is no address that this node can dial or listen on."""


def peer_id_of(seed: Seed) -> PeerId:
    """The peer id of the node whose key file holds `seed` (32 bytes)."""
    return peer_id_of_key(SigningKey(seed).public_key)


def peer_id_of_key(public_key: bytes) -> PeerId:
    """The peer id of an Ed25519 public key (32 bytes)."""
    number = int.from_bytes(_KEY_PREFIX + public_key, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return PeerId("1" + digits)


def parse_peer_id(text: str) -> PeerId:
    """`text` as a peer id. Raises AddressError unless it names an Ed25519 key."""
    number = 0
    for character in text if len(text) == _PEER_ID_LENGTH else "":
        digit = _ALPHABET.find(character)
        if digit < 0:
            break
        number = number * 58 + digit
    key = (number & (1 << 256) - 1).to_bytes(32, "big")
    if peer_id_of_key(key) != text:
        raise AddressError(f"not an Ed25519 peer id: {text[:80]!r}")
    return PeerId(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A place to dial or to listen on, over TCP."""

    host: str
    """An IP address or a DNS name."""

    port: int
    """0 lets the system choose, when listening."""

    peer_id: PeerId | None = None
    """Who must answer there; None where nobody is expected."""

    def __str__(self) -> str:
        suffix = f"/p2p/{self.peer_id}" if self.peer_id else ""
        return f"/{_host_protocol(self.host)}/{self.host}/tcp/{self.port}{suffix}"

    def with_peer_id(self, peer_id: PeerId) -> "Address":
        """The same place, where `peer_id` must answer."""
        return replace(self, peer_id=peer_id)


def parse_address(text: str) -> Address:
    """Read `/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT[/p2p/ID]`. Raises AddressError."""
    match text[: ADDRESS_LENGTH_MAX + 1].split("/"):
        case ["", protocol, host, "tcp", port, *rest] if _is_host(protocol, host) and _is_port(port):
            match rest:
                case []:
                    return Address(host=host, port=int(port))
                case ["p2p", peer_id]:
                    return Address(host=host, port=int(port), peer_id=parse_peer_id(peer_id))
    raise AddressError(f"not a TCP multiaddress: {text[:80]!r}")


def network_of(host: str) -> str:
    """What one person is likely to own: the IPv4 address, or the /64 of the IPv6 address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 6:
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def scope_of(host: str) -> Scope:
    """From how far an IP address is reached. Raises AddressError for what nobody listens on."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise AddressError(f"not an IP address: {host[:80]!r}") from None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_multicast or address.is_unspecified or int(address) == 0xFFFF_FFFF:
        raise AddressError(f"nobody listens on {host}")
    if address.is_loopback:
        return Scope.LOOPBACK
    return Scope.GLOBAL if address.is_global else Scope.PRIVATE


def _host_protocol(host: str) -> str:
    try:
        return f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        return "dns"


def _is_host(protocol: str, host: str) -> bool:
    if protocol in ("ip4", "ip6"):
        return _host_protocol(host) == protocol
    named = protocol in ("dns", "dns4", "dns6") and _host_protocol(host) == "dns"
    return (
        named and 0 < len(host) <= 253 and host.isascii() and host.replace("-", "").replace(".", "").isalnum()
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535
