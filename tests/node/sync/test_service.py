"""Sync over peers and a chain in memory."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from frame.error import Unable
from node.db.errors import DatabaseError
from node.network.channel import Received
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peering import PeerDisconnected
from node.network.requests import RequestFailed, RequestFailure
from node.network.streams import ProtocolViolation
from node.sync.importer import Disagreed, TooEarly
from node.sync.messages import (
    ANNOUNCEMENT,
    REQUEST,
    Announcement,
    Request,
    decode_announcement,
    decode_answer,
)
from node.sync.service import (
    FORGED_COST,
    LIE_COST,
    LOGGER,
    PROGRESS_INTERVAL_S,
    STARVED_INTERVAL_S,
    Consensus,
    SyncService,
)
from node.sync.serving import BURST_BYTES, QUESTION_BYTES
from primitives.certificate import Certificate
from primitives.types import BlockNumber
from tests.node.sync.samples import (
    FORGED,
    FakeChain,
    FakeNetwork,
    FakePeer,
    Source,
    certificate_of,
    chain_of,
)

BLOCKS = chain_of(40)
LIAR = PeerId("liar")


def honest(height: int = 40, every: int = 3, role: Role = Role.AUTHORITY) -> FakePeer:
    return FakePeer(Source(BLOCKS[: height + 1], every).answer, height, role)


async def silence(peer: PeerId, payload: bytes) -> bytes:
    raise RequestFailed(RequestFailure.TIMED_OUT)


async def nonsense(peer: PeerId, payload: bytes) -> bytes:
    return b"nonsense"


class _Ear(logging.Handler):
    """Listens to the log until something is said."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.heard = trio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.text in record.getMessage():
            self.heard.set()


async def heard(text: str) -> None:
    """Wait until the service logs `text`."""
    ear = _Ear(text)
    LOGGER.addHandler(ear)
    try:
        await ear.heard.wait()
    finally:
        LOGGER.removeHandler(ear)


@dataclass
class Setup:
    sync: SyncService
    chain: FakeChain
    network: FakeNetwork
    settled: list[int]
    """Where the chain stood when the engine was told."""

    disagreed: list[Certificate]


@asynccontextmanager
async def running(network: FakeNetwork, height: int = 0) -> AsyncIterator[Setup]:
    chain = FakeChain(BLOCKS[: height + 1])
    settled: list[int] = []
    disagreed: list[Certificate] = []

    async def settle() -> None:
        settled.append(chain.finalized.height)

    async def disagree(certificate: Certificate) -> None:
        disagreed.append(certificate)

    consensus = Consensus(patience_blocks=lambda: 0, settle=settle, disagree=disagree)
    sync = SyncService(chain, chain, Source(chain.blocks), network, consensus)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync.run)
        yield Setup(sync, chain, network, settled, disagreed)
        nursery.cancel_scope.cancel()


async def test_a_new_node_replays_everything_and_says_so() -> None:
    async with running(FakeNetwork(peer=honest())) as setup:
        await setup.chain.reach(40)
        await wait_all_tasks_blocked()
        assert setup.chain.blocks == BLOCKS
        assert setup.settled == [40]
        assert (setup.sync.is_syncing, setup.sync.target) == (False, 40)
        assert setup.network.penalties == []
        assert set(setup.network.rewards) == {"peer"}
        assert setup.disagreed == []


async def test_a_level_node_asks_nobody() -> None:
    network = FakeNetwork(peer=honest())
    async with running(network, height=40):
        await wait_all_tasks_blocked()
        assert network.asked == []


async def test_a_silent_peer_is_left_for_another() -> None:
    async with running(FakeNetwork(silent=FakePeer(silence, 50, score=9), peer=honest())) as setup:
        await setup.chain.reach(40)
        assert [peer for peer, _ in setup.network.asked][:2] == ["silent", "peer"]
        assert setup.network.penalties == []


