"""A hostile client of a real node: each flood takes more than its share in every way it can."""

import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random
from typing import Final

import trio
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT

from node.network import hello
from node.network.channel import LANES
from node.network.counters import Counters
from node.network.hello import LocalHello, Role
from node.network.identity import Address, peer_id_of
from node.network.negotiation import NegotiationFailed
from node.network.session import Session, send
from node.network.streams import BROKEN, ProtocolViolation, Stream, StreamClosed, frame
from node.network.transport import Socket, Upgrader
from primitives.signing import SigningKey
from primitives.types import Bytes32, Seed
from tests.fuzz.spoken import CHANNELS, SERVICES, SPOKEN

ENDED: Final = (*BROKEN, StreamClosed, NegotiationFailed, ProtocolViolation, ValueError)
"""What a flooder meets when it is cut off."""

BIG_BYTES: Final = 1 << 20
CONNECTIONS: Final = 8
STREAMS: Final = 48
OVERRUN_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Victim:
    """The node that is flooded."""

    address: Address
    rpc_port: int
    genesis: Bytes32


class Flooder:
    """Connects again and again, each time with a new key and from a new address, as a botnet would."""

    def __init__(self, victim: Victim, seed: int) -> None:
        self._victim = victim
        self._random = Random(seed)
        self._numbers = count(1)
        self.connections = 0
        """Honest handshakes that were done."""

        self.cut_off = 0
        """How often the node ended a connection, or an attempt at one."""

        self.sent_bytes = 0

    async def flood(self, protocol: str) -> None:
        """As many frames of a protocol as the node takes: spoilt ones, long ones, streams that hang."""
        await self._many(partial(self._talk, protocol))

    async def flood_rpc(self) -> None:
        """Requests over HTTP: spoilt, long, in batches, and connections that say nothing."""
        await self._many(self._request)

    async def _many(self, attack: Callable[[], Awaitable[None]]) -> None:
        async def again() -> None:
            while True:
                try:
                    await attack()
                except* ENDED:
                    self.cut_off += 1
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(again)

    async def repeat(self, protocol: str, data: bytes, volume_bytes: int) -> None:
        """The same sound frame again and again, until `volume_bytes` are sent in all or the node hangs up."""

        async def pour(session: Session, local: LocalHello, nursery: trio.Nursery) -> None:
            greeting = await session.open_stream(hello.PROTOCOL)
            await send(greeting, local.at(0, 0))
            nursery.start_soon(self._stay, greeting)
            stream = await session.open_stream(protocol)
            frames = frame(data) * (1 + 65_536 // len(data))
            while self.sent_bytes < volume_bytes:
                await stream.write(frames)
                self.sent_bytes += len(frames)
            nursery.cancel_scope.cancel()

        await self._connect(pour)

    async def _talk(self, protocol: str) -> None:
        """One connection, flooded until the node ends it."""
        await self._connect(partial(self._greet_and_flood, protocol))

    async def _connect(self, talk: Callable[[Session, LocalHello, trio.Nursery], Awaitable[None]]) -> None:
        """A connection with a new key from a new address, until the node or `talk` ends it."""
        number = next(self._numbers)
        key = SigningKey(Seed(self._random.randbytes(32)))
        seed, address = Seed(self._random.randbytes(32)), self._victim.address
        assert address.peer_id is not None
        source = f"127.{1 + number // 250 % 250}.{1 + number % 250}.1"
        stream = await trio.open_tcp_stream(address.host, address.port, local_address=source)
        socket = Socket(stream, Counters())
        try:
            muxer = await Upgrader(seed, Counters()).outbound(socket, address.peer_id)
            session = Session(muxer, address.peer_id, socket, outbound=True)
            local = LocalHello(
                peer_id=peer_id_of(seed), genesis=self._victim.genesis, role=Role.AUTHORITY, signer=key
            )
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._until_closed, session, scope)
                    await talk(session, local, nursery)
        finally:
            socket.close_now()

    async def _until_closed(self, session: Session, scope: trio.CancelScope) -> None:
        with suppress(*ENDED):
            await session.run()
        self.cut_off += 1
        scope.cancel()

    async def _greet_and_flood(
        self, protocol: str, session: Session, local: LocalHello, nursery: trio.Nursery
    ) -> None:
        greeting = await session.open_stream(hello.PROTOCOL)
        await send(greeting, local.at(0, 0))
        self.connections += 1
        if protocol == hello.PROTOCOL:
            await self._pour(greeting, protocol)
            return
        nursery.start_soon(self._overrun, session, protocol)
        kinds = [self._pour] * LANES + [self._swell, self._hang] * (STREAMS // 2)
        for kind in kinds:
            nursery.start_soon(self._stream, session, protocol, kind)
        await self._stay(greeting)

    async def _stay(self, greeting: Stream) -> None:
        """Say now and then that it is still there, as an honest peer does."""
        while True:
            await send(greeting, hello.Status(0, ()))
            await trio.sleep(1)

    async def _stream(
        self, session: Session, protocol: str, kind: Callable[[Stream, str], Awaitable[None]]
    ) -> None:
        with suppress(*ENDED):
            await kind(await session.open_stream(protocol), protocol)

    async def _pour(self, stream: Stream, protocol: str) -> None:
        """Spoilt and sound messages, as fast as they are taken."""
        while True:
            says = SPOKEN[protocol].says
            data = b"".join(frame(says(self._random)[:BIG_BYTES]) for _ in range(20))
            self.sent_bytes += len(data)
            await stream.write(data)

    async def _swell(self, stream: Stream, protocol: str) -> None:
        """A frame of the greatest length that anybody may announce, and its bytes."""
        await stream.write(BIG_BYTES.to_bytes(4, "big"))
        while True:
            self.sent_bytes += 65_536
            await stream.write(bytes(65_536))

    async def _hang(self, stream: Stream, protocol: str) -> None:
        """The beginning of a frame, a byte at a time."""
        await stream.write(b"\x00\x00\x10\x00")
        while True:
            await stream.write(b"\x90")
            await trio.sleep(0.5)

    async def _overrun(self, session: Session, protocol: str) -> None:
        """Streams that are sent far more than the window that the node grants."""
        with suppress(*ENDED):
            while True:
                stream = await session.open_stream(protocol)
                head = struct.pack(
                    YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream._muxed.stream_id, OVERRUN_BYTES
                )
                for _ in range(64):
                    self.sent_bytes += OVERRUN_BYTES
                    await session._muxer._write_frame(head + bytes(OVERRUN_BYTES))

    async def _request(self) -> None:
        """One connection over HTTP."""
        stream = await trio.open_tcp_stream("127.0.0.1", self._victim.rpc_port)
        async with stream:
            with trio.move_on_after(2):
                await stream.send_all(self._http())
                while await stream.receive_some(1 << 16):
                    pass

    def _http(self) -> bytes:
        method = self._random.choice(("light_finalizedHeight", "system_peers", "chain_getBlock", "none"))
        one = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
        body = self._random.choice(
            (
                json.dumps([one] * 64).encode(),
                b"[" * 100_000,
                b"x" * (3 << 20),
                b'"\xff"',
                self._random.randbytes(200),
            )
        )
        length = self._random.choice((len(body), len(body) + 10, 1 << 40))
        head = (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n"
        )
        self.sent_bytes += len(body)
        return head.encode() + body


RPC: Final = "rpc"
FLOODS: Final = ((hello.PROTOCOL, RPC), *((name,) for name in (*CHANNELS, *SERVICES)))
"""What is flooded at one time."""


async def flood(flooder: Flooder, names: tuple[str, ...]) -> None:
    """One of FLOODS, until cancelled."""
    async with trio.open_nursery() as nursery:
        for name in names:
            if name == RPC:
                nursery.start_soon(flooder.flood_rpc)
            else:
                nursery.start_soon(flooder.flood, name)
