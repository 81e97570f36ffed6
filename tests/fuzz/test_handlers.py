"""Every handler of a running validator on hostile input: it goes on, says nothing of bugs, and charges."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from node.blobs.messages import PROTOCOL as BLOBS
from node.blobs.messages import BlobId
from node.blobs.store import BlobError
from node.discovery.messages import PROTOCOL as DISCOVERY
from node.network import hello
from node.network.identity import parse_address, peer_id_of
from node.network.peering import PeerConnected
from node.network.streams import ProtocolViolation
from node.sync.messages import PROTOCOL as SYNC
from primitives.types import Bytes32, Seed
from tests.fuzz.declared import protocols
from tests.fuzz.grow import SEED
from tests.fuzz.mutate import JUNK, Raw, mutate_bytes
from tests.fuzz.spoken import CHANNELS, SERVICES, SPOKEN
from tests.fuzz.stage import PEER, Stage, batch_of, stage
from tests.node.network.networks import config, eventually, raw_muxer, raw_peer, start

FRAMES = 120
"""For each channel and each service; `make fuzz` is for more."""

GREETINGS = 40


@pytest.fixture
def random() -> Random:
    return Random(SEED)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as node:
        yield node


def bugs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our own code raised and somebody caught."""
    return [logging.Formatter().format(record) for record in caplog.records if record.exc_info]


def test_every_protocol_is_spoken() -> None:
    assert SPOKEN.keys() == protocols()


async def test_no_frame_stops_a_validator(
    node: Stage, random: Random, caplog: pytest.LogCaptureFixture
) -> None:
    assert node.protocols == {*CHANNELS, *SERVICES}
    for protocol in CHANNELS:
        node.network.charges.clear()
        await node.hear(protocol, batch_of(SPOKEN[protocol].says, random, FRAMES))
        await node.hear(protocol, [b"", b"\xc1", b"\xdd\xff\xff\xff\xff"])
        await eventually(lambda: bool(node.network.charges))
        await node.await_block()
    assert bugs(caplog) == []


async def test_no_question_stops_a_validator(
    node: Stage, random: Random, caplog: pytest.LogCaptureFixture
) -> None:
    for protocol in SERVICES:
        questions = [*batch_of(SPOKEN[protocol].says, random, FRAMES), b"", b"\xc1"]
        answers = await node.ask(protocol, questions)
        wrong = [each for each in answers if isinstance(each, Exception)]
        assert [each for each in wrong if not isinstance(each, ProtocolViolation)] == []
        assert isinstance(answers[-1], ProtocolViolation) or answers[-1] is None
        assert wrong
        await node.await_block()
    assert bugs(caplog) == []


async def test_no_answer_stops_a_validator(
    node: Stage, random: Random, caplog: pytest.LogCaptureFixture, nursery: trio.Nursery
) -> None:
    network = node.network
    for protocol in SERVICES:
        network.lies[protocol] = partial(lie, protocol, random)
    network.height = 1_000_000
    contact = parse_address(f"/ip4/127.0.0.1/tcp/9/p2p/{PEER}")
    info = network.peer(PEER)
    assert info is not None
    network._peering._publish(PeerConnected(info))
    for number in range(20):
        with trio.move_on_after(0.5):
            with suppress(BlobError):
                await node._blobs.ensure(BlobId(Bytes32(bytes([number]) * 32)))
        node._discovery._reached(contact)
        await node._discovery._find(Bytes32(bytes([number]) * 32))
    await eventually(lambda: all(network.told[protocol] >= 10 for protocol in (SYNC, BLOBS, DISCOVERY)))
    assert {"blob answer that is not of the blob"} <= network.charges.keys()
    assert bugs(caplog) == []


def lie(protocol: str, random: Random) -> bytes:
    return random.choice(SPOKEN[protocol].answers)(random)


async def test_no_greeting_stops_a_network(
    nursery: trio.Nursery, random: Random, caplog: pytest.LogCaptureFixture
) -> None:
    """After an honest handshake: spoilt hellos and spoilt frames of Yamux, each from another address."""
    network = await start(nursery, config(1))
    assert network.listening is not None
    before = random.randrange(1000)
    for number in range(GREETINGS):
        source = f"127.0.{1 + number}.{1 + before % 250}"
        message = SPOKEN[hello.PROTOCOL].says(random)[: hello.FRAME_BYTES_MAX]
        if number % 2:
            async with raw_peer(network.listening, 100 + number, message or b"\x00", source=source):
                await trio.testing.wait_all_tasks_blocked(0.005)
        else:
            muxer, socket = await raw_muxer(network.listening, 100 + number, source)
            header = b"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"
            data = b"\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00" + header * 3
            try:
                await muxer.secured_conn.write(mutate_bytes(data, random.randbytes(24), random) or b"\x00")
                await trio.testing.wait_all_tasks_blocked(0.005)
            finally:
                socket.close_now()
    await eventually(lambda: network.counters.inbound_sockets == 0)
    assert sum(network.counters.refused.values()) > 0
    async with raw_peer(network.listening, 3, source="127.0.200.1") as honest:
        assert isinstance(await honest.answer(), hello.Hello)
    assert network.peer(peer_id_of(Seed((3).to_bytes(32, "big")))) is not None
    assert bugs(caplog) == []
    nursery.cancel_scope.cancel()


def question(names: list[str], random: Random) -> Any:
    """A request of the RPC with parameters that make no sense, or nearly."""
    junk = [each for each in JUNK if not isinstance(each, bytes | Raw | list)]
    texts = [
        "0x",
        "0x00",
        "0x" + "00" * 32,
        "0x" + "ff" * 600,
        "0xzz",
        "0x0",
        "balances.account",
        "é\x00",
        "-1",
    ]
    values: list[Any] = [
        *junk,
        *texts,
        [],
        [[]],
        {},
        ["0x" + "00" * 32],
        {"who": None},
        2**70,
        10**400,
        [0] * 70,
    ]
    params = [random.choice(values) for _ in range(random.randrange(4))]
    return {
        "jsonrpc": "2.0",
        "id": random.choice((1, "a", None, 2**80, 1.5)),
        "method": random.choice(names),
    } | ({"params": params} if random.random() < 0.95 else {})


async def test_no_request_makes_the_rpc_fail(
    node: Stage, random: Random, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher, names = node.dispatcher, sorted(node.methods)
    for _ in range(5 * FRAMES):
        document = question(names, random)
        data = json.dumps([document, document] if random.random() < 0.1 else document).encode()
        if random.random() < 0.3:
            data = mutate_bytes(data, b'{"[]}:,\\ud800\xff', random)
        answer = await dispatcher.answer(data)
        assert answer is None or json.loads(answer)
    assert bugs(caplog) == []
