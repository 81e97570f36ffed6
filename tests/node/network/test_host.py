import pytest
import trio

from node.network import hello
from node.network.hello import Refusal, Role
from node.network.host import HANDSHAKE_FAILED, TOO_MANY_SOCKETS, ListenFailed, Network
from node.network.identity import Address, PeerId, peer_id_of
from node.network.peering import REFUSED_BY_PEER, PeerConnected, PeerDisconnected, PeerEvent
from node.network.peers import Limits
from node.network.requests import RequestFailed, RequestFailure
from node.network.streams import ProtocolViolation, StreamClosed
from primitives.signing import SigningKey
from primitives.types import Bytes32, Seed
from tests.node.network.networks import (
    CHANNEL,
    CHANNEL_LIMITS,
    GENESIS,
    PATIENCE_S,
    SERVICE,
    SERVICE_LIMITS,
    config,
    eventually,
    knows,
    local_hello,
    raw_peer,
    seed,
    start,
)

OTHER_CHAIN: Bytes32 = b"\x08" * 32
SESSION, OTHER_SESSION, NEXT_SESSION = (SigningKey(Seed(bytes([byte]) * 32)) for byte in (5, 6, 7))


async def ask(network: Network, peer: PeerId, question: bytes, timeout_s: float = PATIENCE_S) -> bytes:
    return await network.request(peer, SERVICE, question, timeout_s=timeout_s, response_bytes_max=1 << 20)


async def event(events: trio.MemoryReceiveChannel[PeerEvent]) -> PeerEvent:
    with trio.fail_after(PATIENCE_S):
        return await events.receive()


async def test_two_nodes_meet_and_know_of_each_other(nursery: trio.Nursery) -> None:
    first = Network(config(1, session=SESSION))
    first.set_status(41)
    await nursery.start(first.run)
    second = Network(config(2, first.listening))
    events = second.subscribe()
    await nursery.start(second.run)
    met = await event(events)
    assert isinstance(met, PeerConnected)
    assert met.peer == second.peer(first.peer_id)
    assert (met.peer.role, met.peer.finalized_height) == (Role.AUTHORITY, 41)
    assert met.peer.address == str(first.listening)
    assert second.peer_of(SESSION.public_key) == first.peer_id
    await eventually(lambda: knows(first, second))
    assert first.counters.peers == second.counters.peers == 1
    nursery.cancel_scope.cancel()


async def test_heartbeats_carry_the_finalized_height(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(first, second))
    second.set_status(99)
    await eventually(lambda: first.peers()[0].finalized_height == 99)
    nursery.cancel_scope.cancel()


async def test_a_mesh_forms_from_one_bootnode(nursery: trio.Nursery) -> None:
    sessions = [SigningKey(Seed(bytes([9, number]) * 16)) for number in range(4)]
    bootnode = await start(nursery, config(1, session=sessions[0]))
    others = [
        await start(nursery, config(2 + number, bootnode.listening, session=session))
        for number, session in enumerate([*sessions[1:], None])
    ]
    everyone = [bootnode, *others]
    for network in everyone:
        await eventually(lambda one=network: knows(one, *(set(everyone) - {one})))  # type: ignore[misc]
    assert all(others[3].peer_of(key.public_key) for key in sessions)
    nursery.cancel_scope.cancel()


