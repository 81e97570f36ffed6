"""The blobs' shell: gives chunks to peers within a budget, and fetches from them what is asked for here."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from node.blobs.core import IN_FLIGHT_MAX, PER_PEER_MAX, Ask, Fetch, Proved, Throttle, Verdict
from node.blobs.messages import (
    ANSWER_BYTES_MAX,
    BLOB_BYTES_MAX,
    CHUNK_ANSWER,
    CHUNK_BYTES,
    MANIFEST_ANSWER,
    PROTOCOL,
    REQUEST,
    REQUEST_BYTES_MAX,
    Absence,
    BlobId,
    Chunk,
    Request,
)
from node.blobs.store import BlobError, BlobMissing, BlobStore, Incoming
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.network.requests import RequestFailed, RequestHandler, ServiceLimits
from node.network.streams import ProtocolViolation
from primitives.codec import CodecError

T = TypeVar("T")

LOGGER: Final = logging.getLogger(__name__)

SERVED_BYTES_PER_S: Final = 16 * 1024 * 1024
"""What a node gives away to all peers together: an eighth of what one connection can carry."""

BURST_BYTES: Final = 4 * 1024 * 1024
WAIT_MAX_S: Final = 5.0
"""A request that would have to wait longer for its turn is told that we are busy."""

TIMEOUT_S: Final = 20.0
"""For one chunk: the peer's longest wait, and 1 MiB at 70 kB/s."""

FETCHES_MAX: Final = 64
"""Blobs fetched at a time; the others wait for their turn. As many as jobs can be open: whoever gives one
slowly is waited for by nobody else. Up to four chunks of each are held in memory."""

LIE_COST: Final = 50
SERVICE_LIMITS: Final = ServiceLimits(
    request_bytes_max=REQUEST_BYTES_MAX, response_bytes_max=ANSWER_BYTES_MAX, per_peer_max=PER_PEER_MAX
)


class BlobUnavailable(BlobError):
    """No connected peer gave the blob."""


class BlobTooLong(BlobError):
    """The blob is longer than whoever asked for it takes."""

    def __init__(self, blob: BlobId, size_bytes: int, bytes_max: int) -> None:
        super().__init__(f"blob {blob.hex()} has {size_bytes} bytes, more than {bytes_max}")
        self.size_bytes = size_bytes


class Network(Protocol):
    """What the blobs ask of the network."""

    def serve(self, protocol: str, handler: RequestHandler, limits: ServiceLimits, /) -> None: ...

    async def request(
        self, peer: PeerId, protocol: str, payload: bytes, /, *, timeout_s: float, response_bytes_max: int
    ) -> bytes: ...

    def peers(self) -> Sequence[PeerInfo]: ...

    def penalize(self, peer: PeerId, reason: str, cost: int, /) -> None: ...


