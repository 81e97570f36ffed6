import pytest
import trio
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey

from node.network.counters import Counters
from node.network.host import HANDSHAKE_FAILED
from node.network.identity import peer_id_of
from node.network.negotiation import ProtocolUnsupported, select
from node.network.transport import Socket, Upgrader
from tests.node.network.networks import config, eventually, seed, start


async def test_a_forged_identity_is_refused_by_the_dialer(nursery: trio.Nursery) -> None:
    """Whoever answers must hold the key of the peer id that was dialed."""
    imposter = await start(nursery, config(1))
    assert imposter.listening is not None
    stream = await trio.open_tcp_stream("127.0.0.1", imposter.listening.port)
    with pytest.raises(PeerIDMismatchesPubkey):
        await Upgrader(seed(2), Counters()).outbound(Socket(stream, Counters()), peer_id_of(seed(3)))
    await stream.aclose()
    nursery.cancel_scope.cancel()


async def test_a_node_never_connects_to_an_imposter_of_its_bootnode(nursery: trio.Nursery) -> None:
    imposter = await start(nursery, config(1))
    assert imposter.listening is not None
    victim = await start(nursery, config(2, imposter.listening.with_peer_id(peer_id_of(seed(3)))))
    await eventually(lambda: victim.counters.refused[HANDSHAKE_FAILED] > 0)
    assert victim.peers() == ()
    assert imposter.peers() == ()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0", "/yamux/1.0.0"])
async def test_nothing_but_noise_is_offered(nursery: trio.Nursery, protocol: str) -> None:
    network = await start(nursery, config(1))
    assert network.listening is not None
    stream = await trio.open_tcp_stream("127.0.0.1", network.listening.port)
    with pytest.raises(ProtocolUnsupported):
        await select(Socket(stream, Counters()), protocol)
    await stream.aclose()
    nursery.cancel_scope.cancel()


async def test_plain_bytes_are_refused(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    assert network.listening is not None
    stream = await trio.open_tcp_stream("127.0.0.1", network.listening.port)
    await stream.send_all(b"GET / HTTP/1.1\r\n" * 10)
    await eventually(lambda: network.counters.refused[HANDSHAKE_FAILED] == 1)
    assert network.peers() == ()
    await stream.aclose()
    nursery.cancel_scope.cancel()


async def test_bytes_are_counted_and_read_whole(nursery: trio.Nursery) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    counters = Counters()

    async def trickle() -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        for _ in range(300):
            await stream.send_all(b"xy")
        await stream.aclose()

    nursery.start_soon(trickle)
    async with listener:
        socket = Socket(await listener.accept(), counters)
    assert await socket.read(599) == b"xy" * 299 + b"x"
    assert await socket.read(9) == b"y"
    assert counters.bytes_in == 600
    await socket.close()