async def test_nodes_that_dial_each_other_keep_one_connection(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = await start(nursery, config(2))
    assert first.listening is not None
    assert second.listening is not None
    first.dial(second.listening)
    second.dial(first.listening)
    await eventually(lambda: knows(first, second) and knows(second, first))
    await eventually(lambda: first.counters.inbound_sockets + second.counters.inbound_sockets == 1)
    assert first.peers()[0].outbound != second.peers()[0].outbound
    nursery.cancel_scope.cancel()


async def test_a_peer_is_found_again_after_its_restart(nursery: trio.Nursery) -> None:
    """The node that stayed was dialed, and now dials; the other knows nobody."""
    first = await start(nursery, config(1))
    events = first.subscribe()
    async with trio.open_nursery() as life:
        second = await start(life, config(2, first.listening))
        assert isinstance(await event(events), PeerConnected)
        life.cancel_scope.cancel()
    assert isinstance(await event(events), PeerDisconnected)
    assert second.listening is not None
    restarted = await start(nursery, config(2, listen=second.listening))
    assert isinstance(await event(events), PeerConnected)
    assert knows(first, restarted)
    nursery.cancel_scope.cancel()


async def test_frames_reach_the_inbox_of_their_protocol(nursery: trio.Nursery) -> None:
    first, second = Network(config(1)), Network(config(2))
    inbox = first.channel(CHANNEL, CHANNEL_LIMITS).inbox
    channel = second.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(first.run)
    await nursery.start(second.run)
    assert first.listening is not None
    second.dial(first.listening)
    await eventually(lambda: knows(second, first))
    frames = [bytes([number]) * size for number, size in enumerate([0, 1, 70_000, 1 << 20])]
    for data in frames:
        assert channel.send(first.peer_id, data)
    with trio.fail_after(PATIENCE_S):
        assert [await inbox.receive() for _ in frames] == [(second.peer_id, data) for data in frames]
    assert first.counters.frames_in[CHANNEL] == second.counters.frames_out[CHANNEL] == len(frames)
    nursery.cancel_scope.cancel()


async def test_votes_overtake_proposals(nursery: trio.Nursery) -> None:
    first, second = Network(config(1)), Network(config(2))
    inbox = first.channel(CHANNEL, CHANNEL_LIMITS).inbox
    channel = second.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(first.run)
    await nursery.start(second.run)
    assert first.listening is not None
    second.dial(first.listening)
    await eventually(lambda: knows(second, first))
    for _ in range(4):
        assert channel.send(first.peer_id, bytes(1 << 20))
    assert channel.send(first.peer_id, b"vote", urgent=True)
    with trio.fail_after(PATIENCE_S):
        arrived = [(await inbox.receive()).frame for _ in range(5)]
    assert b"vote" in arrived[:4]
    nursery.cancel_scope.cancel()


async def test_a_slow_service_loses_frames_and_counts_them(nursery: trio.Nursery) -> None:
    first, second = Network(config(1)), Network(config(2))
    first.channel(CHANNEL, CHANNEL_LIMITS)
    channel = second.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(first.run)
    await nursery.start(second.run)
    assert first.listening is not None
    second.dial(first.listening)
    await eventually(lambda: knows(second, first))
    queued = sum(channel.send(first.peer_id, bytes(10)) for _ in range(CHANNEL_LIMITS.queue_frames_max + 50))
    assert queued == CHANNEL_LIMITS.queue_frames_max
    assert second.counters.dropped_out[CHANNEL] == 50
    await eventually(lambda: first.counters.frames_in[CHANNEL] == queued)
    assert channel.send(first.peer_id, bytes(10))
    await eventually(lambda: first.counters.dropped_in[CHANNEL] == 1)
    nursery.cancel_scope.cancel()


async def test_frames_of_a_protocol_the_peer_does_not_speak_are_lost(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = Network(config(2, first.listening))
    channel = second.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(second.run)
    await eventually(lambda: knows(second, first))
    assert channel.send(first.peer_id, b"lost")
    await eventually(lambda: second.counters.dropped_out[CHANNEL] == 1)
    assert knows(second, first)
    nursery.cancel_scope.cancel()


async def test_an_oversized_frame_is_refused_and_charged(nursery: trio.Nursery) -> None:
    network = Network(config(1))
    network.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(network.run)
    async with raw_peer(network.listening, 2) as peer:
        assert isinstance(await peer.answer(), hello.Hello)
        for _ in range(5):
            stream = await peer.session.open_stream(CHANNEL)
            await stream.write((CHANNEL_LIMITS.frame_bytes_max + 1).to_bytes(4, "big"))
            with trio.fail_after(PATIENCE_S), pytest.raises(StreamClosed):
                await stream.read(1)
        await eventually(lambda: network.banned() == (peer_id_of(seed(2)),))
    await eventually(lambda: network.peers() == ())
    assert network.counters.bans == 1
    nursery.cancel_scope.cancel()


async def test_a_banned_peer_is_told_and_stays_out(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(first, second) and knows(second, first))
    events = second.subscribe()
    first.penalize(second.peer_id, "bad vote", 100)
    gone = await event(events)
    assert isinstance(gone, PeerDisconnected)
    assert "banned: bad vote" in gone.reason
    await eventually(lambda: second.counters.refused[REFUSED_BY_PEER] > 0)
    await eventually(lambda: first.peers() == ())
    nursery.cancel_scope.cancel()


async def test_an_exception_in_a_handler_is_survived_and_charged(nursery: trio.Nursery) -> None:
    async def handler(peer: PeerId, question: bytes) -> bytes:
        if question == b"ok":
            return b"fine"
        raise ZeroDivisionError if question == b"bug" else ProtocolViolation("bad question", 30)

    first = Network(config(1))
    first.serve(SERVICE, handler, SERVICE_LIMITS)
    await nursery.start(first.run)
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(second, first))
    for question in (b"bug", b"fault"):
        with pytest.raises(RequestFailed) as caught:
            await ask(second, first.peer_id, question)
        assert caught.value.reason == RequestFailure.CLOSED
    assert await ask(second, first.peer_id, b"ok") == b"fine"
    assert first.peers()[0].score == -40
    nursery.cancel_scope.cancel()


async def test_rewards_raise_a_score(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(first, second))
    first.reward(second.peer_id, 5)
    assert first.peers()[0].score == 5
    nursery.cancel_scope.cancel()


async def test_requests_are_answered_up_to_their_limits(nursery: trio.Nursery) -> None:
    async def repeat(peer: PeerId, question: bytes) -> bytes:
        return question * 16

    first = Network(config(1))
    first.serve(SERVICE, repeat, SERVICE_LIMITS)
    await nursery.start(first.run)
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(second, first))
    largest = bytes(SERVICE_LIMITS.request_bytes_max)
    assert await ask(second, first.peer_id, b"") == b""
    assert await ask(second, first.peer_id, largest) == largest * 16
    with pytest.raises(RequestFailed) as closed:
        await ask(second, first.peer_id, largest + b"1")
    assert closed.value.reason == RequestFailure.CLOSED
    with pytest.raises(RequestFailed) as too_long:
        await second.request(first.peer_id, SERVICE, b"1", timeout_s=PATIENCE_S, response_bytes_max=15)
    assert too_long.value.reason == RequestFailure.TOO_LONG
    nursery.cancel_scope.cancel()


