"""Evidence on a real chain: who believes it, who is told, and when it is forgotten."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.chain import Chain, Plan
from node.consensus.interface import Fork
from node.evidence.service import EARLY_MAX, EARLY_PER_PEER_MAX, REPEAT_BLOCKS, EvidenceService, views_of
from node.evidence.store import EvidenceStore
from node.network.channel import Received
from node.network.identity import PeerId
from primitives.block import Block
from primitives.certificate import Certificate
from primitives.signing import verify
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, PublicKey, Signature, TimestampMs, View
from primitives.vote import EVIDENCE, NO_BLOCK, Evidence, Vote, VoteKind, evidence_of, vote_message
from tests.node.pool.samples import FakeNetwork
from tests.node.test_chain import KEYS, finalize, open_chain

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")


@dataclass
class Setup:
    """A service, and the chain and neighbours around it."""

    chain: Chain
    directory: Path
    network: FakeNetwork = field(default_factory=FakeNetwork)

    def __post_init__(self) -> None:
        self.service = EvidenceService(
            self.chain,
            self.network,
            self.chain.follow(),
            views_of(self.chain.runtime),
            EvidenceStore(self.directory),
            verify,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.service.run)
            yield
            nursery.cancel_scope.cancel()

    async def heard(self) -> tuple[tuple[PeerId, ...], Evidence]:
        """The next piece that is told, and to whom."""
        peers, frame = await self.network.lane.sent.receive()
        return peers, EVIDENCE.decode(frame)

    async def hear(self, frame: bytes, peer: PeerId = A) -> None:
        await self.network.lane.sending.send(Received(peer, frame))

    async def listened(self) -> None:
        """Wait until everything that was told so far is judged: it goes one after the other."""
        await self.hear(b"noise", PeerId("last"))
        while (PeerId("last"), "malformed evidence") not in self.network.penalties:
            await trio.lowlevel.checkpoint()

    async def advance(self) -> Block:
        """Build a block with what the service has for it, and make it final."""
        header = self.chain.finalized.header
        plan = Plan(
            parent=header,
            view=View(header.height + 1),
            timestamp_ms=TimestampMs(header.timestamp_ms + 500),
            author=PublicKey(KEYS[0].public_key),
            inherents=self.service.inherents,
            candidates=(),
        )
        block = await self.chain.build(plan)
        await self.chain.commit([block], await finalize(self.chain, block))
        return block

    async def settled(self) -> None:
        """Wait until nothing is left that waits for a block."""
        while (await self.service.shown())["pending"]:
            await trio.lowlevel.checkpoint()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("*"))


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    opened = open_chain(tmp_path / "db")
    yield opened
    opened.database.close()


@pytest.fixture
async def setup(chain: Chain, tmp_path: Path) -> Setup:
    """After the first block of the first epoch."""
    setup = Setup(chain, tmp_path / "evidence")
    await setup.advance()
    return setup


def vote(chain: Chain, kind: VoteKind, block: bytes, signer: int = 1, epoch: int = 1) -> Vote:
    anchor = BlockHash(chain.database.genesis_hash)
    message = vote_message(anchor, kind, EpochIndex(epoch), View(5), block)
    signature = KEYS[signer].sign(message)
    return Vote(kind, EpochIndex(epoch), View(5), block, AuthorityIndex(signer), signature)


def double_vote(chain: Chain, signer: int = 1, epoch: int = 1) -> Evidence:
    one, other = (vote(chain, VoteKind.NOTARIZE, bytes([b]) * 32, signer, epoch) for b in (1, 2))
    return evidence_of(one, other)


def forged(evidence: Evidence) -> Evidence:
    bad = msgspec.structs.replace(evidence.second, signature=Signature(bytes(64)))
    return evidence_of(evidence.first, bad)


def made_up(signer: int, epoch: int) -> Evidence:
    """What nobody signed."""
    one, other = (
        Vote(
            VoteKind.FINALIZE,
            EpochIndex(epoch),
            View(5),
            bytes([byte]) * 32,
            AuthorityIndex(signer),
            Signature(bytes(64)),
        )
        for byte in (1, 2)
    )
    return evidence_of(one, other)


async def test_what_the_engine_found_is_told_kept_and_put_into_a_block(setup: Setup) -> None:
    evidence = double_vote(setup.chain)
    async with setup.running():
        setup.service.found(evidence)
        setup.service.found(evidence)
        assert await setup.heard() == ((A, B, C), evidence)
        assert setup.files() == ["equivocation-1-1-double_notarize.json"]
        assert [piece["signer"] for piece in (await setup.service.shown())["pending"]] == [1]
        block = await setup.advance()
        assert len(block.body.inherents) == 1
        await setup.settled()
        await wait_all_tasks_blocked()
    record = await setup.chain.query(
        lambda state: setup.chain.runtime.query(state, "offences.wants", evidence)
    )
    assert record is False
    assert setup.files() == []
    assert setup.service.seen == 1


async def test_what_a_neighbour_tells_is_judged_and_told_to_the_others(setup: Setup) -> None:
    evidence = double_vote(setup.chain)
    async with setup.running():
        await setup.hear(EVIDENCE.encode(evidence), A)
        assert await setup.heard() == ((B, C), evidence)
        await setup.hear(EVIDENCE.encode(evidence), B)
        await setup.advance()
        await setup.settled()
        await setup.hear(EVIDENCE.encode(evidence), C)
        await wait_all_tasks_blocked()
    assert setup.network.penalties == []


async def test_each_offence_counts_once(setup: Setup) -> None:
    first, second = double_vote(setup.chain), double_vote(setup.chain, signer=2)
    same = evidence_of(
        vote(setup.chain, VoteKind.NOTARIZE, b"\3" * 32), vote(setup.chain, VoteKind.NOTARIZE, b"\4" * 32)
    )
    both = evidence_of(
        vote(setup.chain, VoteKind.NULLIFY, NO_BLOCK), vote(setup.chain, VoteKind.FINALIZE, b"\5" * 32)
    )
    async with setup.running():
        for each in (first, same, both, second):
            setup.service.found(each)
        assert [(await setup.heard())[1] for _ in range(3)] == [first, both, second]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (lambda chain: b"\xff", "malformed evidence"),
        (lambda chain: EVIDENCE.encode(forged(double_vote(chain))), "forged evidence"),
        (lambda chain: EVIDENCE.encode(double_vote(chain, signer=0)), None),
    ],
    ids=["noise", "bad signature", "good"],
)
async def test_bad_evidence_costs_its_sender(setup: Setup, frame: Any, reason: str | None) -> None:
    async with setup.running():
        await setup.hear(frame(setup.chain))
        await setup.hear(EVIDENCE.encode(double_vote(setup.chain, signer=3)))
        while (await setup.heard())[1].first.signer != 3:
            pass
    assert setup.network.penalties == ([] if reason is None else [(A, reason)])


async def test_two_votes_that_do_not_conflict_are_no_evidence(setup: Setup) -> None:
    one = vote(setup.chain, VoteKind.NOTARIZE, b"\1" * 32)
    async with setup.running():
        await setup.hear(EVIDENCE.encode(Evidence(one, one)))
        while not setup.network.penalties:
            await trio.lowlevel.checkpoint()
    assert setup.network.penalties == [(A, "forged evidence")]


async def test_evidence_of_an_epoch_that_is_not_final_here_waits(chain: Chain, tmp_path: Path) -> None:
    setup, evidence = Setup(chain, tmp_path / "evidence"), double_vote(chain)
    async with setup.running():
        await setup.hear(EVIDENCE.encode(evidence))
        await wait_all_tasks_blocked()
        await setup.advance()
        assert await setup.heard() == ((B, C), evidence)


async def test_a_neighbour_takes_no_room_from_what_this_node_found(chain: Chain, tmp_path: Path) -> None:
    """Before the first block of an epoch its committee is not remembered, so that nothing of it is judged."""
    setup, own, told = Setup(chain, tmp_path / "evidence"), double_vote(chain), double_vote(chain, signer=2)
    async with setup.running():
        for signer in range(EARLY_PER_PEER_MAX + 1):
            await setup.hear(EVIDENCE.encode(made_up(signer, epoch=1)))
        for epoch in range(2, EARLY_MAX + 2):
            await setup.hear(EVIDENCE.encode(made_up(0, epoch)), B)
        await setup.hear(EVIDENCE.encode(told), C)
        setup.service.found(own)
        await setup.listened()
        while own not in setup.service._early:
            await trio.lowlevel.checkpoint()
        setup.network.penalties.clear()
        await setup.advance()
        assert {(await setup.heard())[1] for _ in range(2)} == {own, told}
    assert setup.network.penalties == [(A, "forged evidence")] * EARLY_PER_PEER_MAX
    assert list(setup.service._early) == [made_up(0, 2)]


async def test_evidence_outlives_the_process(setup: Setup, chain: Chain) -> None:
    evidence = double_vote(chain)
    async with setup.running():
        setup.service.found(evidence)
        await setup.heard()
    again = Setup(chain, setup.directory)
    async with again.running():
        assert await again.heard() == ((A, B, C), evidence)
        assert len((await again.advance()).body.inherents) == 1
        await again.settled()


async def test_what_no_block_takes_is_told_again(setup: Setup) -> None:
    evidence = double_vote(setup.chain)
    async with setup.running():
        setup.service.found(evidence)
        await setup.heard()
        setup.service.inherents = lambda state: ()  # type: ignore[method-assign]
        for _ in range(REPEAT_BLOCKS):
            await setup.advance()
        assert await setup.heard() == ((A, B, C), evidence)


async def test_a_spoilt_file_is_passed_over(setup: Setup) -> None:
    evidence = double_vote(setup.chain)
    EvidenceStore(setup.directory).keep(evidence)
    (setup.directory / "equivocation-9.json").write_text("[]")
    async with setup.running():
        assert await setup.heard() == ((A, B, C), evidence)


async def test_both_certificates_of_a_fork_are_kept_and_shown(setup: Setup) -> None:
    ours = Certificate(
        VoteKind.FINALIZE, EpochIndex(1), View(5), b"\1" * 32, b"\x01", (Signature(bytes(64)),)
    )
    theirs = msgspec.structs.replace(ours, block=b"\2" * 32)
    async with setup.running():
        setup.service.found(Fork(ours, theirs))
        while not (shown := (await setup.service.shown())["forks"]):
            await trio.lowlevel.checkpoint()
    assert setup.files() == ["fork-1-5.json"]
    [fork] = shown
    assert (fork["ours"]["block"], fork["theirs"]["block"]) == ("0x" + "01" * 32, "0x" + "02" * 32)
    assert fork["theirs"]["signers"] == [0]
