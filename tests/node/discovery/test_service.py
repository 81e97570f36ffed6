"""Real nodes on loopback find each other by session key, though nobody gossips their addresses."""

import time

import pytest
import trio

from node.discovery.messages import (
    ANSWER,
    PROTOCOL,
    QUESTION,
    AuthorityClaims,
    AuthorityRecord,
    FindNode,
    FindRecord,
    Question,
    Store,
    signed_message,
)
from node.discovery.service import DiscoveryService, Settings
from node.network.host import Network
from node.network.identity import Address, PeerId, network_of, peer_id_of
from node.network.muxer import BoundedYamux
from node.network.peering import REFUSED_VISIT
from node.network.peers import Limits
from node.network.requests import RequestFailed, RequestFailure
from node.network.transport import Socket
from node.network.visits import VISITS_MAX
from node.network.visits import question as visit_question
from node.network.visits import visit as raw_visit
from primitives.signing import SigningKey
from primitives.types import U63, Seed
from tests.node.network.networks import (
    GENESIS,
    SERVICE,
    SERVICE_LIMITS,
    config,
    eventually,
    knows,
    raw_muxer,
    seed,
)

FIND_S = 0.1


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def key(number: int) -> SigningKey:
    return SigningKey(Seed(bytes([number]) * 32))


async def node(
    nursery: trio.Nursery,
    number: int,
    *bootnodes: Network,
    session: SigningKey | None = None,
    committee: frozenset[bytes] = frozenset(),
    limits: Limits | None = None,
) -> tuple[Network, DiscoveryService]:
    places = [one.listening for one in bootnodes]
    network = Network(config(number, *places, session=session, limits=limits))
    settings = Settings(genesis=GENESIS, signer=session, clock_ms=clock_ms, find_s=FIND_S)
    service = DiscoveryService(network, settings)
    network.set_authorities(committee)
    service.set_committee(committee)
    await nursery.start(network.run)
    nursery.start_soon(service.run)
    return network, service


def address_of(network: Network) -> Address:
    assert network.listening is not None
    return network.listening


def record(signer: SigningKey, network: Network) -> AuthorityRecord:
    claims = AuthorityClaims(
        genesis=GENESIS,
        session_key=signer.public_key,
        peer_id=network.peer_id,
        addresses=(f"/ip4/127.0.0.1/tcp/{address_of(network).port}",),
        sequence=U63(clock_ms()),
    )
    return AuthorityRecord(claims=claims, signature=signer.sign(signed_message(claims)))


FULL = Limits(outbound_max=1)
"""A node that dials nobody but its bootnode: of the others it knows only by searching."""


async def test_validators_that_know_one_node_find_each_other_by_their_keys(nursery: trio.Nursery) -> None:
    """The node between them has other neighbours than they dial: each keeps one outbound slot."""
    committee = frozenset({key(1).public_key, key(2).public_key})
    hub, _ = await node(nursery, 1, committee=committee)
    first, _ = await node(nursery, 2, hub, session=key(1), committee=committee, limits=FULL)
    second, _ = await node(nursery, 3, hub, session=key(2), committee=committee, limits=FULL)
    await eventually(lambda: first.peer_of(key(2).public_key) == second.peer_id)
    await eventually(lambda: second.peer_of(key(1).public_key) == first.peer_id)
    nursery.cancel_scope.cancel()


async def visit(network: Network, target: Network, question: Question) -> bytes:
    return await network.visit(
        address_of(target), PROTOCOL, QUESTION.encode(question), timeout_s=5, response_bytes_max=1 << 16
    )


