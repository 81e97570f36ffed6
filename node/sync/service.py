"""The shell of sync: asks peers for blocks, has the chain import them, answers others, and announces news."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, assert_never

import trio

from frame.error import Unable
from node.db.errors import DatabaseError
from node.network.channel import ChannelLimits, Received
from node.network.identity import PeerId
from node.network.peering import PeerEvent
from node.network.peers import PeerInfo
from node.network.requests import RequestFailed, RequestFailure, RequestHandler, ServiceLimits
from node.network.scores import BAN_SCORE, SCORE_MAX
from node.network.streams import ProtocolViolation
from node.sync.core import (
    Advanced,
    Announced,
    Answered,
    Ask,
    Failed,
    Import,
    Imported,
    Observed,
    Peers,
    Premature,
    Prove,
    Proved,
    Refused,
    Settle,
    SyncCore,
    Unproved,
)
from node.sync.importer import Disagreed, TooEarly
from node.sync.messages import (
    ANNOUNCE_PROTOCOL,
    ANNOUNCEMENT,
    ANNOUNCEMENT_BYTES_MAX,
    ANSWER_BYTES_MAX,
    PROTOCOL,
    REQUEST,
    REQUEST_BYTES_MAX,
    Announcement,
    BadAnswer,
    Request,
    Run,
    decode_announcement,
    decode_answer,
)
from node.sync.progress import Meter, Progress
from node.sync.serving import BlockSource, Budget, collect
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate
from primitives.codec import CodecError
from primitives.finality import BadProof
from primitives.types import BlockNumber

T = TypeVar("T")

LOGGER: Final = logging.getLogger(__name__)
PROGRESS_LOGGER: Final = logging.getLogger("node.sync.progress")
"""On a terminal a progress bar takes its place."""

TIMEOUT_S: Final = 10.0
"""For one answer: 3 MiB at 2.5 Mbit/s."""

PEERS_INTERVAL_S: Final = 1.0
"""Peers say once a second how far they have come."""

INBOX_MAX: Final = 16
LIE_COST: Final = 50
FORGED_COST: Final = SCORE_MAX - BAN_SCORE
"""A false certificate cannot be a mistake: banned at once, whatever good was done before."""

REWARD: Final = 1
"""For blocks that proved final."""

PROGRESS_INTERVAL_S: Final = 5.0
"""How often to log how catching up goes."""

STARVED_INTERVAL_S: Final = 60.0
"""How often to say that nobody has what is needed."""

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

    def follow(self) -> trio.MemoryReceiveChannel[Block]:
        """Every block from now on as it becomes final."""
        ...

    async def read(self, reader: Callable[..., T], /, *args: Any) -> T:
        """Call `reader` in a worker thread in which the database may be read."""
        ...


class Importer(Protocol):
    """Brings finalized blocks into the chain."""

    async def prove(self, runs: Sequence[Run], /) -> None:
        """Raises BadProof if they are not final, TooEarly, DatabaseError."""
        ...

    async def take(self, runs: Sequence[Run], /) -> None:
        """Execute and commit runs that were proved. Raises Disagreed, Unable or DatabaseError."""
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

    def is_authority(self, peer: PeerInfo, /) -> bool: ...

    def subscribe(self) -> trio.MemoryReceiveChannel[PeerEvent]: ...

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None: ...

    def reward(self, peer: PeerId, gain: int, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """What sync tells the engine of this node, if it has one."""

    patience_blocks: Callable[[], int]
    """See SyncCore; none while this node has no vote."""

    settle: Callable[[], Awaitable[None]]
    """The chain moved by import: go on from where it stands."""

    disagree: Callable[[Certificate], Awaitable[None]]
    """A block that is final for the network is invalid here: vote no more."""


class SyncService:
    """Keeps one node at the height of its peers."""

    def __init__(
        self,
        chain: Chain,
        importer: Importer,
        source: BlockSource,
        network: Network,
        consensus: Consensus | None = None,
    ) -> None:
        """`source` is read through `chain.read`. Without `consensus` every block comes by sync."""
        self._core = SyncCore(chain.finalized.height, 0)
        self._chain = chain
        self._importer = importer
        self._source = source
        self._network = network
        self._consensus = consensus
        self._finalized = chain.follow()
        self._events = network.subscribe()
        self._meter = Meter(chain.finalized.height)
        self._budget = Budget()
        self._starved_at = -STARVED_INTERVAL_S
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

    @property
    def progress(self) -> Progress:
        """How catching up goes."""
        return self._meter.progress(trio.current_time())

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_progress)
            nursery.start_soon(self._watch_peers)
            nursery.start_soon(self._watch_chain)
            nursery.start_soon(self._watch_news)
            async for observed in self._observed:
                self._core.patience_blocks = self._consensus.patience_blocks() if self._consensus else 0
                for action in self._core.handle(observed, trio.current_time()):
                    match action:
                        case Ask():
                            nursery.start_soon(self._ask, action)
                        case Prove():
                            nursery.start_soon(self._prove, action)
                        case Import():
                            nursery.start_soon(self._import, action)
                        case Settle():
                            if self._consensus is not None:
                                nursery.start_soon(self._consensus.settle)
                        case _:
                            assert_never(action)
                self._note()

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        """Answer a peer's request for blocks, in its turn. Raises ProtocolViolation."""
        try:
            request = REQUEST.decode(payload)
        except CodecError:
            raise ProtocolViolation("malformed sync request") from None
        await trio.sleep(self._budget.delay_s(peer, trio.current_time()))
        async with self._collecting:
            finalized = self._chain.finalized.height
            data = await self._chain.read(collect, self._source, request, finalized)
        self._budget.charge(peer, len(data), trio.current_time())
        return data

    async def _tell_progress(self) -> None:
        """A line every few seconds while the node is behind, and one when it is not any more."""
        was_syncing = False
        while True:
            await trio.sleep(PROGRESS_INTERVAL_S)
            progress = self.progress
            if progress.is_syncing:
                PROGRESS_LOGGER.info("catching up: %s", progress)
            elif was_syncing:
                PROGRESS_LOGGER.info("caught up at block %d", progress.current)
            was_syncing = progress.is_syncing

    def _note(self) -> None:
        """Keep the figures, and tell the operator what only the operator can change."""
        now, core = trio.current_time(), self._core
        self._meter.note(core.height, core.target, now, is_syncing=core.is_syncing)
        if self._core.is_starved and now >= self._starved_at + STARVED_INTERVAL_S:
            self._starved_at = now
            LOGGER.warning(
                "no peer holds block %d any more: connect to an archive with --bootnode, "
                "or start in a new directory with --sync snapshot",
                self._core.height + 1,
            )

    async def _watch_peers(self) -> None:
        """Look at the peers when one comes or goes, and as often as they say how far they are."""
        while True:
            peers = sorted(self._network.peers(), key=lambda peer: -peer.score)
            heights = tuple((peer.peer_id, BlockNumber(peer.finalized_height)) for peer in peers)
            await self._observe.send(Peers(heights))
            with trio.move_on_after(PEERS_INTERVAL_S):
                await self._events.receive()

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
                where=lambda peer: not self._network.is_authority(peer),
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
        request = Request(ask.first, ask.last)
        try:
            data = await self._network.request(
                ask.peer,
                PROTOCOL,
                REQUEST.encode(request),
                timeout_s=TIMEOUT_S,
                response_bytes_max=ANSWER_BYTES_MAX,
            )
            answer = await trio.to_thread.run_sync(decode_answer, data, request, limiter=self._decoding)
        except RequestFailed as failure:
            LOGGER.debug("no blocks from %s: %s", ask.peer, failure)
            too_long = failure.reason is RequestFailure.TOO_LONG
            if too_long:
                self._accuse(ask.peer, "a sync answer that is too long", LIE_COST)
            observed = Failed(ask.peer, lied=too_long)
        except (CodecError, BadAnswer) as error:
            self._accuse(ask.peer, f"bad sync answer: {error}", LIE_COST)
            observed = Failed(ask.peer, lied=True)
        else:
            observed = Answered(ask.peer, answer, len(data))
        await self._observe.send(observed)

    def _accuse(self, peer: PeerId, reason: str, cost: int) -> None:
        LOGGER.warning("%s: %s", peer, reason)
        self._network.penalize(peer, reason, cost)

    async def _prove(self, prove: Prove) -> None:
        """Find out whether what a peer sent is final."""
        peer, first = prove.peer, prove.runs[0].first
        observed: Observed
        try:
            await self._importer.prove(prove.runs)
        except TooEarly as error:
            observed = Premature(peer, first, error.until)
        except BadProof as error:
            self._accuse(peer, f"false proof that block {first} is final: {error}", FORGED_COST)
            observed = Unproved(peer, first, lied=True)
        except DatabaseError as error:
            LOGGER.error("cannot verify block %d: %s", first, error)
            observed = Unproved(peer, first, lied=False)
        else:
            self._network.reward(peer, REWARD)
            observed = Proved(peer, first)
        await self._observe.send(observed)

    async def _import(self, action: Import) -> None:
        """Have the chain take runs, and say what came of it."""
        await self._observe.send(await self._outcome(action.runs))

    async def _outcome(self, runs: Sequence[Run]) -> Imported | Refused:
        try:
            await self._importer.take(runs)
        except Disagreed as error:
            height, name = error.block.header.height, block_hash(error.block.header).hex()[:12]
            LOGGER.critical(
                "block %d (%s) is final for the network and invalid for this node (%s): it cannot follow the "
                "chain, and votes no more; upgrade it, or report this",
                height,
                name,
                error,
            )
            if self._consensus is not None:
                await self._consensus.disagree(error.certificate)
            return Refused(for_ever=True)
        except (Unable, DatabaseError) as error:
            LOGGER.error("cannot import blocks from %d on: %s", runs[0].first, error)
        except Exception:  # the boundary of what the network sent: it may cost these blocks, not the node
            LOGGER.exception("importing blocks from %d on failed; report this", runs[0].first)
        else:
            return Imported(self._chain.finalized.height)
        return Refused(for_ever=False)
