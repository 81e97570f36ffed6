"""Strangers that want more than their share. Every 127.x.y.z is an address of its own."""

from functools import partial

import trio

from node.network import hello
from node.network.hello import Refusal
from node.network.host import BANNED_NETWORK, TOO_MANY_SOCKETS, Network
from node.network.identity import peer_id_of
from node.network.peering import HEARSAY_MAX
from node.network.peers import Limits
from tests.node.network.networks import PATIENCE_S, config, eventually, raw_peer, seed, start

SOURCE = "127.0.0.2"


async def test_new_keys_from_one_address_end_in_a_ban_of_the_address(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    assert network.listening is not None
    for number in range(2, 5):
        async with raw_peer(network.listening, number, source=SOURCE) as peer:
            assert isinstance(await peer.answer(), hello.Hello)
            network.penalize(peer_id_of(seed(number)), "flood", 100)
            await eventually(lambda: network.peers() == ())
    stream = await trio.open_tcp_stream("127.0.0.1", network.listening.port, local_address=SOURCE)
    with trio.fail_after(PATIENCE_S):
        assert await stream.receive_some(1) == b""
    await stream.aclose()
    assert network.counters.refused[BANNED_NETWORK] == 1
    assert [ban.key for ban in network.bans()][-1] == SOURCE
    async with raw_peer(network.listening, 9, source="127.0.0.3") as other:
        assert isinstance(await other.answer(), hello.Hello)
    nursery.cancel_scope.cancel()


async def test_a_malformed_hello_is_charged_to_the_address_as_well(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    for number in (2, 2, 3, 3, 4, 4):
        async with raw_peer(network.listening, number, b"\x93garbage", source=SOURCE) as peer:
            assert await peer.answer() == hello.Goodbye(reason=Refusal.MALFORMED)
    assert [ban.key for ban in network.bans()][-1] == SOURCE
    nursery.cancel_scope.cancel()


async def test_one_address_has_its_share_of_the_sockets(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1, limits=Limits(sockets_per_network_max=2)))
    async with raw_peer(network.listening, 2, source=SOURCE) as first:
        assert isinstance(await first.answer(), hello.Hello)
        async with raw_peer(network.listening, 3, source=SOURCE) as second:
            assert isinstance(await second.answer(), hello.Hello)
            assert network.listening is not None
            third = await trio.open_tcp_stream("127.0.0.1", network.listening.port, local_address=SOURCE)
            with trio.fail_after(PATIENCE_S):
                assert await third.receive_some(1) == b""
            await third.aclose()
            async with raw_peer(network.listening, 4, source="127.0.0.3") as other:
                assert isinstance(await other.answer(), hello.Hello)
    assert network.counters.refused[TOO_MANY_SOCKETS] == 1
    nursery.cancel_scope.cancel()


async def test_a_handshake_in_drops_is_cut_off(nursery: trio.Nursery) -> None:
    """One byte now and then keeps no socket open beyond the deadline of the whole handshake."""
    network = await start(nursery, config(1))
    assert network.listening is not None
    stream = await trio.open_tcp_stream("127.0.0.1", network.listening.port)
    header = b"\x13/multistream/1.0.0\n" + b"\x01" * 1000
    with trio.fail_after(PATIENCE_S):
        try:
            for byte in header:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.3)
        except trio.BrokenResourceError:
            pass
    assert network.counters.refused[Refusal.SILENT] == 1
    assert network.counters.inbound_sockets == 0
    await stream.aclose()
    nursery.cancel_scope.cancel()


def rumour(numbers: range) -> hello.Status:
    return hello.Status(
        finalized_height=0,
        addresses=tuple(f"/ip4/10.0.{n >> 8}.{n & 255}/tcp/9/p2p/{peer_id_of(seed(n))}" for n in numbers),
    )


def heights(network: Network) -> list[int]:
    return [peer.finalized_height for peer in network.peers()]


async def test_rumours_are_bounded_for_an_address_that_comes_again(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    book = network._dialer.book
    for turn in range(1, 5):
        async with raw_peer(network.listening, 2, source=SOURCE) as peer:
            assert isinstance(await peer.answer(), hello.Hello)
            last = hello.Status(finalized_height=turn, addresses=())
            await peer.say(rumour(range(32 * turn, 32 * turn + 32)), last)
            await eventually(partial(lambda height: heights(network) == [height], turn))
        await eventually(lambda: network.peers() == ())
    assert sum(known.addresses[0].host.startswith("10.") for known in book.known(0)) == HEARSAY_MAX
    nursery.cancel_scope.cancel()
