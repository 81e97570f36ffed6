from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.consensus.interface import Disagreement, ForeignVote, Misbehaviour, Peer, Stop
from node.consensus.journal import Journal, Signer, create_journal
from node.consensus.messages import MESSAGE, Cast, Propose
from node.consensus.service import SimplexService
from node.consensus.stop import stop_of
from primitives.block import block_hash
from primitives.certificate import verify_certificate
from primitives.committee import Committee
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, EpochIndex, PublicKey, Seed, TimestampMs, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, conflict, vote_message
from tests.node.consensus.fakes import SETTINGS, MemoryHost, MemoryNetwork, make_chain
from tests.simulation.chain import Chain


@pytest.fixture
def autojump_clock() -> MockClock:
    """Jumps over idle time; longer than an fsync takes, during which everything looks idle."""
    return MockClock(autojump_threshold=0.05)


KEYS = [SigningKey(Seed(bytes([number]) * 32)) for number in range(1, 5)]


def clock() -> TimestampMs:
    return TimestampMs(int(trio.current_time() * 1000))


class OneKey:
    """Implements Signers with a key that always acts."""

    def __init__(self, key: SigningKey, journal: Journal) -> None:
        self._signer = Signer(key, journal)

    def acting(self, committee: Committee) -> Signer | None:
        return self._signer

    def stop(self, stop: Stop, signer: Signer | None) -> None:
        self._signer.journal.append([stop])


class Node:
    """One validator: a host, a journal on the disk, and a service that can be stopped and started."""

    def __init__(self, key: SigningKey, chain: Chain, network: MemoryNetwork, folder: Path) -> None:
        self.key = key
        self.host = MemoryHost(chain, key.public_key)
        self._network = network
        self._path = folder / f"{key.public_key.hex()[:8]}.journal"
        self._scope = trio.CancelScope()
        self.service: SimplexService
        create_journal(self._path, key.public_key)

    async def run(self) -> None:
        self._scope = trio.CancelScope()
        journal = Journal(self._path, self.key.public_key)
        transport = self._network.attach(Peer(self.key.public_key))
        self.service = SimplexService(self.host, transport, signers=OneKey(self.key, journal), clock=clock)
        try:
            with self._scope:
                await self.service.run()
        finally:
            journal.close()

    def journaled(self) -> list[Vote]:
        """All votes of the first epochs on the disk."""
        journal = Journal(self._path, self.key.public_key)
        votes = [vote for epoch in range(1, 5) for vote in journal.memory(EpochIndex(epoch)).votes]
        journal.close()
        return votes

    def stop(self) -> None:
        self._network.inboxes.pop(Peer(self.key.public_key))
        self._scope.cancel()


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def nodes(network: MemoryNetwork, tmp_path: Path) -> list[Node]:
    chain = make_chain([key.public_key for key in KEYS])
    return [Node(key, chain, network, tmp_path) for key in KEYS]


