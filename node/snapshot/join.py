"""The shell of joining: a phase before the services of a node exist, which leaves a database behind.

Nothing of the node runs on a state that is not complete: the services start when this has ended.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, assert_never

import trio

from node.db.errors import DatabaseCorrupt
from node.db.holds import HOLD_INTERVAL
from node.db.partial import Partial, adopt, discard, open_partial
from node.db.schema import Genesis
from node.network.host import Network as RealNetwork
from node.network.host import NetworkConfig
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.network.requests import RequestFailed
from node.snapshot.core import (
    ENDS_MAX,
    Ask,
    AskChunk,
    AskEpochs,
    AskOffer,
    Failed,
    Finish,
    JoinCore,
    Mark,
    NotHeld,
    Observed,
    Offered,
    Peers,
    Proved,
    Stored,
)
from node.snapshot.messages import (
    ANSWER_BYTES_MAX,
    CHUNK_BYTES,
    EPOCHS_BYTES,
    OFFER,
    PROTOCOL,
    QUESTION,
    BadChunk,
    ChunkQuestion,
    EpochsQuestion,
    OfferQuestion,
    Question,
    verified_chunk,
    verified_epochs,
)
from primitives.codec import CodecError
from primitives.committee import Committee
from primitives.finality import BadProof
from primitives.state_range import BadRange
from primitives.types import BlockNumber

LOGGER: Final = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
"""For a chunk: 1 MiB at 0.3 Mbit/s."""

SMALL_TIMEOUT_S: Final = 10.0
"""For an offer, or for epoch proofs."""

OFFER_BYTES_MAX: Final = 1024
PEERS_INTERVAL_S: Final = 0.25
FORGED_COST: Final = 100
"""A false proof cannot be a mistake: banned at once."""

SLIM_BYTES: Final = CHUNK_BYTES // 4
"""The beginning of a range that is too large for a chunk is seldom smaller: half of one on average."""

INBOX_MAX: Final = 32
VERIFIERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far joining has come."""

    height: BlockNumber | None
    """Of the state that is fetched; None before one is found."""

    share: float
    """How much of it is verified and on the disk, from 0 to 1."""

    entries: int
    """Entries that this process has stored."""

    chunks: int
    peers: int
    """Connected."""

    able: int
    """Of these, how many give the state."""

    finalized: BlockNumber
    """The highest block of which a peer says that it is final."""

    epochs: int
    """Committees that were proved."""

    is_finishing: bool


class Network(Protocol):
    """What joining asks of the network."""

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, /, *, timeout_s: float, response_bytes_max: int
    ) -> bytes: ...

    def peers(self) -> tuple[PeerInfo, ...]: ...

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None: ...


