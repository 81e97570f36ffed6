"""A chain, a host and a network in memory, for tests of the engines."""

import math
from collections.abc import Hashable, Sequence

import trio

from node.consensus.interface import Build, Finding, Peer, Position, Settings, Verdict
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate
from primitives.committee import Committee, Member
from primitives.types import BlockHash, BlockNumber, EpochIndex, PublicKey, SpecVersion, Stake
from primitives.vote import Vote
from tests.simulation.chain import Chain

SETTINGS = Settings(block_time_ms=500, delta_ms=200)


def make_chain(keys: Sequence[PublicKey], epoch_blocks: int = 3, epochs: int = 9) -> Chain:
    """A chain on which `keys` have one unit of stake each, for ever."""
    members = tuple(Member(key, Stake(1)) for key in keys)
    committees = tuple(
        Committee(
            EpochIndex(epoch),
            BlockNumber((epoch - 1) * epoch_blocks + 1),
            BlockNumber(epoch * epoch_blocks),
            SpecVersion(1),
            members,
        )
        for epoch in range(1, epochs + 1)
    )
    return Chain(SETTINGS, committees)


class MemoryHost:
    """A node without disk: what was committed stays as long as the object."""

    def __init__(self, chain: Chain, key: PublicKey) -> None:
        self.chain = chain
        self.committed: list[Block] = []
        self.certificates: dict[EpochIndex, Certificate] = {}
        self.findings: list[Finding] = []
        self.votes: dict[Vote, None] = {}
        self.blocks: dict[BlockHash, Block] = {}
        self._key = key
        self._grew = trio.Event()

    @property
    def tip(self) -> Header:
        return self.committed[-1].header if self.committed else self.chain.genesis

    async def reach(self, height: int) -> None:
        """Wait until a height is final."""
        while self.tip.height < height:
            await self._grew.wait()

    async def position(self) -> Position:
        await trio.lowlevel.checkpoint()
        tip = self.tip
        index = EpochIndex(tip.epoch + (tip.next_set is not None))
        below = [block.header for block in self.committed if block.header.epoch < index]
        own = [block.header for block in self.committed if block.header.epoch == index]
        return Position(
            epoch=self.chain.epoch(index, below[-1] if below else self.chain.genesis),
            tip=tip,
            committed=tuple(block_hash(header) for header in own),
            final=self.certificates.get(index) if own else None,
            blocks=tuple(block for block in self.blocks.values() if block.header.height > tip.height),
        )

    async def persist(self, block: Block) -> None:
        await trio.lowlevel.checkpoint()
        self.blocks[block_hash(block.header)] = block

    async def build(self, request: Build) -> Block | None:
        await trio.lowlevel.checkpoint()
        return self.chain.build(request, self._key, b"")

    async def verify(self, block: Block) -> Verdict:
        await trio.lowlevel.checkpoint()
        parent = self.blocks.get(block.header.parent)
        return self.chain.execute(block, parent.header if parent else self.tip)

    async def commit(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        await trio.lowlevel.checkpoint()
        self.committed += [block for block in blocks if block.header.height > self.tip.height]
        self.certificates[certificate.epoch] = certificate
        self._grew.set()
        self._grew = trio.Event()

    async def ancestors(self, name: BlockHash, above: BlockNumber, count: int) -> Sequence[Block]:
        await trio.lowlevel.checkpoint()
        known = {block_hash(block.header): block for block in [*self.committed, *self.blocks.values()]}
        found: list[Block] = []
        while name in known and known[name].header.height > above and len(found) < count:
            found.append(known[name])
            name = known[name].header.parent
        return found

    async def last_certificate(self, epoch: EpochIndex) -> Certificate | None:
        await trio.lowlevel.checkpoint()
        return self.certificates.get(epoch)

    def report(self, finding: Finding) -> None:
        self.findings.append(finding)

    def heard(self, vote: Vote) -> None:
        self.votes[vote] = None

    def votes_heard(self, epoch: EpochIndex) -> Sequence[Vote]:
        return [vote for vote in self.votes if vote.epoch == epoch]


class MemoryNetwork:
    """Delivers every frame to whoever is attached, at once."""

    def __init__(self) -> None:
        self.inboxes: dict[Peer, trio.MemorySendChannel[tuple[Peer, bytes]]] = {}
        self.frames: list[tuple[Peer, bytes]] = []

    def attach(self, peer: Peer) -> "MemoryTransport":
        """The place of `peer` on the network; a former holder of the name hears no more."""
        send, receive = trio.open_memory_channel[tuple[Peer, bytes]](math.inf)
        self.inboxes[peer] = send
        return MemoryTransport(self, peer, receive)

    def deliver(self, sender: Peer, to: Peer, frame: bytes) -> None:
        if to in self.inboxes:
            self.inboxes[to].send_nowait((sender, frame))


class MemoryTransport:
    """One node's end of the network."""

    def __init__(
        self, network: MemoryNetwork, name: Peer, inbox: trio.MemoryReceiveChannel[tuple[Peer, bytes]]
    ) -> None:
        self._network = network
        self._name = name
        self._inbox = inbox

    async def receive(self) -> tuple[Peer, bytes]:
        return await self._inbox.receive()

    def send(self, peer: Peer, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        self._network.deliver(self._name, peer, frame)

    def broadcast(self, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        self._network.frames.append((self._name, frame))
        for peer in self._network.inboxes:
            if peer != self._name:
                self._network.deliver(self._name, peer, frame)