async def test_a_request_times_out_and_a_busy_peer_says_so(nursery: trio.Nursery) -> None:
    async def never(peer: PeerId, question: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    first = Network(config(1))
    first.serve(SERVICE, never, SERVICE_LIMITS)
    await nursery.start(first.run)
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(second, first))
    reasons: list[RequestFailure] = []

    async def fail(timeout_s: float) -> None:
        with pytest.raises(RequestFailed) as caught:
            await ask(second, first.peer_id, b"", timeout_s)
        reasons.append(caught.value.reason)

    async with trio.open_nursery() as asking:
        for _ in range(SERVICE_LIMITS.per_peer_max):
            asking.start_soon(fail, 0.5)
        await trio.sleep(0.2)
        await fail(PATIENCE_S)
    assert reasons == [RequestFailure.BUSY, RequestFailure.TIMED_OUT, RequestFailure.TIMED_OUT]
    nursery.cancel_scope.cancel()


async def test_a_request_to_nobody_or_of_an_unknown_protocol_fails(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = await start(nursery, config(2, first.listening))
    with pytest.raises(RequestFailed) as nobody:
        await ask(second, peer_id_of(seed(3)), b"")
    assert nobody.value.reason == RequestFailure.NOT_CONNECTED
    await eventually(lambda: knows(second, first))
    with pytest.raises(RequestFailed) as unsupported:
        await ask(second, first.peer_id, b"")
    assert unsupported.value.reason == RequestFailure.UNSUPPORTED
    nursery.cancel_scope.cancel()


async def test_another_chain_is_refused_with_the_reason(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    async with raw_peer(network.listening, 2, local_hello(2, OTHER_CHAIN).at(0, 0)) as peer:
        assert await peer.answer() == hello.Goodbye(reason=Refusal.WRONG_GENESIS)
    other = await start(nursery, config(3, network.listening, genesis=OTHER_CHAIN))
    await eventually(lambda: other.counters.refused[REFUSED_BY_PEER] == 1)
    assert network.counters.refused[Refusal.WRONG_GENESIS] == 2
    assert network.peers() == other.peers() == ()
    nursery.cancel_scope.cancel()


async def test_a_forged_session_proof_is_refused(nursery: trio.Nursery) -> None:
    """A proof that was made for another peer id is copied."""
    network = await start(nursery, config(1))
    copied = hello.LocalHello(
        peer_id=peer_id_of(seed(3)), genesis=GENESIS, role=Role.AUTHORITY, signer=SESSION
    )
    async with raw_peer(network.listening, 2, copied.at(0, 0)) as peer:
        assert await peer.answer() == hello.Goodbye(reason=Refusal.BAD_SESSION_PROOF)
    assert network.peer_of(SESSION.public_key) is None
    nursery.cancel_scope.cancel()


async def test_another_session_key_is_learned_without_a_new_connection(nursery: trio.Nursery) -> None:
    validator = Network(config(1, session=SESSION))
    channel = validator.channel(CHANNEL, CHANNEL_LIMITS)
    await nursery.start(validator.run)
    follower = await start(nursery, config(2, validator.listening, session=OTHER_SESSION))
    await eventually(lambda: follower.peer_of(SESSION.public_key) == validator.peer_id)
    validator.set_authorities(frozenset({NEXT_SESSION.public_key}))
    assert channel.broadcast(b"vote", where=validator.is_authority) == 0
    follower.set_signer(NEXT_SESSION)
    await eventually(lambda: validator.peer_of(NEXT_SESSION.public_key) == follower.peer_id)
    assert validator.peer_of(OTHER_SESSION.public_key) is None
    assert channel.broadcast(b"vote", where=validator.is_authority) == 1
    assert validator.counters.peers == 1
    nursery.cancel_scope.cancel()


async def test_a_forged_proof_of_another_session_key_is_charged(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    proof = hello.prove_session(SESSION, GENESIS, peer_id_of(seed(3)))
    async with raw_peer(network.listening, 2, local_hello(2).at(0, 0)) as peer:
        assert isinstance(await peer.answer(), hello.Hello)
        await peer.say(hello.Status(finalized_height=0, addresses=(), session=proof))
        await eventually(lambda: network.peers() == ())
    assert network.peer_of(SESSION.public_key) is None
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "message",
    [hello.Status(finalized_height=0, addresses=()), b"\x93garbage"],
    ids=["status before hello", "garbage"],
)
async def test_a_malformed_hello_is_refused_and_charged(
    nursery: trio.Nursery, message: hello.Message | bytes
) -> None:
    network = await start(nursery, config(1))
    for _ in range(2):
        async with raw_peer(network.listening, 2, message) as peer:
            assert await peer.answer() == hello.Goodbye(reason=Refusal.MALFORMED)
    assert network.banned() == (peer_id_of(seed(2)),)
    async with raw_peer(network.listening, 2) as peer:
        assert await peer.answer() == hello.Goodbye(reason=Refusal.BANNED)
    assert network.peers() == ()
    nursery.cancel_scope.cancel()


STATUS = hello.Status(finalized_height=0, addresses=())
SOMEBODY = peer_id_of(seed(7))


@pytest.mark.parametrize(
    "messages",
    [
        [STATUS] * 50,
        [local_hello(2).at(0, 0)],
        [hello.Status(finalized_height=0, addresses=("nowhere",))],
        [hello.Status(finalized_height=0, addresses=(f"/dns/example.org/tcp/1/p2p/{SOMEBODY}",))],
        [hello.Status(finalized_height=0, addresses=(f"/ip4/10.0.0.1/tcp/0/p2p/{SOMEBODY}",))],
        [hello.Status(finalized_height=0, addresses=("/ip4/10.0.0.1/tcp/1",))],
    ],
    ids=["flood", "hello again", "no address", "a name", "no port", "nobody"],
)
async def test_breaking_the_heartbeat_costs_the_connection(
    nursery: trio.Nursery, messages: list[hello.Message]
) -> None:
    network = await start(nursery, config(1))
    async with raw_peer(network.listening, 2) as peer:
        assert isinstance(await peer.answer(), hello.Hello)
        await peer.say(*messages)
        await eventually(lambda: network.peers() == ())
    async with raw_peer(network.listening, 2) as peer:
        assert isinstance(await peer.answer(), hello.Hello)
        assert network.peers()[0].score == -50
    nursery.cancel_scope.cancel()


async def test_a_name_that_is_none_does_no_harm(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    network.dial(Address(host="a..b", port=1, peer_id=SOMEBODY))
    other = await start(nursery, config(2))
    assert other.listening is not None
    network.dial(other.listening)
    await eventually(lambda: knows(network, other))
    nursery.cancel_scope.cancel()


async def test_a_peer_is_told_why_it_is_disconnected(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(first, second) and knows(second, first))
    events = second.subscribe()
    first.disconnect(second.peer_id, "maintenance")
    assert await event(events) == PeerDisconnected(first.peer_id, "the peer said: 'maintenance'")
    nursery.cancel_scope.cancel()


async def test_a_slow_subscriber_stops_nobody(nursery: trio.Nursery) -> None:
    first = await start(nursery, config(1))
    first.subscribe()
    first.subscribe().close()
    second = await start(nursery, config(2, first.listening))
    await eventually(lambda: knows(first, second))
    nursery.cancel_scope.cancel()


async def test_silent_sockets_leave_room_for_others(nursery: trio.Nursery) -> None:
    """Every 127.x.y.z is an address of its own, as those of different owners are."""
    limits = Limits(silent_per_network_max=3)
    network = await start(nursery, config(1, limits=limits))
    assert network.listening is not None
    sockets = []
    for _ in range(5):
        socket = trio.socket.socket()
        await socket.bind(("127.0.0.2", 0))
        await socket.connect(("127.0.0.1", network.listening.port))
        sockets.append(socket)
    await eventually(lambda: network.counters.refused[TOO_MANY_SOCKETS] == 2)
    assert network.counters.inbound_sockets == 3
    other = await start(nursery, config(2, network.listening))
    await eventually(lambda: knows(other, network))
    await eventually(lambda: network.counters.refused[Refusal.SILENT] == 3)
    await eventually(lambda: network.counters.inbound_sockets == 1)
    for socket in sockets:
        socket.close()
    nursery.cancel_scope.cancel()


async def test_strangers_never_take_the_slot_of_an_authority(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1, limits=Limits(inbound_max=1)))
    network.set_authorities(frozenset({SESSION.public_key}))
    stranger = await start(nursery, config(2, network.listening))
    await eventually(lambda: knows(network, stranger))
    async with raw_peer(network.listening, 3) as peer:
        assert await peer.answer() == hello.Goodbye(reason=Refusal.FULL)
    authority = await start(nursery, config(4, network.listening, session=SESSION))
    await eventually(lambda: any(network.is_authority(peer) for peer in network.peers()))
    assert network.peer_of(SESSION.public_key) == authority.peer_id
    nursery.cancel_scope.cancel()


async def test_reconnecting_again_and_again_uses_up_nothing(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1, limits=Limits(inbound_max=2, sockets_per_network_max=2)))
    for _ in range(10):
        async with raw_peer(network.listening, 2) as peer:
            assert isinstance(await peer.answer(), hello.Hello)
        await eventually(lambda: network.counters.inbound_sockets == 0)
    assert network.counters.refused[HANDSHAKE_FAILED] == 0
    nursery.cancel_scope.cancel()


async def test_a_busy_port_is_named(nursery: trio.Nursery) -> None:
    network = await start(nursery, config(1))
    assert network.listening is not None
    with pytest.raises(ListenFailed, match="another process listens there"):
        await Network(config(2, listen=network.listening)).run()
    nursery.cancel_scope.cancel()


async def test_everything_is_closed_when_the_network_is_cancelled(nursery: trio.Nursery) -> None:
    async with trio.open_nursery() as life:
        first = await start(life, config(1))
        second = await start(life, config(2, first.listening))
        await eventually(lambda: knows(first, second))
        life.cancel_scope.cancel()
    assert first.listening is not None
    assert first.peers() == second.peers() == ()
    assert first.counters.inbound_sockets == 0
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", first.listening.port)