async def test_a_visitor_is_answered_and_takes_no_slot(nursery: trio.Nursery) -> None:
    committee = frozenset({key(1).public_key})
    keeper, _ = await node(nursery, 1, committee=committee, limits=Limits(inbound_max=0))
    stranger = Network(config(2))
    await nursery.start(stranger.run)
    known = record(key(1), stranger)
    await visit(stranger, keeper, Store(genesis=GENESIS, record=known))
    answer = ANSWER.decode(
        await visit(stranger, keeper, FindRecord(genesis=GENESIS, session_key=key(1).public_key))
    )
    assert (answer.record, answer.seen_at) == (known, "127.0.0.1")
    assert keeper.peers() == stranger.peers() == ()
    assert keeper.counters.visits == 2
    await eventually(lambda: keeper.counters.inbound_sockets == 0)
    nursery.cancel_scope.cancel()


async def test_a_forged_record_costs_the_visitor(nursery: trio.Nursery) -> None:
    committee = frozenset({key(1).public_key})
    keeper, service = await node(nursery, 1, committee=committee)
    stranger = Network(config(2))
    await nursery.start(stranger.run)
    forged = AuthorityRecord(claims=record(key(1), stranger).claims, signature=bytes(64))
    for _ in range(5):
        with pytest.raises(RequestFailed):
            await visit(stranger, keeper, Store(genesis=GENESIS, record=forged))
    await eventually(lambda: keeper.banned() == (stranger.peer_id,))
    assert len(service._store) == 0
    nursery.cancel_scope.cancel()


async def test_a_visit_to_nobody_or_an_imposter_fails(nursery: trio.Nursery) -> None:
    somebody, _ = await node(nursery, 1)
    stranger = Network(config(2))
    await nursery.start(stranger.run)
    imposter = address_of(somebody).with_peer_id(peer_id_of(seed(9)))
    question = QUESTION.encode(FindNode(genesis=GENESIS, target=bytes(32)))
    for place in (imposter, Address(host="127.0.0.1", port=1, peer_id=peer_id_of(seed(9)))):
        with pytest.raises(RequestFailed):
            await stranger.visit(place, PROTOCOL, question, timeout_s=5, response_bytes_max=1 << 16)
    nursery.cancel_scope.cancel()


async def test_a_node_with_the_whole_committee_searches_for_nobody(nursery: trio.Nursery) -> None:
    committee = frozenset({key(1).public_key})
    hub, _ = await node(nursery, 1, session=key(1), committee=committee)
    other, service = await node(nursery, 2, hub, committee=committee)
    await eventually(lambda: knows(other, hub))
    assert await service._find_missing()
    assert hub.counters.visits == 0
    nursery.cancel_scope.cancel()


async def test_visits_of_one_address_are_bounded(nursery: trio.Nursery) -> None:
    keeper, _ = await node(nursery, 1)
    question = FindNode(genesis=GENESIS, target=bytes(32))
    network = network_of("127.0.0.2")
    for _ in range(VISITS_MAX):
        keeper._peering._visits_left.spend(network, trio.current_time())
    assert keeper.listening is not None
    muxer, socket = await raw_muxer(keeper.listening, 2, "127.0.0.2")
    asking = visit_question(PROTOCOL, QUESTION.encode(question), 5, 1 << 16)

    async def upgraded(_: Socket) -> BoundedYamux:
        return muxer

    with pytest.raises(RequestFailed):
        await raw_visit(socket, upgraded, keeper.peer_id, asking)
    assert keeper.counters.refused[REFUSED_VISIT] == 1
    nursery.cancel_scope.cancel()


async def test_a_visitor_finds_no_other_protocol(nursery: trio.Nursery) -> None:
    """What is served to peers is served after a hello only."""

    async def never(peer: PeerId, question: bytes) -> bytes:
        raise AssertionError

    keeper = Network(config(1))
    keeper.serve(SERVICE, never, SERVICE_LIMITS)
    await nursery.start(keeper.run)
    stranger = Network(config(2))
    await nursery.start(stranger.run)
    with pytest.raises(RequestFailed) as caught:
        await stranger.visit(address_of(keeper), SERVICE, b"", timeout_s=5, response_bytes_max=9)
    assert caught.value.reason == RequestFailure.UNSUPPORTED
    nursery.cancel_scope.cancel()
