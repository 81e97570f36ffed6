import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.network.hello import Refusal
from node.network.host import Network
from node.network.identity import peer_id_of
from node.network.peering import PeerConnected, PeerDisconnected
from tests.node.network.networks import (
    CHANNEL,
    CHANNEL_LIMITS,
    PATIENCE_S,
    config,
    eventually,
    knows,
    raw_peer,
    seed,
    start,
)

STOPPED = peer_id_of(seed(9))
ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def stoppable(network: Network) -> AsyncIterator[trio.Process]:
    """A node of its own that is connected to `network`."""
    command = [sys.executable, "-m", "tests.node.network.stoppable", str(network.listening)]
    process = await trio.lowlevel.open_process(command, cwd=ROOT)
    try:
        await eventually(lambda: network.peer(STOPPED) is not None)
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def test_a_stopped_peer_blocks_nobody_and_is_dropped(nursery: trio.Nursery) -> None:
    network, other = Network(config(1)), Network(config(2))
    channel = network.channel(CHANNEL, CHANNEL_LIMITS)
    inbox = other.channel(CHANNEL, CHANNEL_LIMITS).inbox
    await nursery.start(network.run)
    await nursery.start(other.run)
    assert other.listening is not None
    network.dial(other.listening)
    async with stoppable(network) as process:
        await eventually(lambda: len(network.peers()) == 2)
        events = network.subscribe()
        process.send_signal(signal.SIGSTOP)
        with trio.fail_after(PATIENCE_S):
            for _ in range(16):
                channel.send(STOPPED, bytes(1 << 20))
                assert channel.send(other.peer_id, bytes(1 << 20))
                await inbox.receive()
            assert network.peer(STOPPED) is not None
            gone = await events.receive()
        assert gone in (
            PeerDisconnected(STOPPED, Refusal.SILENT),
            PeerDisconnected(STOPPED, Refusal.STALLED),
        )
        assert knows(network, other)
        process.send_signal(signal.SIGCONT)
        await eventually(lambda: network.peer(STOPPED) is not None)
    nursery.cancel_scope.cancel()


async def test_a_killed_peer_is_noticed(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    async with stoppable(network) as process:
        events = network.subscribe()
        process.kill()
        with trio.fail_after(PATIENCE_S):
            assert isinstance(await events.receive(), PeerDisconnected)
    nursery.cancel_scope.cancel()


async def test_a_connected_peer_that_says_nothing_is_dropped(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    events = network.subscribe()
    async with raw_peer(network.listening, 2):
        with trio.fail_after(PATIENCE_S):
            assert isinstance(await events.receive(), PeerConnected)
            assert await events.receive() == PeerDisconnected(peer_id_of(seed(2)), Refusal.SILENT)
    nursery.cancel_scope.cancel()


async def test_the_first_reason_of_an_end_stays(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    async with raw_peer(network.listening, 2) as peer:
        peer.session.leave("banned: bad vote")
        peer.session.close("hello stream closed")
        assert peer.session.reason == "banned: bad vote"
    nursery.cancel_scope.cancel()
