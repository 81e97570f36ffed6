"""Extrinsics for the tests of the pool, and a chain and a network that exist in memory only."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import trio

from frame.error import InvalidTransaction, TransactionError
from node.network.channel import ChannelLimits, Received
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.pool.core import Pooled
from primitives.block import Block, Body, Header
from primitives.extrinsic import EXTRINSIC, Call, Extrinsic, Mortality, extrinsic_hash
from primitives.types import (
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    Nonce,
    PublicKey,
    Signature,
    TimestampMs,
    View,
)


def extrinsic_of(
    signer: int, nonce: int, *, priority: int = 10, expires: int = 1000, size: int = 0
) -> Extrinsic:
    """An unsigned extrinsic: its tip stands for its priority."""
    return Extrinsic(
        AccountId(bytes([signer]) * 32),
        Nonce(nonce),
        Mortality(1, BlockNumber(expires - 1)),
        Balance(priority),
        Call(0, 0, bytes(size)),
        Signature(bytes(64)),
    )


def encoded(signer: int, nonce: int, *, priority: int = 10, expires: int = 1000, size: int = 0) -> bytes:
    """The bytes of `extrinsic_of`."""
    return EXTRINSIC.encode(extrinsic_of(signer, nonce, priority=priority, expires=expires, size=size))


def pooled(
    signer: int, nonce: int, *, priority: int = 10, expires: int = 1000, size: int = 0, is_next: bool = False
) -> Pooled:
    """An extrinsic as the pool holds it."""
    extrinsic = extrinsic_of(signer, nonce, priority=priority, expires=expires, size=size)
    data = EXTRINSIC.encode(extrinsic)
    return Pooled(
        hash=extrinsic_hash(data),
        data=data,
        extrinsic=extrinsic,
        priority=priority,
        expires=BlockNumber(expires),
        is_next=is_next,
    )


def block_of(height: int, *extrinsics: Extrinsic) -> Block:
    """A block that holds `extrinsics`; only its height and body mean anything."""
    zero = bytes(32)
    header = Header(
        epoch=EpochIndex(1),
        view=View(1),
        height=BlockNumber(height),
        parent=BlockHash(zero),
        state_root=Hash(zero),
        body_root=Hash(zero),
        events_root=Hash(zero),
        timestamp_ms=TimestampMs(0),
        author=PublicKey(zero),
        next_set=None,
    )
    return Block(header, Body((), extrinsics))


def peer_info(name: str, height: int = 0) -> PeerInfo:
    """A connected full node."""
    return PeerInfo(
        peer_id=PeerId(name),
        address="",
        outbound=False,
        role=Role.FULL,
        session_key=None,
        finalized_height=height,
    )


@dataclass(frozen=True)
class FakeValidity:
    priority: int
    requires: tuple[bytes, ...]
    expires: BlockNumber


@dataclass
class FakeHead:
    height: BlockNumber = field(default=BlockNumber(0))


@dataclass
class FakeChain:
    """Accounts whose nonces a test sets; the tip is the priority, and a signature of zeros is valid."""

    nonces: dict[AccountId, int] = field(default_factory=dict)
    finalized: FakeHead = field(default_factory=FakeHead)
    validations: int = 0
    broke: set[AccountId] = field(default_factory=set)

    async def validate(self, data: bytes, extrinsic: Extrinsic, /) -> FakeValidity:
        self.validations += 1
        await trio.lowlevel.checkpoint()
        nonce = self.nonces.get(extrinsic.signer, 0)
        if any(extrinsic.signature):
            raise InvalidTransaction(TransactionError.BAD_SIGNATURE)
        if extrinsic.nonce < nonce:
            raise InvalidTransaction(TransactionError.STALE_NONCE)
        if extrinsic.signer in self.broke:
            raise InvalidTransaction(TransactionError.CANNOT_PAY)
        requires = (b"nonce",) if extrinsic.nonce > nonce else ()
        mortality = extrinsic.mortality
        return FakeValidity(extrinsic.tip, requires, BlockNumber(mortality.birth + mortality.period))


class FakeChannel:
    """Frames in memory: what a test puts into the inbox, and what was sent to whom."""

    def __init__(self, peers: list[PeerInfo]) -> None:
        self.sending, self._inbox = trio.open_memory_channel[Received](100)
        self.told, self.sent = trio.open_memory_channel[tuple[tuple[PeerId, ...], bytes]](100)
        self._peers = peers

    @property
    def inbox(self) -> AsyncIterator[Received]:
        return self._inbox

    def broadcast(self, data: bytes, /, *, where: Callable[[PeerInfo], bool]) -> int:
        chosen = tuple(peer.peer_id for peer in self._peers if where(peer))
        self.told.send_nowait((chosen, data))
        return len(chosen)


class FakeNetwork:
    """Three neighbours named a, b and c, and what they were charged for."""

    def __init__(self) -> None:
        self.penalties: list[tuple[PeerId, str]] = []
        self.lane = FakeChannel([peer_info(name) for name in "abc"])

    def channel(self, protocol: str, limits: ChannelLimits, /) -> FakeChannel:
        return self.lane

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None:
        assert cost > 0
        self.penalties.append((peer, reason))
