"""Finding nodes of the same chain on the local network, with nobody's help: multicast DNS.

A node announces each interface's own address on that interface, so what is heard is believed only of the host
that says it; nobody can have us dial a third one. What is learned is a hint, dialed as rumours are.
"""

import ipaddress
import logging
import socket
from dataclasses import dataclass
from typing import Final

import psutil  # type: ignore[import-untyped]  # published without type information
import trio

from node.discovery.mdns_packets import (
    PACKET_BYTES_MAX,
    Announced,
    Asked,
    Malformed,
    decode,
    encode_announcement,
    encode_question,
)
from node.network.budget import Budget
from node.network.host import Network
from node.network.identity import Address, AddressError, parse_address

LOGGER: Final = logging.getLogger(__name__)

GROUP: Final = "224.0.0.251"
PORT: Final = 5353
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
"""Pauses between questions double up to this."""

ANSWER_PAUSE_S: Final = 0.5
"""Least time between two announcements, however often somebody asks."""

HINTS_MAX: Final = 64
"""Addresses that are believed of one host within HINTS_S."""

HINTS_S: Final = 600.0
INTERFACES_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MdnsSettings:
    """What the service is told."""

    genesis: bytes
    port: int = PORT


class MdnsService:
    """Announces this node on the local network, and hears the others."""

    def __init__(self, network: Network, settings: MdnsSettings) -> None:
        self._network = network
        self._settings = settings
        self._hints = Budget(HINTS_MAX, HINTS_S)
        self._asked = trio.Event()

    async def run(self) -> None:
        """Serve until cancelled. A machine without multicast costs one line in the log."""
        listening = self._network.listening
        if listening is None:
            return
        hosts = interfaces(listening.host)
        try:
            with await _join(hosts, self._settings.port) as joined:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ask, joined, hosts)
                    nursery.start_soon(self._announce, joined, hosts, listening.port)
                    await self._listen(joined)
        except OSError as error:
            LOGGER.warning("no discovery on the local network (%s): name a --bootnode", error)

    async def _ask(self, joined: trio.socket.SocketType, hosts: list[str]) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            for host in hosts:
                await self._send(joined, host, encode_question())
            await trio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    async def _announce(self, joined: trio.socket.SocketType, hosts: list[str], port: int) -> None:
        """At once, and whenever somebody has asked."""
        peer_id = self._network.peer_id
        while True:
            for host in hosts:
                place = Address(host=host, port=port, peer_id=peer_id)
                packet = encode_announcement(peer_id, self._settings.genesis.hex(), (str(place),))
                await self._send(joined, host, packet)
            await trio.sleep(ANSWER_PAUSE_S)
            await self._asked.wait()
            self._asked = trio.Event()

    async def _send(self, joined: trio.socket.SocketType, host: str, packet: bytes) -> None:
        """By the interface that has the address `host`; an interface that is gone is left out."""
        try:
            joined.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
            await joined.sendto(packet, (GROUP, self._settings.port))
        except OSError as error:
            LOGGER.debug("cannot announce this node at %s: %s", host, error)

    async def _listen(self, joined: trio.socket.SocketType) -> None:
        while True:
            packet, (host, _) = await joined.recvfrom(PACKET_BYTES_MAX + 1)
            try:
                said = decode(packet)
            except Malformed as error:
                LOGGER.debug("mDNS packet of %s: %s", host, error)
                continue
            if isinstance(said, Asked):
                self._asked.set()
                continue
            for announced in said:
                self._hear(host, announced)

    def _hear(self, host: str, announced: Announced) -> None:
        """Take the addresses of a node of this chain, if they are where the announcement came from."""
        if announced.genesis != self._settings.genesis.hex():
            return
        for text in announced.addresses:
            try:
                place = parse_address(text)
            except AddressError:
                continue
            now = trio.current_time()
            is_believed = place.host == host and place.port and place.peer_id is not None
            if is_believed and self._hints.allows(host, now) and self._network.hint(place):
                self._hints.spend(host, now)


def interfaces(listen_host: str) -> list[str]:
    """The IPv4 addresses to announce: the one that is listened on, or all but loopback."""
    try:
        listening = ipaddress.ip_address(listen_host)
    except ValueError:
        listening = ipaddress.ip_address("0.0.0.0")
    if not listening.is_unspecified:
        return [listen_host] if listening.version == 4 else []
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not ipaddress.ip_address(address.address).is_loopback
    ]
    return found[:INTERFACES_MAX]


async def _join(hosts: list[str], port: int) -> trio.socket.SocketType:
    """A socket that hears the group on every interface. Raises OSError."""
    joined = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        joined.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        await joined.bind((GROUP, port))  # the group alone: nobody beyond the local network is heard
        for host in hosts:
            request = socket.inet_aton(GROUP) + socket.inet_aton(host)
            joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError:
        joined.close()
        raise
    return joined
