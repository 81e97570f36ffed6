"""A chain of blocks with certificates that only these tests believe, and peers that exist in memory only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import trio

from node.db.blocks import BlockRows
from node.network.channel import ChannelLimits, Received
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peering import PeerEvent
from node.network.peers import PeerInfo
from node.network.requests import RequestFailed, RequestFailure, RequestHandler, ServiceLimits
from node.sync.messages import ANNOUNCE_PROTOCOL, PROTOCOL, REQUEST, Run
from node.sync.serving import collect
from primitives.block import GENESIS_PARENT, HEADER, Block, Body, Header, block_hash, body_root
from primitives.certificate import CERTIFICATE, Certificate
from primitives.codec import spell
from primitives.extrinsic import Call
from primitives.finality import BadProof, FinalityProof, Flaw
from primitives.types import BlockNumber, EpochIndex, Hash, PublicKey, Signature, TimestampMs, View
from primitives.vote import VoteKind

T = TypeVar("T")

GOOD: Final = Signature(b"\x01" * 64)
FORGED: Final = Signature(b"\x02" * 64)


def chain_of(length: int, body_bytes: int = 0, epoch_blocks: int = 1 << 20) -> list[Block]:
    """Blocks 0 to `length`, with bodies of about `body_bytes`."""
    blocks: list[Block] = []
    for height in range(length + 1):
        body = Body(tuple(Call(0, 0, bytes(100_000)) for _ in range(body_bytes // 100_000)), ())
        header = Header(
            epoch=EpochIndex(1 + max(0, height - 1) // epoch_blocks),
            view=View(height),
            height=BlockNumber(height),
            parent=block_hash(blocks[-1].header) if blocks else GENESIS_PARENT,
            state_root=Hash(bytes(32)),
            body_root=body_root(body),
            events_root=Hash(bytes(32)),
            timestamp_ms=TimestampMs(height),
            author=PublicKey(bytes(32)),
            next_set=None,
        )
        blocks.append(Block(header, body))
    return blocks


def certificate_of(block: Block, signature: Signature = GOOD) -> Certificate:
    """FINALIZE for `block` by one signer."""
    return Certificate(
        VoteKind.FINALIZE, block.header.epoch, View(1), block_hash(block.header), b"\x01", (signature,)
    )


def run_of(blocks: Sequence[Block], beyond: Sequence[Block] = (), signature: Signature = GOOD) -> Run:
    """`blocks`, proved by the certificate of the last of them or of those beyond."""
    headers = tuple(block.header for block in beyond)
    return Run(tuple(blocks), headers, certificate_of((*blocks, *beyond)[-1], signature))


def is_proved(runs: Sequence[Run]) -> bool:
    """Whether these tests believe the certificates."""
    return all(run.certificate.signatures == (GOOD,) for run in runs)


@dataclass
class Source:
    """Blocks of which every `every`th, and the last of an epoch and of all, is certified."""

    blocks: Sequence[Block]
    every: int = 1
    signature: Signature = GOOD
    lowest: int = 0
    """Those below are no longer here."""

    def rows(self, first: BlockNumber, last: BlockNumber, bytes_max: int, /) -> list[BlockRows]:
        found: list[BlockRows] = []
        for height in range(first, last + 1):
            if not self.lowest <= height < len(self.blocks):
                break
            block, certificate = self.blocks[height], self.certificate(BlockNumber(height))
            row = None if certificate is None else CERTIFICATE.encode(certificate)
            found.append(BlockRows(HEADER.encode(block.header), spell(block.body), row))
            bytes_max -= len(found[-1].header) + len(found[-1].body)
            if bytes_max < 0 and len(found) > 1:
                return found[:-1]
        return found

    def held_from(self, height: BlockNumber, /) -> BlockNumber | None:
        lowest = max(height, self.lowest)
        return BlockNumber(lowest) if lowest < len(self.blocks) else None

    def certificate(self, at: BlockNumber, /) -> Certificate | None:
        block = self.blocks[at]
        is_last = block is self.blocks[-1] or self.blocks[at + 1].header.epoch > block.header.epoch
        return certificate_of(block, self.signature) if at % self.every == 0 or is_last else None

    def finality_proof(self, at: BlockNumber, /) -> FinalityProof | None:
        headers: list[Header] = []
        for height in range(at, len(self.blocks)):
            headers.append(self.blocks[height].header)
            certificate = self.certificate(BlockNumber(height))
            if certificate is not None:
                return FinalityProof(tuple(headers), certificate)
        return None

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        """What a node with these blocks answers."""
        return collect(self, REQUEST.decode(payload), BlockNumber(len(self.blocks) - 1))


@dataclass
class FakeTip:
    header: Header

    @property
    def height(self) -> BlockNumber:
        return self.header.height


@dataclass
class FakeChain:
    """Chain and importer: believes certificates signed GOOD; how imports fail is up to the test."""

    blocks: list[Block]
    imports: list[tuple[int, int]] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    """What the next imports raise, the last first."""

    puzzles: list[Exception] = field(default_factory=list)
    """What the next proofs raise, the last first."""

    overtake: list[Block] = field(default_factory=list)
    """Blocks that consensus commits in the midst of the next import."""

    followers: list[trio.MemorySendChannel[Block]] = field(default_factory=list)
    moved: trio.Condition = field(default_factory=trio.Condition)

    @property
    def finalized(self) -> FakeTip:
        return FakeTip(self.blocks[-1].header)

    def follow(self) -> trio.MemoryReceiveChannel[Block]:
        sending, receiving = trio.open_memory_channel[Block](1000)
        self.followers.append(sending)
        return receiving

    async def read(self, reader: Callable[..., T], /, *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        return reader(*args)

    async def prove(self, runs: Sequence[Run], /) -> None:
        await trio.lowlevel.checkpoint()
        if self.puzzles:
            raise self.puzzles.pop()
        if not is_proved(runs):
            raise BadProof(Flaw.BAD_CERTIFICATE)

    async def take(self, runs: Sequence[Run], /) -> None:
        await trio.lowlevel.checkpoint()
        if self.overtake:
            await self.commit(self.overtake)
        if self.trouble:
            raise self.trouble.pop()
        self.imports.append((runs[0].first, runs[-1].last))
        for run in runs:
            blocks = [block for block in run.blocks if block.header.height >= len(self.blocks)]
            assert not blocks or blocks[0].header.height == len(self.blocks)
            await self.commit(blocks)

    async def commit(self, blocks: Sequence[Block]) -> None:
        """Make blocks final."""
        self.overtake = []
        for block in blocks:
            self.blocks.append(block)
            for follower in self.followers:
                await follower.send(block)
        async with self.moved:
            self.moved.notify_all()

    async def reach(self, height: int) -> None:
        """Wait until the chain has come to a height."""
        async with self.moved:
            while len(self.blocks) <= height:
                await self.moved.wait()


@dataclass
class FakePeer:
    answer: RequestHandler
    height: int
    role: Role = Role.AUTHORITY
    score: int = 0


class FakeChannel:
    """What neighbours announce, and what is announced to them."""

    def __init__(self, network: "FakeNetwork") -> None:
        self.sending, self.inbox = trio.open_memory_channel[Received](10)
        self.told: list[tuple[tuple[PeerId, ...], bytes]] = []
        self._network = network

    def broadcast(self, data: bytes, /, *, where: Callable[[PeerInfo], bool], replaces: str | None) -> int:
        chosen = tuple(peer.peer_id for peer in self._network.peers() if where(peer))
        self.told.append((chosen, data))
        return len(chosen)


class FakeNetwork:
    """Peers that are asked by calling them."""

    def __init__(self, **peers: FakePeer) -> None:
        self.connected = {PeerId(name): peer for name, peer in peers.items()}
        self.asked: list[tuple[PeerId, int]] = []
        self.penalties: list[tuple[PeerId, int]] = []
        self.rewards: list[PeerId] = []
        self.lane = FakeChannel(self)
        self.coming, self.events = trio.open_memory_channel[PeerEvent](10)

    def channel(self, protocol: str, limits: ChannelLimits, /) -> FakeChannel:
        assert protocol == ANNOUNCE_PROTOCOL
        return self.lane

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits, /) -> None:
        assert protocol == PROTOCOL

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, /, *, timeout_s: float, response_bytes_max: int
    ) -> bytes:
        self.asked.append((peer, REQUEST.decode(payload).first))
        if peer not in self.connected:
            raise RequestFailed(RequestFailure.NOT_CONNECTED)
        await trio.lowlevel.checkpoint()
        answer = await self.connected[peer].answer(PeerId("me"), payload)
        assert len(answer) <= response_bytes_max
        return answer

    def subscribe(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        return self.events

    def is_authority(self, peer: PeerInfo, /) -> bool:
        return peer.role is Role.AUTHORITY

    def peers(self) -> Sequence[PeerInfo]:
        return [
            PeerInfo(
                peer_id=name,
                address="",
                outbound=False,
                role=peer.role,
                session_key=None,
                finalized_height=peer.height,
                score=peer.score,
            )
            for name, peer in self.connected.items()
        ]

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None:
        self.penalties.append((peer, cost))

    def reward(self, peer: PeerId, gain: int, /) -> None:
        self.rewards.append(peer)
