"""What a node tells about itself, to the RPC and to Prometheus; read when it is asked for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inference.pool import WorkerPool
from node.chain import Chain
from node.consensus_host import ConsensusHost
from node.evidence.service import EvidenceService
from node.evidence.votes import VoteRecord
from node.metrics.gauges import Reading
from node.metrics.network import NetworkReading
from node.network.host import Network
from node.pool.service import PoolService
from node.rpc.methods import Live, Number
from node.sync.service import SyncService
from primitives.vote import VOTE

VOTES_PER_ANSWER: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Looks at the services of one node."""

    chain: Chain
    network: Network
    pool: PoolService
    sync: SyncService
    host: ConsensusHost | None
    """None on a node without a vote."""

    votes: VoteRecord
    evidence: EvidenceService
    is_voting: Callable[[], bool]
    workers: WorkerPool | None
    """None on a node that does not validate."""

    database: Path
    """The directory of the database."""

    def live(self) -> Live:
        """What the RPC asks for."""
        return Live(
            peers=self.peers,
            bans=self.bans,
            addresses=lambda: [str(self.network.listening)] if self.network.listening else [],
            sync_state=self.sync_state,
            is_syncing=lambda: self.sync.is_syncing,
            consensus=self.consensus,
        )

    def peers(self) -> list[dict[str, Any]]:
        """Everyone connected."""
        return [
            {
                "peerId": peer.peer_id,
                "address": peer.address,
                "role": str(peer.role),
                "direction": "outbound" if peer.outbound else "inbound",
                "isInCommittee": self.network.is_authority(peer),
                "finalizedHeight": peer.finalized_height,
                "score": peer.score,
            }
            for peer in self.network.peers()
        ]

    def bans(self) -> list[dict[str, Any]]:
        """Peers and networks that are banned now; a network is an IPv4 address or an IPv6 /64."""
        return [{"who": ban.key, "secondsLeft": round(ban.ban_left_s)} for ban in self.network.bans()]

    def sync_state(self) -> dict[str, Any]:
        """How far the node is, and its peers are; how fast it catches up, and how long that still takes."""
        progress = self.sync.progress
        return {
            "startingBlock": progress.starting,
            "currentBlock": self.chain.finalized.height,
            "highestBlock": max(progress.highest, self.chain.finalized.height),
            "blocksPerSecond": round(progress.blocks_per_s, 1),
            "secondsLeft": None if progress.left_s is None else round(progress.left_s, 1),
        }

    def consensus(self) -> dict[str, Any]:
        """Where the engine is, and how long finality took this node's last proposals."""
        header = self.chain.finalized.header
        return {
            "epoch": header.epoch,
            "view": header.view,
            "isVoting": self.is_voting(),
            "finalityMs": [] if self.host is None else [round(ms, 2) for ms in self.host.finality_ms],
        }

    async def recent_votes(self, start: Number) -> dict[str, Any]:
        """Verified votes, own and heard, from number `start` on; `next` is where to go on."""
        following, votes = self.votes.page(start, VOTES_PER_ANSWER)
        return {"next": following, "votes": ["0x" + VOTE.encode(vote).hex() for vote in votes]}

    def reading(self) -> Reading:
        """What Prometheus asks for."""
        header, counters = self.chain.finalized.header, self.network.counters
        return Reading(
            finalized_height=header.height,
            finalized_age_s=max(0.0, time.time() - header.timestamp_ms / 1000),
            target_height=self.sync.target,
            peers=len(self.network.peers()),
            ready_transactions=self.pool.stats().ready,
            epoch=header.epoch,
            view=header.view,
            is_voting=self.is_voting(),
            equivocations=self.evidence.seen,
            dropped_frames=counters.dropped_in.total() + counters.dropped_out.total(),
            database_bytes=_size_bytes(self.database),
            network=NetworkReading(
                peers=self.network.peers(), bans=self.network.bans(), counters=self.network.counters
            ),
            workers=None if self.workers is None else self.workers.reading(),
        )


def _size_bytes(directory: Path) -> int:
    """What the files in `directory` take up on the disk."""
    return sum(entry.stat().st_blocks * 512 for entry in directory.iterdir())