async def test_four_validators_agree_across_epochs(nodes: list[Node], autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        for node in nodes:
            await node.host.reach(8)
        nursery.cancel_scope.cancel()
    assert len({block_hash(node.host.committed[7].header) for node in nodes}) == 1
    assert all(node.host.findings == [] for node in nodes)


async def test_certificate_of_a_committed_block_holds(nodes: list[Node], autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[0].host.reach(3)
        nursery.cancel_scope.cancel()
    host = nodes[0].host
    certificate = host.certificates[EpochIndex(1)]
    anchor = block_hash(host.chain.genesis)
    assert verify_certificate(certificate, host.chain.committee(EpochIndex(1)), anchor)
    assert certificate.block == block_hash(host.committed[2].header)


async def test_three_go_on_and_the_fourth_catches_up(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[3].host.reach(2)
        nodes[3].stop()
        await nodes[0].host.reach(nodes[3].host.tip.height + 5)
        nursery.start_soon(nodes[3].run)
        await nodes[3].host.reach(nodes[0].host.tip.height + 3)
        nursery.cancel_scope.cancel()
    votes = votes_in(network)
    assert not any(conflict(vote, other) for vote in votes for other in votes)
    pairs = zip(nodes[3].host.committed, nodes[0].host.committed, strict=False)
    assert all(ours == theirs for ours, theirs in pairs)


async def test_a_stop_outlives_the_process_and_the_epoch(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[3].host.reach(2)
        certificate = nodes[3].host.certificates[EpochIndex(1)]
        await nodes[3].service.disagree(certificate)
        await nodes[3].host.reach(nodes[3].host.tip.height + 3)
        nodes[3].stop()
        assert nodes[3].host.findings == [Disagreement(certificate)]
        await trio.testing.wait_all_tasks_blocked()
        signed = nodes[3].journaled()
        nursery.start_soon(nodes[3].run)
        await nodes[3].host.reach(nodes[3].host.tip.height + 8)
        nursery.cancel_scope.cancel()
    assert nodes[3].journaled() == signed
    assert not nodes[3].service.is_voting


class TwoKeys:
    """Implements Signers with keys of which the committee has one."""

    def __init__(self, signers: list[Signer]) -> None:
        self._signers = signers
        self.stopped: list[tuple[Stop, Signer | None]] = []

    def acting(self, committee: Committee) -> Signer | None:
        keys = {member.key for member in committee.members}
        return next((signer for signer in self._signers if signer.key.public_key in keys), None)

    def stop(self, stop: Stop, signer: Signer | None) -> None:
        self.stopped.append((stop, signer))


async def test_a_foreign_vote_of_the_last_epoch_stops_the_key_that_voted_then(
    network: MemoryNetwork, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A validator alone, whose key is another one in the second epoch."""
    signers = []
    for key in KEYS[:2]:
        create_journal(tmp_path / key.public_key.hex(), key.public_key)
        signers.append(Signer(key, Journal(tmp_path / key.public_key.hex(), key.public_key)))
    committees = [make_chain([key.public_key], epoch_blocks=3).committees for key in KEYS[:2]]
    chain = Chain(SETTINGS, (committees[0][0], *committees[1][1:]))
    host, keys = MemoryHost(chain, KEYS[0].public_key), TwoKeys(signers)
    service = SimplexService(host, network.attach(Peer(b"node")), signers=keys, clock=clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await host.reach(4)
        epoch = chain.epoch(EpochIndex(1), chain.genesis)
        view = View(host.certificates[EpochIndex(1)].view + 1)
        message = vote_message(epoch.anchor_hash, VoteKind.NULLIFY, EpochIndex(1), view, NO_BLOCK)
        foreign = Vote(
            VoteKind.NULLIFY, EpochIndex(1), view, NO_BLOCK, AuthorityIndex(0), KEYS[0].sign(message)
        )
        network.deliver(Peer(b"other"), Peer(b"node"), MESSAGE.encode(Cast(foreign)))
        await host.reach(host.tip.height + 2)
        nursery.cancel_scope.cancel()
    assert keys.stopped == [(stop_of(ForeignVote(foreign)), signers[0])]
    assert service.is_voting
    for signer in signers:
        signer.journal.close()


async def test_power_cut_of_everybody_takes_nothing_back(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[0].host.reach(2)
        for node in nodes:
            node.stop()
    final = [block_hash(block.header) for block in nodes[0].host.committed]
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        for node in nodes:
            await node.host.reach(5)
        nursery.cancel_scope.cancel()
    assert [block_hash(block.header) for block in nodes[1].host.committed][: len(final)] == final
    votes = votes_in(network)
    assert not any(conflict(vote, other) for vote in votes for other in votes)


async def test_vote_waits_until_it_is_durable(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """Every vote that is on the network is in its signer's journal."""
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[0].host.reach(3)
        for node in nodes:
            node.stop()
    for node in nodes:
        kept = node.journaled()
        sent = [vote for sender, vote in sent_votes(network) if sender == node.key.public_key]
        assert sent
        assert set(sent) <= set(kept)


async def test_follower_without_a_key_commits_and_stays_silent(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    name = Peer(b"follower")
    host = MemoryHost(nodes[0].host.chain, PublicKey(bytes(32)))
    follower = SimplexService(host, network.attach(name), clock=clock)
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        nursery.start_soon(follower.run)
        await host.reach(7)
        nursery.cancel_scope.cancel()
    assert name not in [sender for sender, _ in network.frames]


async def test_noise_is_reported_and_survived(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[0].host.reach(1)
        network.deliver(Peer(b"noise"), Peer(KEYS[0].public_key), b"\xff\x00")
        await nodes[0].host.reach(4)
        nursery.cancel_scope.cancel()
    assert nodes[0].host.findings == [Misbehaviour(Peer(b"noise"), "a message that is none")]


async def test_advance_takes_over_what_sync_committed(
    nodes: list[Node], network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    late = MemoryHost(nodes[0].host.chain, PublicKey(bytes(32)))
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await nodes[0].host.reach(7)
        follower = SimplexService(late, network.attach(Peer(b"late")), clock=clock)
        await nursery.start(follower.run)
        ahead = nodes[0].host
        late.committed = list(ahead.committed)
        late.certificates = dict(ahead.certificates)
        await follower.advance()
        await late.reach(ahead.tip.height + 2)
        assert follower.core.epoch.index >= 3
        nursery.cancel_scope.cancel()


def sent_votes(network: MemoryNetwork) -> list[tuple[bytes, Vote]]:
    messages = [(sender, MESSAGE.decode(frame)) for sender, frame in network.frames]
    return [(sender, message.vote) for sender, message in messages if isinstance(message, Cast | Propose)]


def votes_in(network: MemoryNetwork) -> list[Vote]:
    return [vote for _, vote in sent_votes(network)]
