"""Real multicast, on the loopback interface, on a port of its own."""

import socket

import pytest
import trio

from node.discovery.mdns import GROUP, HINTS_MAX, MdnsService, MdnsSettings, interfaces
from node.discovery.mdns_packets import Announced, encode_announcement, encode_question
from node.network.host import Network
from node.network.identity import PeerId, peer_id_of
from tests.node.network.networks import GENESIS, config, eventually, knows, seed, start


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def node(nursery: trio.Nursery, number: int, port: int, genesis: bytes = GENESIS) -> Network:
    network = await start(nursery, config(number, genesis=genesis))
    nursery.start_soon(MdnsService(network, MdnsSettings(genesis=genesis, port=port)).run)
    return network


async def say(port: int, *packets: bytes, host: str = "127.0.0.1") -> None:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
        await speaker.bind((host, 0))
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for packet in packets:
            await speaker.sendto(packet, (GROUP, port))


async def test_nodes_of_one_chain_meet_with_no_bootnode(nursery: trio.Nursery, port: int) -> None:
    first = await node(nursery, 1, port)
    second = await node(nursery, 2, port)
    await eventually(lambda: knows(first, second) and knows(second, first))
    nursery.cancel_scope.cancel()


async def test_nodes_of_another_chain_are_not_even_dialed(nursery: trio.Nursery, port: int) -> None:
    first = await node(nursery, 1, port)
    other = await node(nursery, 2, port, bytes(32))
    second = await node(nursery, 3, port)
    await eventually(lambda: knows(first, second))
    assert other.counters.inbound_sockets == other.counters.refused.total() == 0
    nursery.cancel_scope.cancel()


async def test_a_host_is_believed_on_itself_only(nursery: trio.Nursery, port: int) -> None:
    network = await node(nursery, 1, port)
    somebody, first, last = (peer_id_of(seed(number)) for number in (7, 8, 9))
    lies = [f"/ip4/10.0.0.1/tcp/1/p2p/{somebody}", "/ip4/127.0.0.1/tcp/1", "nowhere"]
    packets = [encode_announcement(somebody, GENESIS.hex(), (lie,)) for lie in lies]
    book = network._dialer.book

    async def until_known(one: PeerId, *before: bytes) -> None:
        """Packets of one socket arrive in their order: who knows `one` has heard what came before."""
        truth = encode_announcement(one, GENESIS.hex(), (f"/ip4/127.0.0.1/tcp/1/p2p/{one}",))
        with trio.fail_after(15):
            while one not in {known.peer_id for known in book.known(0)}:
                await say(port, *before, truth)
                await trio.sleep(0.05)

    await until_known(first)
    await until_known(last, b"garbage", *packets, encode_question())
    assert {known.peer_id for known in book.known(0)} == {first, last}
    nursery.cancel_scope.cancel()


async def test_what_one_host_says_is_bounded(nursery: trio.Nursery, port: int) -> None:
    network = await start(nursery, config(1))
    service = MdnsService(network, MdnsSettings(genesis=GENESIS, port=port))
    for number in range(10, 10 + 2 * HINTS_MAX):
        one = peer_id_of(seed(number))
        place = f"/ip4/127.0.0.1/tcp/1/p2p/{one}"
        service._hear("127.0.0.1", Announced(GENESIS.hex(), (place,)))
    assert len(list(network._dialer.book.known(0))) == HINTS_MAX
    nursery.cancel_scope.cancel()


async def test_a_machine_without_multicast_costs_one_line(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    network = await start(nursery, config(1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))  # without SO_REUSEPORT: nobody else gets the port
        settings = MdnsSettings(genesis=GENESIS, port=taken.getsockname()[1])
        await MdnsService(network, settings).run()
    assert "no discovery on the local network" in caplog.text
    nursery.cancel_scope.cancel()


def test_one_announces_what_one_listens_on() -> None:
    assert interfaces("10.0.0.1") == ["10.0.0.1"]
    assert interfaces("::1") == []
    assert all(not host.startswith("127.") for host in interfaces("0.0.0.0"))
    assert interfaces("0.0.0.0") == interfaces("::") == interfaces("node.example")
