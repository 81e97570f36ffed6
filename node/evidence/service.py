"""The shell of evidence: takes it from the engine and from neighbours, tells it on, puts it into blocks.

A piece stays on the disk until a finalized block has it; that is also what ends the telling.
"""

import logging
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

import trio

from frame.state import StateView
from frame.validators import Historical
from node.consensus.interface import Fork
from node.evidence.core import EvidencePool, Verdict
from node.evidence.store import EvidenceStore, describe
from node.network.channel import ChannelLimits
from node.network.gossip import GossipNetwork
from node.network.identity import PeerId
from primitives.block import Block
from primitives.certificate import Verifier
from primitives.codec import CodecError
from primitives.extrinsic import Call
from primitives.types import EpochIndex
from primitives.vote import EVIDENCE, Evidence
from runtime.constants import OFFENCES
from runtime.offences import report_call
from runtime.runtime import Runtime

T = TypeVar("T")

PROTOCOL: Final = "/consilience/evidence/1"

FRAME_BYTES_MAX: Final = 512
"""Two votes."""

WAITING_MAX: Final = 256
"""Findings of the engine that wait to be judged; more of them are found again or told by others."""

EARLY_MAX: Final = 64
EARLY_PER_PEER_MAX: Final = 8
"""Pieces of others, and of one of them, about an epoch whose first block is not final here; they are judged
after the next block. Nobody has verified them, so that they take no room from what this node found."""

REPEAT_BLOCKS: Final = 8
"""Blocks after which what the chain has not taken is told again, to those who came later too."""

MALFORMED_COST: Final = 20
FORGED_COST: Final = 50
"""Whoever tells it on has verified it, so that only the forger does."""

CHANNEL_LIMITS: Final = ChannelLimits(
    frame_bytes_max=FRAME_BYTES_MAX,
    queue_frames_max=256,
    queue_bytes_max=64 * 1024,
    inbox_frames_max=256,
    inbox_bytes_max=128 * 1024,
)

_log = logging.getLogger(__name__)


class Chain(Protocol):
    """What evidence asks of the chain."""

    async def query(self, question: Callable[[StateView], T], /) -> T:
        """What `question` finds in the finalized state, in a worker thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What the runtime says of a state."""

    epoch: Callable[[StateView], EpochIndex]
    """That of the next block."""

    historical: Callable[[StateView, EpochIndex], Historical | None]
    wants: Callable[[StateView, Evidence], bool]
    """Whether a report would be new and in time."""


def views_of(runtime: Runtime) -> Views:
    """Those of the chain's own runtime."""
    return Views(
        epoch=lambda state: runtime.committee(state).epoch,
        historical=lambda state, epoch: runtime.query(state, "session.historical", epoch),
        wants=lambda state, evidence: runtime.query(state, "offences.wants", evidence),
    )