@pytest.mark.parametrize(
    ("lie", "cost"), [(nonsense, LIE_COST), (Source(BLOCKS, signature=FORGED).answer, FORGED_COST)]
)
async def test_a_lying_peer_is_charged_once_and_left_for_another(lie: object, cost: int) -> None:
    assert callable(lie)
    async with running(FakeNetwork(liar=FakePeer(lie, 40, score=9), peer=honest())) as setup:
        await setup.chain.reach(40)
        assert setup.network.penalties == [(LIAR, cost)]
        assert setup.chain.blocks == BLOCKS


async def test_trouble_of_this_machine_is_waited_out(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(FakeNetwork(peer=honest())) as setup:
        setup.chain.trouble = [Unable("no memory")]
        await setup.chain.reach(40)
        assert setup.network.penalties == []
        assert "cannot import blocks from 1 on: no memory" in caplog.text


async def test_a_bug_costs_an_import_and_not_the_node(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(FakeNetwork(peer=honest())) as setup:
        setup.chain.trouble = [ZeroDivisionError("a bug")]
        await setup.chain.reach(40)
        assert setup.network.penalties == []
        assert "importing blocks from 1 on failed; report this" in caplog.text
        assert "ZeroDivisionError: a bug" in caplog.text


async def test_a_final_block_that_is_invalid_here_ends_the_vote_and_the_sync(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(FakeNetwork(peer=honest())) as setup:
        certificate = certificate_of(BLOCKS[3])
        setup.chain.trouble = [Disagreed(BLOCKS[2], certificate, "BAD_INHERENT")]
        await heard("invalid for this node")
        await trio.sleep(600)
        assert setup.disagreed == [certificate]
        assert (setup.chain.imports, setup.network.penalties) == ([], [])
        (line,) = (record for record in caplog.records if record.levelname == "CRITICAL")
        assert "block 2 (" in line.getMessage()
        assert "final for the network and invalid for this node (BAD_INHERENT)" in line.getMessage()


async def test_a_proof_that_comes_too_early_is_tried_again_in_time(autojump_clock: MockClock) -> None:
    async with running(FakeNetwork(peer=honest())) as setup:
        setup.chain.puzzles = [TooEarly(BlockNumber(0)), DatabaseError("busy")]
        await setup.chain.reach(40)
        assert setup.network.penalties == []


async def test_blocks_that_consensus_committed_meanwhile_are_passed_over() -> None:
    async with running(FakeNetwork(peer=honest())) as setup:
        setup.chain.overtake = BLOCKS[1:20]
        await setup.chain.reach(40)
        assert setup.network.penalties == []


async def test_a_peer_without_old_blocks_is_no_liar_and_the_operator_is_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network = FakeNetwork(pruned=FakePeer(Source(BLOCKS, lowest=20).answer, 40))
    async with running(network) as setup:
        await heard("no peer holds block 1 any more")
        await trio.sleep(STARVED_INTERVAL_S + 1)
        assert network.asked == [("pruned", 1)]
        assert caplog.text.count("no peer holds block 1 any more") == 2
        network.connected[PeerId("archive")] = honest()
        await setup.chain.reach(40)
        assert network.penalties == []


async def test_a_peer_that_comes_is_asked_at_once() -> None:
    network = FakeNetwork()
    async with running(network) as setup:
        await wait_all_tasks_blocked()
        network.connected[PeerId("peer")] = honest()
        await network.coming.send(PeerDisconnected(PeerId("peer"), "gone"))
        await setup.chain.reach(40)


async def test_an_answer_without_end_is_charged() -> None:
    async def endless(peer: PeerId, payload: bytes) -> bytes:
        raise RequestFailed(RequestFailure.TOO_LONG)

    async with running(FakeNetwork(liar=FakePeer(endless, 60, score=9), peer=honest())) as setup:
        await setup.chain.reach(40)
        assert setup.network.penalties == [(LIAR, LIE_COST)]


async def test_who_asks_too_much_waits(autojump_clock: MockClock) -> None:
    async with running(FakeNetwork(), height=10) as setup:
        request = REQUEST.encode(Request(BlockNumber(5), BlockNumber(5)))
        began = trio.current_time()
        for _ in range(BURST_BYTES // QUESTION_BYTES + 1):
            await setup.sync.answer(LIAR, request)
        assert trio.current_time() == began
        await setup.sync.answer(LIAR, request)
        assert trio.current_time() > began


async def test_a_full_node_follows_what_is_announced() -> None:
    peer = honest(height=10)
    async with running(FakeNetwork(peer=peer), height=10) as setup:
        await wait_all_tasks_blocked()
        peer.answer = Source(BLOCKS[:12]).answer
        news = Announcement(BLOCKS[11].header, certificate_of(BLOCKS[11]))
        await setup.network.lane.sending.send(Received(PeerId("peer"), ANNOUNCEMENT.encode(news)))
        await setup.chain.reach(11)
        assert setup.network.asked == [("peer", 11)]


async def test_bad_news_costs_its_sender() -> None:
    async with running(FakeNetwork(), height=10) as setup:
        wrong = Announcement(BLOCKS[11].header, certificate_of(BLOCKS[12]))
        for frame in (b"nonsense", ANNOUNCEMENT.encode(wrong)):
            await setup.network.lane.sending.send(Received(LIAR, frame))
        await wait_all_tasks_blocked()
        assert setup.network.penalties == [(LIAR, LIE_COST)] * 2


async def test_the_newest_block_is_announced_to_those_who_do_not_vote() -> None:
    network = FakeNetwork(voter=honest(10), follower=honest(10, role=Role.FULL))
    async with running(network, height=10) as setup:
        await setup.chain.commit(BLOCKS[11:14])
        await wait_all_tasks_blocked(0.001)
        ((peers, frame),) = network.lane.told
        assert peers == ("follower",)
        assert decode_announcement(frame).header == BLOCKS[13].header


async def test_old_news_is_not_announced() -> None:
    network = FakeNetwork(peer=honest(), follower=honest(0, role=Role.FULL))
    async with running(network) as setup:
        await setup.chain.reach(40)
        await wait_all_tasks_blocked(0.001)
        announced = [decode_announcement(frame).header.height for _, frame in network.lane.told]
        assert announced == [40]


async def test_a_node_answers_others() -> None:
    async with running(FakeNetwork(), height=10) as setup:
        request = Request(BlockNumber(5), BlockNumber(50))
        answer = decode_answer(await setup.sync.answer(LIAR, REQUEST.encode(request)), request)
        assert [block for run in answer.runs for block in run.blocks] == BLOCKS[5:11]
        with pytest.raises(ProtocolViolation):
            await setup.sync.answer(LIAR, b"nonsense")


async def test_progress_is_visible_and_a_stop_half_way_is_harmless() -> None:
    network = FakeNetwork(peer=honest())
    async with running(network) as setup:
        await setup.chain.reach(9)
        assert setup.sync.is_syncing
        reached = len(setup.chain.blocks) - 1
    async with running(network, height=reached) as setup:
        await setup.chain.reach(40)
        assert setup.chain.blocks == BLOCKS


async def test_the_log_tells_how_it_goes_and_when_it_is_done(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    delay_s = 12.0

    async def slow(peer: PeerId, payload: bytes) -> bytes:
        await trio.sleep(delay_s)
        return await Source(BLOCKS).answer(peer, payload)

    async with running(FakeNetwork(peer=FakePeer(slow, 40))) as setup:
        await setup.chain.reach(40)
        await trio.sleep(2 * PROGRESS_INTERVAL_S)
        lines = [record.getMessage() for record in caplog.records if record.name == "node.sync.progress"]
        assert lines[0] == "catching up: block 0 of 40, 0 blocks/s, no end in sight"
        assert lines[-1] == "caught up at block 40"
        progress = setup.sync.progress
        assert (progress.is_syncing, progress.current, progress.highest) == (False, 40, 40)
