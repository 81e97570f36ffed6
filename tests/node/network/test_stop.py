"""A node stops at once, whatever its peers do; and it is back with them at once after its restart."""

import signal

import trio

from node.network import hello
from node.network.host import Network
from node.network.identity import peer_id_of
from node.network.peers import Limits
from tests.node.network.networks import (
    CHANNEL,
    CHANNEL_LIMITS,
    PATIENCE_S,
    SERVICE,
    SERVICE_LIMITS,
    config,
    eventually,
    knows,
    raw_peer,
    seed,
    start,
)
from tests.node.network.test_liveness import STOPPED, stoppable

STOP_S = 3.0
"""What an operator is promised. Measured: a tenth of it, on a busy machine."""

PEERS = 30


async def test_a_node_with_many_peers_stops_at_once(nursery: trio.Nursery) -> None:
    with trio.fail_after(4 * PATIENCE_S):
        async with trio.open_nursery() as life:
            network = await start(life, config(1))
            alone = Limits(outbound_max=1)  # or they all dial each other
            others = [
                await start(nursery, config(10 + number, network.listening, limits=alone))
                for number in range(PEERS)
            ]
            await eventually(lambda: len(network.peers()) == PEERS)
            began = trio.current_time()
            life.cancel_scope.cancel()
        assert trio.current_time() - began < STOP_S
        for other in others:
            await eventually(lambda one=other: network.peer_id not in {p.peer_id for p in one.peers()})  # type: ignore[misc]
    nursery.cancel_scope.cancel()


async def test_a_node_stops_though_its_peers_take_nothing_and_never_end(nursery: trio.Nursery) -> None:
    """One is stopped with full sockets, one asks for ever, one says nothing, one was told goodbye."""

    async def never(peer: object, question: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    network = Network(config(1))
    channel = network.channel(CHANNEL, CHANNEL_LIMITS)
    network.serve(SERVICE, never, SERVICE_LIMITS)
    async with trio.open_nursery() as life:
        await life.start(network.run)
        assert network.listening is not None
        async with (
            stoppable(network) as process,
            raw_peer(network.listening, 2) as asking,
            raw_peer(network.listening, 3) as leaving,
        ):
            await eventually(lambda: len(network.peers()) == 3)
            process.send_signal(signal.SIGSTOP)
            for _ in range(16):
                channel.send(STOPPED, bytes(1 << 20))
            silent = await trio.open_tcp_stream("127.0.0.1", network.listening.port)
            stream = await asking.session.open_stream(SERVICE)
            await stream.write(b"\x00\x00\x00\x01a")
            network.disconnect(peer_id_of(seed(3)), "bye")
            assert isinstance(await leaving.answer(), hello.Hello)
            await eventually(lambda: network.counters.inbound_sockets == 4)
            began = trio.current_time()
            life.cancel_scope.cancel()
            while network.counters.inbound_sockets or network.peers():
                await trio.lowlevel.cancel_shielded_checkpoint()
            assert trio.current_time() - began < STOP_S
            await silent.aclose()
    nursery.cancel_scope.cancel()


async def test_neighbours_are_back_within_seconds_of_a_restart(nursery: trio.Nursery) -> None:
    """Those who stay dial again and again for minutes; the one that was away knows nobody."""
    stayed = [await start(nursery, config(number)) for number in (1, 2, 3)]
    async with trio.open_nursery() as life:
        away = await start(life, config(9, *(one.listening for one in stayed)))
        await eventually(lambda: knows(away, *stayed))
        life.cancel_scope.cancel()
    assert away.listening is not None
    for one in stayed:
        await eventually(lambda one=one: away.peer_id not in {peer.peer_id for peer in one.peers()})  # type: ignore[misc]
    await trio.sleep(2)  # the pauses between their dials grow to their longest
    back = await start(nursery, config(9, listen=away.listening))
    with trio.fail_after(3):
        while not knows(back, *stayed):  # noqa: ASYNC110 - no event says when all of them are there
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()