class Joiner:
    """Fetches one state."""

    def __init__(
        self, partial: Partial, network: Network, first: Committee, on_progress: Callable[[Progress], None]
    ) -> None:
        """`first`: the committee of epoch 1; `on_progress` is told several times a second."""
        self._partial = partial
        self._network = network
        self._on_progress = on_progress
        self._core = JoinCore(
            first_held_height(first),
            partial.trusted.committee.epoch,
            deque(partial.blocks.ends(ENDS_MAX)),
            {range_: Mark(range_, height, part) for range_, height, part in partial.marks()},
        )
        self._observe, self._observed = trio.open_memory_channel[Observed](INBOX_MAX)
        self._verifying = trio.CapacityLimiter(VERIFIERS)
        self._writing = trio.CapacityLimiter(1)
        self._entries = self._chunks = 0

    async def run(self) -> BlockNumber | None:
        """Fetch until a state is complete; its height. None if peers have no state yet, nor need one.

        Raises DatabaseError.
        """
        finish: Finish | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_peers)
            while finish is None:
                observed = await self._observed.receive()
                for action in self._core.handle(observed, trio.current_time()):
                    if isinstance(action, Finish):
                        finish = action
                    else:
                        nursery.start_soon(self._ask, action)
                self._report()
            nursery.cancel_scope.cancel()
        self._report(is_finishing=finish.height is not None)
        return finish.height

    async def _watch_peers(self) -> None:
        while True:
            peers = sorted(self._network.peers(), key=lambda peer: -peer.score)
            await self._observe.send(Peers(tuple(peer.peer_id for peer in peers)))
            await trio.sleep(PEERS_INTERVAL_S)

    async def _ask(self, ask: Ask) -> None:
        """Put one question to a peer, and do with the answer what is to be done."""
        observed: Observed
        try:
            match ask:
                case AskOffer():
                    observed = await self._ask_offer(ask)
                case AskEpochs():
                    observed = await self._ask_epochs(ask)
                case AskChunk():
                    observed = await self._ask_chunk(ask)
                case _:
                    assert_never(ask)
        except RequestFailed as failure:
            LOGGER.debug("no snapshot answer from %s: %s", ask.peer, failure)
            observed = Failed(ask, lied=False)
        except (CodecError, BadProof, BadRange, BadChunk) as error:
            LOGGER.warning("peer %s gave a false snapshot answer: %s", ask.peer, error)
            self._network.penalize(ask.peer, f"false snapshot answer: {error}", FORGED_COST)
            observed = Failed(ask, lied=True)
        await self._observe.send(observed)

    async def _ask_offer(self, ask: AskOffer) -> Observed:
        data = await self._request(ask.peer, OfferQuestion(), SMALL_TIMEOUT_S, OFFER_BYTES_MAX)
        return Offered(ask, OFFER.decode(data))

    async def _ask_epochs(self, ask: AskEpochs) -> Observed:
        question, size_max = EpochsQuestion(ask.first), 2 * EPOCHS_BYTES
        data = await self._request(ask.peer, question, SMALL_TIMEOUT_S, size_max)
        proofs, trusted = await trio.to_thread.run_sync(
            verified_epochs, data, self._partial.trusted, limiter=self._verifying
        )
        if proofs:
            await self._write(self._partial.add_epochs, proofs, trusted)
        return Proved(ask, trusted.committee.epoch, tuple(proof.header.height for proof in proofs))

    async def _ask_chunk(self, ask: AskChunk) -> Observed:
        known = ask.known
        question = ChunkQuestion(ask.height, ask.range_, None if known is None else known.node)
        data = await self._request(ask.peer, question, TIMEOUT_S, ANSWER_BYTES_MAX)
        header = self._partial.blocks.header(ask.height)
        assert header is not None
        verified = await trio.to_thread.run_sync(
            verified_chunk, data, header.state_root, ask.range_, known, limiter=self._verifying
        )
        if verified is None:
            return NotHeld(ask)
        chunk, part = verified
        is_slim = chunk.range_ != ask.range_ and len(data) < SLIM_BYTES
        if is_slim and not self._core.is_welcome(ask):
            return Failed(ask, lied=False)
        await self._write(self._partial.put, ask.range_, (chunk.range_, ask.height, part), chunk.entries)
        self._chunks += 1
        self._entries += len(chunk.entries or ())
        return Stored(ask, Mark(chunk.range_, ask.height, part), is_slim)

    async def _request(self, peer: PeerId, question: Question, timeout_s: float, size_max: int) -> bytes:
        """Raises RequestFailed."""
        return await self._network.request(
            peer, PROTOCOL, QUESTION.encode(question), timeout_s=timeout_s, response_bytes_max=size_max
        )

    async def _write(self, write: Callable[..., None], *arguments: object) -> None:
        """Raises DatabaseError."""
        await trio.to_thread.run_sync(write, *arguments, limiter=self._writing)

    def _report(self, *, is_finishing: bool = False) -> None:
        core = self._core
        self._on_progress(
            Progress(
                height=core.target,
                share=core.progress,
                entries=self._entries,
                chunks=self._chunks,
                peers=core.peers,
                able=core.able,
                finalized=core.finalized,
                epochs=core.epoch - 1,
                is_finishing=is_finishing,
            )
        )


async def join(
    place: Path, genesis: Genesis, network: NetworkConfig, on_progress: Callable[[Progress], None]
) -> BlockNumber | None:
    """Fetch a state from peers and make it the database in the directory `place`, which must not exist.

    Returns the height of the state, or None if there is none to fetch. Raises DatabaseError, OSError.
    """
    path = place.with_name(f"{place.name}.partial")
    while True:
        partial = await trio.to_thread.run_sync(open_partial, path, genesis)
        try:
            height = partial.completed()
            if height is None:
                height = await _fetch(partial, genesis, network, on_progress)
                if height is not None:
                    await trio.to_thread.run_sync(partial.finish, height)
        except DatabaseCorrupt as error:
            LOGGER.error("what was fetched is damaged, so it is fetched again: %s", error)
            partial.close()
            discard(path)
            continue
        except BaseException:
            partial.close()
            raise
        partial.close()
        if height is None:
            discard(path)
        else:
            adopt(path, place)
        return height


async def _fetch(
    partial: Partial, genesis: Genesis, config: NetworkConfig, on_progress: Callable[[Progress], None]
) -> BlockNumber | None:
    """As Joiner.run, with a network of its own. Raises DatabaseError."""
    network = RealNetwork(config)
    joiner = Joiner(partial, network, genesis.committee, on_progress)
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        height = await joiner.run()
        nursery.cancel_scope.cancel()
    return height


def first_held_height(first: Committee) -> BlockNumber:
    """The first state that nodes of a chain hold, if its first committee tells how long its epochs are."""
    return BlockNumber(-(-HOLD_INTERVAL // first.last_height) * first.last_height)
