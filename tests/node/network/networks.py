"""Networks on loopback for these tests, and a peer that can be made to misbehave."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.network import hello
from node.network.channel import ChannelLimits
from node.network.counters import Counters
from node.network.hello import LocalHello, Role
from node.network.host import Network, NetworkConfig
from node.network.identity import Address, peer_id_of
from node.network.muxer import BoundedYamux
from node.network.peers import Limits
from node.network.requests import ServiceLimits
from node.network.session import Session, receive
from node.network.streams import Stream, frame
from node.network.transport import Socket, Upgrader
from primitives.signing import SigningKey
from primitives.types import Bytes32, Seed

GENESIS: Bytes32 = b"\x07" * 32
LOOPBACK = Address(host="127.0.0.1", port=0)
PATIENCE_S = 60.0
"""No wait here is expected to take a tenth of it."""

CHANNEL = "/test/channel/1"
CHANNEL_LIMITS = ChannelLimits(
    frame_bytes_max=1 << 20,
    queue_frames_max=100,
    queue_bytes_max=4 << 20,
    inbox_frames_max=200,
    inbox_bytes_max=32 << 20,
)
SERVICE = "/test/service/1"
SERVICE_LIMITS = ServiceLimits(request_bytes_max=1 << 16, response_bytes_max=1 << 20, per_peer_max=2)


def seed(number: int) -> Seed:
    return Seed(number.to_bytes(32, "big"))


def config(
    number: int,
    *bootnodes: Address | None,
    listen: Address = LOOPBACK,
    genesis: Bytes32 = GENESIS,
    session: SigningKey | None = None,
    limits: Limits | None = None,
    peerstore: Path | None = None,
) -> NetworkConfig:
    return NetworkConfig(
        listen=listen,
        seed=seed(number),
        genesis=genesis,
        role=Role.AUTHORITY if session else Role.FULL,
        bootnodes=tuple(node for node in bootnodes if node is not None),
        signer=session,
        limits=limits or Limits(),
        peerstore=peerstore,
    )


async def start(nursery: trio.Nursery, configuration: NetworkConfig) -> Network:
    network = Network(configuration)
    await nursery.start(network.run)
    return network


async def eventually(claim: Callable[[], bool]) -> None:
    """Wait until `claim` holds; fails after PATIENCE_S."""
    with trio.fail_after(PATIENCE_S):
        while not claim():  # noqa: ASYNC110 - no event says when any claim comes true
            await trio.sleep(0.01)


def knows(network: Network, *others: Network) -> bool:
    """Whether `network` is connected to exactly `others`."""
    return [peer.peer_id for peer in network.peers()] == sorted(other.peer_id for other in others)


def local_hello(number: int, genesis: Bytes32 = GENESIS) -> LocalHello:
    return LocalHello(peer_id=peer_id_of(seed(number)), genesis=genesis, role=Role.FULL, signer=None)


class RawPeer:
    """The other end of a connection, with its insides in reach."""

    def __init__(self, muxer: BoundedYamux, session: Session, stream: Stream) -> None:
        self.muxer = muxer
        self.session = session
        self.stream = stream
        """The hello stream, after the hello was sent."""

    async def answer(self) -> hello.Message:
        return await receive(self.stream)

    async def say(self, *messages: hello.Message) -> None:
        """All at once."""
        await self.stream.write(b"".join(frame(hello.MESSAGES.encode(message)) for message in messages))


async def raw_muxer(target: Address, number: int, source: str | None = None) -> tuple[BoundedYamux, Socket]:
    assert target.peer_id is not None
    stream = await trio.open_tcp_stream(target.host, target.port, local_address=source)
    socket = Socket(stream, Counters())
    return await Upgrader(seed(number), Counters()).outbound(socket, target.peer_id), socket


@asynccontextmanager
async def raw_peer(
    target: Address | None,
    number: int,
    message: hello.Message | bytes | None = None,
    *,
    source: str | None = None,
) -> AsyncIterator[RawPeer]:
    """Connect to `target`, from address `source`, and say `message`, or a proper hello."""
    assert target is not None
    assert target.peer_id is not None
    muxer, socket = await raw_muxer(target, number, source)
    async with trio.open_nursery() as nursery:
        session = Session(muxer, target.peer_id, socket, outbound=True)
        nursery.start_soon(session.run)
        stream = await session.open_stream(hello.PROTOCOL)
        message = message or local_hello(number).at(0, 0)
        await stream.write(frame(message if isinstance(message, bytes) else hello.MESSAGES.encode(message)))
        yield RawPeer(muxer, session, stream)
        session.close("test is over")
        nursery.cancel_scope.cancel()
