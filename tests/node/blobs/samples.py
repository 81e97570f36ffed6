"""Blobs for the tests, and a network of nodes that exists in memory only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.blobs.messages import (
    CHUNK_ANSWER,
    CHUNK_BYTES,
    MANIFEST_ANSWER,
    REQUEST,
    Chunk,
    chunk_hashes,
    chunks_of,
    manifest_of,
)
from node.blobs.service import BlobService
from node.blobs.store import BlobStore, StoreLimits
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.network.requests import RequestHandler, ServiceLimits
from primitives.merkle import prove_item

LARGE = b"1" * CHUNK_BYTES + b"2" * CHUNK_BYTES + b"the third chunk is short"
"""A blob of three chunks."""

SMALL = b"a model of one chunk"


def answer_of(data: bytes, payload: bytes) -> bytes:
    """What an honest node that has the blob `data` answers."""
    request = REQUEST.decode(payload)
    if request.chunk is None:
        return MANIFEST_ANSWER.encode(manifest_of(data))
    return CHUNK_ANSWER.encode(chunk_of(data, request.chunk))


def chunk_of(data: bytes, index: int) -> Chunk:
    """A chunk of the blob `data` with its proof."""
    chunks = chunks_of(data)
    return Chunk(chunks[index], prove_item(chunk_hashes(chunks), index))


@dataclass
class Hub:
    """Everybody is connected with everybody; what a node serves is called directly."""

    handlers: dict[PeerId, RequestHandler] = field(default_factory=dict)
    asked: list[tuple[PeerId, int | None]] = field(default_factory=list)
    penalties: list[PeerId] = field(default_factory=list)

    def node(self, name: str, directory: Path, size_bytes_max: int = 64 * CHUNK_BYTES) -> BlobService:
        """A node with an empty store."""
        store = BlobStore(directory / name, StoreLimits(size_bytes_max=size_bytes_max))
        return BlobService(store, _Port(self, PeerId(name)))


@dataclass
class _Port:
    hub: Hub
    me: PeerId

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits, /) -> None:
        self.hub.handlers[self.me] = handler

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, /, *, timeout_s: float, response_bytes_max: int
    ) -> bytes:
        self.hub.asked.append((peer, REQUEST.decode(payload).chunk))
        await trio.lowlevel.checkpoint()
        answer = await self.hub.handlers[peer](self.me, payload)
        assert len(answer) <= response_bytes_max
        return answer

    def peers(self) -> Sequence[PeerInfo]:
        return [
            PeerInfo(
                peer_id=peer, address="", outbound=False, role=Role.FULL, session_key=None, finalized_height=0
            )
            for peer in self.hub.handlers
            if peer != self.me
        ]

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None:
        assert cost > 0
        self.hub.penalties.append(peer)
