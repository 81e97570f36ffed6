"""The shell of sync: asks peers for blocks, has the chain import them, answers others, and announces news."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar, assert_never

import trio

from frame.error import InvalidBlock, Unable
from node.db.errors import DatabaseError
from node.network.channel import ChannelLimits, Received
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.network.requests import RequestFailed, RequestHandler, ServiceLimits
from node.network.streams import ProtocolViolation
from node.sync.core import (
    Advanced,
    Announced,
    Answered,
    Ask,
    BlockSource,
    Failed,
    Import,
    Imported,
    Observed,
    Peers,
    Refused,
    SyncCore,
    collect,
)
from node.sync.messages import (
    ANNOUNCE_PROTOCOL,
    ANNOUNCEMENT,
    ANNOUNCEMENT_BYTES_MAX,
    ANSWER,
    ANSWER_BYTES_MAX,
    PROTOCOL,
    REQUEST,
    REQUEST_BYTES_MAX,
    Announcement,
    BadAnswer,
    Request,
    decode_announcement,
    decode_answer,
)
from primitives.block import Block, Header
from primitives.certificate import Certificate
from primitives.codec import CodecError
from primitives.finality import BadProof
from primitives.types import BlockNumber

T = TypeVar("T")

LOGGER: Final = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
"""For one answer: 8 MiB at 2.3 Mbit/s."""

PEERS_INTERVAL_S: Final = 1.0
"""Peers say once a second how far they have come."""

INBOX_MAX: Final = 16
LIE_COST: Final = 50
FORGED_COST: Final = 100
"""A false certificate cannot be a mistake: banned at once."""

REWARD: Final = 1
"""For a run of blocks that proved true."""

SERVICE_LIMITS: Final = ServiceLimits(
    request_bytes_max=REQUEST_BYTES_MAX, response_bytes_max=ANSWER_BYTES_MAX, per_peer_max=1
)
CHANNEL_LIMITS: Final = ChannelLimits(
    frame_bytes_max=ANNOUNCEMENT_BYTES_MAX,
    queue_frames_max=1,
    queue_bytes_max=ANNOUNCEMENT_BYTES_MAX,
    inbox_frames_max=64,
    inbox_bytes_max=64 * ANNOUNCEMENT_BYTES_MAX,
)


class Tip(Protocol):
    """The newest finalized block."""

    @property
    def header(self) -> Header: ...

    @property
    def height(self) -> BlockNumber: ...


class Chain(Protocol):
    """What sync asks of the chain."""

    @property
    def finalized(self) -> Tip: ...

    async def read(self, reader: Callable[..., T], /, *args: Any) -> T:
        """Call `reader` in a worker thread in which the database may be read."""
        ...

    async def import_run(self, blocks: Sequence[Block], certificate: Certificate, /) -> None:
        """Verify, execute and commit finalized blocks, passing over what is final already.

        Raises BadProof if the certificate does not prove them, InvalidBlock if they are proved and yet
        invalid here, Unable or DatabaseError if this machine cannot tell.
        """
        ...


class Channel(Protocol):
    """Announcements to and from the neighbours."""

    @property
    def inbox(self) -> "Inbox": ...

    def broadcast(
        self, data: bytes, /, *, where: Callable[[PeerInfo], bool], replaces: str | None
    ) -> int: ...


class Inbox(Protocol):
    """What neighbours announced."""

    async def receive(self) -> Received: ...


class Network(Protocol):
    """What sync asks of the network."""

    def channel(self, protocol: str, limits: ChannelLimits, /) -> Channel: ...

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits, /) -> None: ...

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, /, *, timeout_s: float, response_bytes_max: int
    ) -> bytes: ...

    def peers(self) -> Sequence[PeerInfo]: ...

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None: ...

    def reward(self, peer: PeerId, gain: int, /) -> None: ...


class SyncService:
    """Keeps one node at the height of its peers."""

    def __init__(
        self,
        chain: Chain,
        source: BlockSource,
        network: Network,
        finalized: trio.MemoryReceiveChannel[Block],
        *,
        patience_blocks: int,
        on_advanced: Callable[[Header], Awaitable[None]],
    ) -> None:
        """`finalized`: every block from now on as it becomes final; `source` is read through `chain.read`.

        `patience_blocks`: see SyncCore. `on_advanced` is told the newest header after each import.
        """
        self._core = SyncCore(chain.finalized.height, patience_blocks)
        self._chain = chain
        self._source = source
        self._network = network
        self._finalized = finalized
        self._on_advanced = on_advanced
        self._observe, self._observed = trio.open_memory_channel[Observed](INBOX_MAX)
        self._decoding = trio.CapacityLimiter(1)
        self._collecting = trio.CapacityLimiter(1)
        self._channel = network.channel(ANNOUNCE_PROTOCOL, CHANNEL_LIMITS)
        network.serve(PROTOCOL, self.answer, SERVICE_LIMITS)

    @property
    def is_syncing(self) -> bool:
        """Whether the node is too far behind to take part in anything."""
        return self._core.is_syncing

    @property
    def target(self) -> BlockNumber:
        """The highest block that peers say is final, or our own."""
        return self._core.target

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_peers)
            nursery.start_soon(self._watch_chain)
            nursery.start_soon(self._watch_news)
            async for observed in self._observed:
                for action in self._core.handle(observed, trio.current_time()):
                    match action:
                        case Ask():
                            nursery.start_soon(self._ask, action)
                        case Import():
                            nursery.start_soon(self._import, action)
                        case _:
                            assert_never(action)

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        """Answer a peer's request for blocks. Raises ProtocolViolation."""
        try:
            request = REQUEST.decode(payload)
        except CodecError:
            raise ProtocolViolation("malformed sync request") from None

        def collected() -> bytes:
            return ANSWER.encode(collect(self._source, request.first, self._chain.finalized.height))

        async with self._collecting:
            return await self._chain.read(collected)

    async def _watch_peers(self) -> None:
        while True:
            peers = sorted(self._network.peers(), key=lambda peer: -peer.score)
            heights = tuple((peer.peer_id, BlockNumber(peer.finalized_height)) for peer in peers)
            await self._observe.send(Peers(heights))
            await trio.sleep(PEERS_INTERVAL_S)

    async def _watch_chain(self) -> None:
        """Follow the chain, and announce its newest block, unless that is old news."""
        async for block in self._finalized:
            newest = block
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                while True:
                    newest = self._finalized.receive_nowait()
            await self._observe.send(Advanced(newest.header.height))
            if newest.header.height >= self.target:
                await self._announce(newest.header)

    async def _announce(self, header: Header) -> None:
        """Tell neighbours that do not vote; those that do know already."""
        certificate = await self._chain.read(self._source.certificate, header.height)
        if certificate is not None:
            self._channel.broadcast(
                ANNOUNCEMENT.encode(Announcement(header, certificate)),
                where=lambda peer: peer.role is not Role.AUTHORITY,
                replaces="newest",
            )

    async def _watch_news(self) -> None:
        """Listen to what neighbours announce."""
        while True:
            peer, frame = await self._channel.inbox.receive()
            try:
                news = decode_announcement(frame)
            except (CodecError, BadAnswer) as error:
                self._network.penalize(peer, f"bad announcement: {error}", LIE_COST)
                continue
            await self._observe.send(Announced(peer, news.header.height))

    async def _ask(self, ask: Ask) -> None:
        """Put one question to a peer."""
        observed: Observed
        try:
            data = await self._network.request(
                ask.peer,
                PROTOCOL,
                REQUEST.encode(Request(ask.first)),
                timeout_s=TIMEOUT_S,
                response_bytes_max=ANSWER_BYTES_MAX,
            )
            answer = await trio.to_thread.run_sync(decode_answer, data, ask.first, limiter=self._decoding)
        except RequestFailed as failure:
            LOGGER.debug("no blocks from %s: %s", ask.peer, failure)
            observed = Failed(lied=False)
        except (CodecError, BadAnswer) as error:
            self._network.penalize(ask.peer, f"bad sync answer: {error}", LIE_COST)
            observed = Failed(lied=True)
        else:
            observed = Answered(answer)
        await self._observe.send(observed)

    async def _import(self, run: Import) -> None:
        """Have the chain import a run, and say what came of it."""
        await self._observe.send(await self._outcome(run))

    async def _outcome(self, run: Import) -> Observed:
        before = self._chain.finalized.height
        try:
            await self._chain.import_run(run.blocks, run.certificate)
        except BadProof as error:
            if self._chain.finalized.height != before:
                return Imported(self._chain.finalized.height)
            self._network.penalize(run.peer, f"false proof of finality: {error}", FORGED_COST)
            return Refused(lied=True)
        except InvalidBlock as error:
            LOGGER.critical(
                "block %d or one before it is final for the network and invalid for this node (%s): "
                "it cannot follow the chain; upgrade it, or report this",
                run.blocks[-1].header.height,
                error,
            )
            return Refused(lied=False)
        except (Unable, DatabaseError) as error:
            LOGGER.error("cannot import block %d: %s", run.blocks[0].header.height, error)
            return Refused(lied=False)
        self._network.reward(run.peer, REWARD)
        await self._on_advanced(self._chain.finalized.header)
        return Imported(self._chain.finalized.height)
