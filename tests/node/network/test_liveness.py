import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
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
    seed,
    start,
)

STOPPED = peer_id_of(seed(9))
ROOT = Path(__file__).parents[3]


@pytest.fixture
async def network(nursery: trio.Nursery) -> Network:
    network = Network(config(1))
    network.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(network.run)
    return network


@pytest.fixture
async def process(network: Network) -> AsyncIterator[trio.Process]:
    command = [sys.executable, "-m", "tests.node.network.stoppable", str(network.listening)]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        with trio.fail_after(PATIENCE_S):
            events = network.subscribe()
            assert isinstance(await events.receive(), PeerConnected)
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def test_a_stopped_peer_blocks_nobody_and_is_dropped(
    network: Network, process: trio.Process, nursery: trio.Nursery
) -> None:
    channel = network._peering.channels[0]
    other = Network(config(2, network.listening))
    inbox = other.channel(CHANNEL, CHANNEL_LIMITS).inbox
    await nursery.start(other.run)
    await eventually(lambda: len(network.peers()) == 2)
    events = network.subscribe()
    process.send_signal(signal.SIGSTOP)
    sent = 0
    with trio.fail_after(PATIENCE_S):
        for _ in range(16):
            channel.send(STOPPED, bytes(1 << 20))
            sent += channel.send(other.peer_id, bytes(1 << 20))
            while sent and len((await inbox.receive()).frame):
                sent -= 1
    assert network.peer(STOPPED) is not None
    with trio.fail_after(PATIENCE_S):
        gone = await events.receive()
    assert isinstance(gone, PeerDisconnected)
    assert gone.peer_id == STOPPED
    assert gone.reason in (Refusal.SILENT, Refusal.STALLED)
    assert knows(network, other)
    process.send_signal(signal.SIGCONT)
    await eventually(lambda: network.peer(STOPPED) is not None)
    nursery.cancel_scope.cancel()


async def test_a_killed_peer_is_noticed_at_once(
    network: Network, process: trio.Process, nursery: trio.Nursery
) -> None:
    events = network.subscribe()
    process.kill()
    with trio.fail_after(PATIENCE_S):
        gone = await events.receive()
    assert isinstance(gone, PeerDisconnected)
    nursery.cancel_scope.cancel()


async def test_a_connected_peer_that_says_nothing_is_dropped(nursery: trio.Nursery) -> None:
    from tests.node.network.networks import raw_peer

    network = await start(nursery, config(1))
    events = network.subscribe()
    async with raw_peer(network.listening, 2):
        with trio.fail_after(PATIENCE_S):
            assert isinstance(await events.receive(), PeerConnected)
            assert await events.receive() == PeerDisconnected(peer_id_of(seed(2)), Refusal.SILENT)
    nursery.cancel_scope.cancel()