class BlobService:
    """The blobs of one node, and its access to those of others. It needs no task of its own."""

    def __init__(self, store: BlobStore, network: Network) -> None:
        """Declares the blob protocol."""
        self._store = store
        self._network = network
        self._disk = trio.CapacityLimiter(1)
        """The store takes one thread at a time."""

        self._fetches = trio.CapacityLimiter(FETCHES_MAX)
        self._fetching: dict[BlobId, trio.Event] = {}
        self._throttle = Throttle(SERVED_BYTES_PER_S, BURST_BYTES)
        network.serve(PROTOCOL, self.answer, SERVICE_LIMITS)

    def __contains__(self, blob: object) -> bool:
        """Whether the blob is stored here."""
        return blob in self._store

    @property
    def used_bytes(self) -> int:
        """What the store takes of the disk."""
        return self._store.used_bytes

    async def put(self, data: bytes, *, pinned: bool = False) -> BlobId:
        """Store a blob, durably on return; its id. Raises WrongSize, StoreFull, StoreBroken."""
        return await self._on_disk(partial(self._store.put, pinned=pinned), data)

    async def get(self, blob: BlobId, *, pinned: bool = False, bytes_max: int = BLOB_BYTES_MAX) -> bytes:
        """The content of a blob, fetched if it is not here. Raises as `ensure` does."""
        await self.ensure(blob, pinned=pinned, bytes_max=bytes_max)
        try:
            return await self._on_disk(self._store.read, blob)
        except BlobMissing as damage:
            LOGGER.warning("%s", damage)
        await self.ensure(blob, pinned=pinned, bytes_max=bytes_max)
        return await self._on_disk(self._store.read, blob)

    async def ensure(self, blob: BlobId, *, pinned: bool = False, bytes_max: int = BLOB_BYTES_MAX) -> None:
        """Have a blob stored here; one that is longer is not fetched.

        Raises BlobTooLong, BlobUnavailable, StoreFull, StoreBroken.
        """
        while blob not in self._store:
            under_way = self._fetching.get(blob)
            if under_way is not None:
                await under_way.wait()
                continue
            finished = self._fetching[blob] = trio.Event()
            try:
                async with self._fetches:
                    await self._fetch(blob, pinned, bytes_max)
            finally:
                del self._fetching[blob]
                finished.set()
        size_bytes = (await self._on_disk(self._store.manifest, blob)).size_bytes
        if size_bytes > bytes_max:
            raise BlobTooLong(blob, size_bytes, bytes_max)
        if pinned:
            await self._on_disk(self._store.pin, blob)

    async def answer(self, peer: PeerId, payload: bytes) -> bytes:
        """Answer a peer's request. Raises ProtocolViolation."""
        try:
            request = REQUEST.decode(payload)
        except CodecError:
            raise ProtocolViolation("malformed blob request") from None
        try:
            if request.chunk is None:
                return MANIFEST_ANSWER.encode(await self._on_disk(self._store.manifest, request.blob))
            return CHUNK_ANSWER.encode(await self._chunk(request.blob, request.chunk))
        except BlobMissing:
            return CHUNK_ANSWER.encode(Absence.MISSING)
        except BlobError as error:
            LOGGER.error("%s", error)
            return CHUNK_ANSWER.encode(Absence.BUSY)

    async def _chunk(self, blob: BlobId, index: int) -> Chunk | Absence:
        """A chunk when it is its turn. Raises ProtocolViolation, BlobMissing, StoreBroken."""
        if blob not in self._store:
            return Absence.MISSING
        wait_s = self._throttle.wait_s(CHUNK_BYTES, trio.current_time(), WAIT_MAX_S)
        if wait_s is None:
            return Absence.BUSY
        await trio.sleep(wait_s)
        chunk = await self._on_disk(self._store.chunk, blob, index)
        if chunk is None:
            raise ProtocolViolation("blob request beyond the last chunk")
        return chunk

    async def _fetch(self, blob: BlobId, pinned: bool, bytes_max: int) -> None:
        """Fetch a blob from whoever has it. Raises as `ensure` does."""
        peers = sorted(self._network.peers(), key=lambda peer: -peer.score)
        fetch = Fetch(blob, [peer.peer_id for peer in peers])
        failure: BlobError | None = None
        async with trio.open_nursery() as nursery:
            try:
                await self._gather(fetch, pinned, bytes_max, nursery)
            except BlobError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _gather(self, fetch: Fetch, pinned: bool, bytes_max: int, nursery: trio.Nursery) -> None:
        """Ask, judge and write until the blob is stored. Raises as `ensure` does."""
        sending, answers = trio.open_memory_channel[tuple[Ask, bytes | None]](IN_FLIGHT_MAX)
        incoming: Incoming | None = None
        try:
            while not fetch.is_done:
                if fetch.is_hopeless:
                    raise BlobUnavailable(f"no connected peer gives blob {fetch.blob.hex()}")
                for ask in fetch.ask(trio.current_time()):
                    nursery.start_soon(self._ask, fetch.blob, ask, sending)
                with trio.move_on_at(fetch.wakes_at(trio.current_time())):
                    judged = self._judge(fetch, *await answers.receive())
                    if isinstance(judged, Proved):
                        assert incoming is not None
                        await self._on_disk(incoming.write, judged.index, judged.data)
                    elif incoming is None and fetch.manifest is not None:
                        if fetch.manifest.size_bytes > bytes_max:
                            raise BlobTooLong(fetch.blob, fetch.manifest.size_bytes, bytes_max)
                        incoming = await self._on_disk(
                            partial(self._store.begin, pinned=pinned), fetch.manifest
                        )
            assert incoming is not None
            await self._on_disk(incoming.commit)
        finally:
            if incoming is not None:
                with trio.CancelScope(shield=True):
                    await self._on_disk(incoming.close)

    async def _ask(
        self, blob: BlobId, ask: Ask, sending: trio.MemorySendChannel[tuple[Ask, bytes | None]]
    ) -> None:
        """Put one question, and send on what came of it; None if nothing did."""
        answer = None
        with suppress(RequestFailed):
            answer = await self._network.request(
                ask.peer,
                PROTOCOL,
                REQUEST.encode(Request(blob, ask.chunk)),
                timeout_s=TIMEOUT_S,
                response_bytes_max=ANSWER_BYTES_MAX,
            )
        await sending.send((ask, answer))

    def _judge(self, fetch: Fetch, ask: Ask, answer: bytes | None) -> Proved | Verdict:
        now = trio.current_time()
        if answer is None:
            fetch.failed(ask, now)
            return Verdict.NOTHING
        judged = fetch.answered(ask, answer, now)
        if judged is Verdict.LIE:
            self._network.penalize(ask.peer, "blob answer that is not of the blob", LIE_COST)
        return judged

    async def _on_disk(self, action: Callable[..., T], *args: object) -> T:
        """One action on the store, in a thread, in its turn."""
        return await trio.to_thread.run_sync(action, *args, limiter=self._disk)