class EvidenceService:
    """Implements node.authorship.author.InherentSource."""

    def __init__(
        self,
        chain: Chain,
        network: GossipNetwork,
        finalized: AsyncIterable[Block],
        views: Views,
        store: EvidenceStore,
        verifier: Verifier,
    ) -> None:
        """`finalized`: every block from now on as it becomes final."""
        self._chain = chain
        self._network = network
        self._finalized = finalized
        self._views = views
        self._store = store
        self._pool = EvidencePool(verifier)
        self._early: dict[Evidence, PeerId | None] = {}
        self._channel = network.channel(PROTOCOL, CHANNEL_LIMITS)
        self._found, self._findings = trio.open_memory_channel[Evidence | Fork](WAITING_MAX)

    @property
    def seen(self) -> int:
        """Offences that this node could prove since it started."""
        return self._pool.seen

    def found(self, finding: Evidence | Fork) -> None:
        """The engine has found something. Does not wait."""
        with suppress(trio.WouldBlock):
            self._found.send_nowait(finding)

    def inherents(self, state: StateView) -> Sequence[Call]:
        """As in InherentSource; called in a worker thread."""
        wanted = (each for each in self._pool.pending() if self._views.wants(state, each))
        return [report_call(each) for each in islice(wanted, OFFENCES.reports_max)]

    async def shown(self) -> dict[str, Any]:
        """For the RPC: what waits for a block, and the forks that were seen."""
        forks = await trio.to_thread.run_sync(self._store.forks)
        return {"pending": [describe(each) for each in self._pool.pending()], "forks": forks}

    async def run(self) -> None:
        """Serve until cancelled."""
        for evidence in await trio.to_thread.run_sync(self._store.read):
            await self._take(evidence, None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            nursery.start_soon(self._listen)
            async for finding in self._findings:
                if isinstance(finding, Fork):
                    await self._write(self._store.keep_fork, finding)
                else:
                    await self._take(finding, None)

    async def _listen(self) -> None:
        """Judge what neighbours tell, one piece after the other."""
        async for peer, frame in self._channel.inbox:
            try:
                evidence = EVIDENCE.decode(frame)
            except CodecError:
                self._network.penalize(peer, "malformed evidence", MALFORMED_COST)
                continue
            await self._take(evidence, peer)

    async def _follow(self) -> None:
        """After each block: judge what was early, drop what the chain has, at times tell the rest again."""
        async for block in self._finalized:
            early, self._early = self._early, {}
            for evidence, peer in early.items():
                await self._take(evidence, peer)
            for evidence, is_wanted in (await self._look_at(self._pool.pending())).items():
                if not is_wanted:
                    self._pool.settle(evidence)
                    await self._write(self._store.remove, evidence)
                elif block.header.height % REPEAT_BLOCKS == 0:
                    self._tell(evidence, None)

    async def _take(self, evidence: Evidence, peer: PeerId | None) -> None:
        """Judge a piece of `peer`, or one of our own; keep and tell it on if it is news."""
        verdict = self._pool.judge(evidence) or await self._judge(evidence)
        if verdict is Verdict.NEW:
            vote = evidence.first
            _log.error("authority %d of epoch %d is convicted of signing twice", vote.signer, vote.epoch)
            await self._write(self._store.keep, evidence)
            self._tell(evidence, peer)
        elif verdict in (Verdict.EARLY, Verdict.FAR):
            self._put_off(evidence, peer, verdict)
        elif verdict is Verdict.FORGED and peer is not None:
            self._network.penalize(peer, "forged evidence", FORGED_COST)
        elif verdict is Verdict.LATE and peer is None:
            await self._write(self._store.remove, evidence)

    def _put_off(self, evidence: Evidence, peer: PeerId | None, verdict: Verdict) -> None:
        """Judge a piece later: one of a peer if there is room, one of our own in any case."""
        if peer is None:
            own = sum(source is None for source in self._early.values())
            if own < WAITING_MAX:
                self._early[evidence] = None
        elif verdict is Verdict.EARLY and evidence not in self._early:
            sources = [source for source in self._early.values() if source is not None]
            if len(sources) < EARLY_MAX and sources.count(peer) < EARLY_PER_PEER_MAX:
                self._early[evidence] = peer

    async def _judge(self, evidence: Evidence) -> Verdict:
        def look(state: StateView) -> tuple[EpochIndex, Historical | None, bool]:
            past = self._views.historical(state, evidence.first.epoch)
            return self._views.epoch(state), past, self._views.wants(state, evidence)

        epoch, past, wanted = await self._chain.query(look)
        return self._pool.offer(evidence, epoch, past, wanted)

    async def _look_at(self, pending: Sequence[Evidence]) -> dict[Evidence, bool]:
        """Whether the finalized chain lacks each piece."""
        if not pending:
            return {}
        wants = self._views.wants
        return await self._chain.query(lambda state: {each: wants(state, each) for each in pending})

    def _tell(self, evidence: Evidence, source: PeerId | None) -> None:
        self._channel.broadcast(EVIDENCE.encode(evidence), where=lambda peer: peer.peer_id != source)

    async def _write(self, action: Callable[[T], None], subject: T) -> None:
        """Change the files. A disk that refuses costs the copy on it; the rest goes on."""
        try:
            await trio.to_thread.run_sync(action, subject)
        except OSError as error:
            _log.error("cannot keep evidence in %s: %s", self._store.directory, error)
