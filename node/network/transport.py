"""From a TCP socket to an authenticated, multiplexed connection: py-libp2p's Noise and Yamux, nothing else.

py-libp2p's `new_host` would accept unauthenticated plaintext. Its Swarm keeps a slot and a task for every
inbound connection until the process ends, binds with SO_REUSEPORT, so that a busy port goes unnoticed, and
allows no Yamux but its own. So its parts are put together here, and a connection belongs to the one task
that made it.
Source: libp2p specifications, `noise/README.md`, `connections/README.md`.
"""

import logging
from typing import Final

import trio

from node.network import negotiation
from node.network.counters import Counters
from node.network.faults import Faults, FaultyWire, Wire
from node.network.identity import PeerId, parse_peer_id
from node.network.libp2p_parts import (
    ID,
    NOISE_PROTOCOL,
    ConnectionClosedError,
    Ed25519PrivateKey,
    KeyPair,
    Noise,
    RawConnection,
    ReadWriteCloser,
    new_noise_key,
)
from node.network.muxer import MUXER_PROTOCOL, BoundedYamux
from primitives.types import Seed

# What goes wrong with a stranger's handshake is counted here; py-libp2p would print it as an error.
logging.getLogger("libp2p").addHandler(logging.NullHandler())
logging.getLogger("libp2p").propagate = False

READ_BYTES: Final = 64 * 1024
SECURITY_PROTOCOL: Final = str(NOISE_PROTOCOL)


class Socket(ReadWriteCloser):
    """A TCP socket that reads exactly what is asked for, counts, and can be closed from anywhere at once.

    py-libp2p gives up on a message that arrives in more than a hundred pieces; whole reads avoid that.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        counters: Counters,
        faults: Faults | None = None,
        peer: PeerId | None = None,
    ) -> None:
        self._wire: Wire = stream
        self._close = stream.socket.close
        self._counters = counters
        self._unread = bytearray()
        self.remote_host: Final[str] = stream.socket.getpeername()[0]
        self.peer = peer
        """Who is at the other end, or is meant to be; None while that is not known."""

        if faults is not None:
            faulty = FaultyWire(stream, stream.socket.close, faults, lambda: self.peer)
            self._wire, self._close = faulty, faulty.close

    async def read(self, n: int | None = None) -> bytes:
        """`n` bytes, fewer only at the end of the connection. Raises ConnectionClosedError."""
        wanted = READ_BYTES if n is None else n
        while len(self._unread) < wanted:
            try:
                data = await self._wire.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError(str(error)) from error
            if not data:
                break
            self._counters.bytes_in += len(data)
            self._unread += data
            if n is None:
                break
        result = bytes(self._unread[:wanted])
        del self._unread[:wanted]
        return result

    async def write(self, data: bytes) -> None:
        """Raises ConnectionClosedError."""
        try:
            await self._wire.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(str(error)) from error
        self._counters.bytes_out += len(data)

    async def close(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        """Close without waiting; whoever reads or writes wakes with ConnectionClosedError."""
        self._close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


class Upgrader:
    """Makes connections of sockets, as one node."""

    def __init__(self, seed: Seed, counters: Counters) -> None:
        """`seed`: the node key, 32 bytes. The Noise key is new at each start; the node key signs it."""
        key = Ed25519PrivateKey.from_bytes(seed)
        keys = KeyPair(key, key.get_public_key())
        self._noise = Noise(keys, noise_privkey=new_noise_key().private_key)
        self._counters = counters

    async def outbound(self, socket: Socket, expected: PeerId) -> BoundedYamux:
        """Connect as the dialer. Raises if anyone but `expected` answers; the caller sets the deadline."""
        raw = RawConnection(socket, True)
        await negotiation.select(raw, SECURITY_PROTOCOL)
        session = await self._noise.secure_outbound(raw, ID.from_base58(expected))
        await negotiation.select(session, MUXER_PROTOCOL)
        return BoundedYamux(session, session.get_remote_peer(), socket.close_now, self._counters)

    async def inbound(self, socket: Socket) -> BoundedYamux:
        """Connect as the listener. Raises unless the dialer proves who it is; the caller sets a deadline."""
        raw = RawConnection(socket, False)
        await negotiation.accept(raw, (SECURITY_PROTOCOL,))
        session = await self._noise.secure_inbound(raw)
        await negotiation.accept(session, (MUXER_PROTOCOL,))
        return BoundedYamux(session, session.get_remote_peer(), socket.close_now, self._counters)


def peer_id_of_connection(muxer: BoundedYamux) -> PeerId:
    """Who is at the other end, as Noise proved it. Raises AddressError unless the key is Ed25519."""
    return parse_peer_id(muxer.peer_id.to_base58())
