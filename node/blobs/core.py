"""Which peer to ask for which part of a blob next, and how fast to give parts of blobs to others.

A fetch first asks peers for the manifest: whoever answers has the blob. Chunks are then spread over those
who have it. A peer that fails or is busy rests for a while and is given up when it keeps failing; one whose
answer is not what it says is never asked again; and one that is late is waited for, but not alone.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from node.blobs.messages import (
    CHUNK_ANSWER,
    MANIFEST_ANSWER,
    Absence,
    BlobId,
    Manifest,
    blob_id,
    verify_chunk,
)
from node.network.identity import PeerId
from node.standing import Standing
from primitives.codec import CodecError

IN_FLIGHT_MAX: Final = 4
"""Questions of one fetch at a time: as many chunks are held in memory."""

PER_PEER_MAX: Final = 2
"""Questions to one peer at a time: one answer travels while the next is read from its disk."""

LATE_S: Final = 3.0
"""After so long an unanswered question stands in nobody's way: others are asked the same."""

FAILURES_MAX: Final = 4
"""Failures in a row after which a fetch gives a peer up."""

REST_S: Final = 0.5
"""How long a peer is left alone after its first failure; twice as long after the next."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to put to a peer now."""

    peer: PeerId
    chunk: int | None
    """Index of a chunk; None asks for the manifest."""


@dataclass(frozen=True, slots=True)
class Proved:
    """A chunk that belongs where it says, to be written."""

    index: int
    data: bytes


class Verdict(Enum):
    """What an answer without a chunk was worth."""

    MANIFEST = auto()
    """The manifest: the peer has the blob."""

    NOTHING = auto()
    """The peer does not have the blob, or cannot give it now."""

    LIE = auto()
    """Bytes that are not what the peer says they are."""


@dataclass(slots=True)
class _Source(Standing):
    """A peer as one fetch knows it."""

    has_blob: bool = False
    given_up: bool = False
    in_flight: int = 0

    def can_take(self, now: float) -> bool:
        """Whether it may be asked for a chunk."""
        free = self.in_flight < PER_PEER_MAX and self.is_rested(now)
        return free and self.has_blob and not self.given_up

    def is_unknown(self, now: float) -> bool:
        """Whether it may be asked if it has the blob."""
        free = not self.in_flight and self.is_rested(now)
        return free and not self.has_blob and not self.given_up


@dataclass(slots=True)
class Fetch:
    """The fetching of one blob. Times are seconds on the host's monotonic clock."""

    blob: BlobId
    peers: Iterable[PeerId]
    """Who may have it, the most promising first."""

    manifest: Manifest | None = None
    _sources: dict[PeerId, _Source] = field(init=False)
    _wanted: deque[int] = field(default_factory=deque)
    _arrived: set[int] = field(default_factory=set)
    _waiting: dict[Ask, float] = field(default_factory=dict)
    """Questions without an answer, and since when; those that are late are in `_late` instead."""

    _late: set[Ask] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._sources = {peer: _Source() for peer in self.peers}

    @property
    def is_done(self) -> bool:
        """Whether every chunk has arrived."""
        return self.manifest is not None and len(self._arrived) == self.manifest.chunk_count

    @property
    def is_hopeless(self) -> bool:
        """Whether nobody is left to ask."""
        return not self.is_done and all(source.given_up for source in self._sources.values())

    def wakes_at(self, now: float) -> float:
        """When the next resting peer may be asked again, or the next question is late."""
        rests = [source.rests_until for source in self._sources.values() if not source.given_up]
        late = [since + LATE_S for since in self._waiting.values()]
        return min((time for time in rests + late if time > now), default=float("inf"))

    def ask(self, now: float) -> list[Ask]:
        """Questions to put now."""
        for late in [waiting for waiting, since in self._waiting.items() if now >= since + LATE_S]:
            del self._waiting[late]
            self._late.add(late)
            self._put_back(late)
        asks: list[Ask] = []
        while len(self._waiting) < IN_FLIGHT_MAX and (ask := self._next(now)) is not None:
            self._sources[ask.peer].in_flight += 1
            self._waiting[ask] = now
            asks.append(ask)
        return asks

    def failed(self, ask: Ask, now: float) -> None:
        """No answer came, or none of use."""
        source = self._settle(ask)
        source.fail(now, REST_S)
        source.given_up = source.given_up or source.failures >= FAILURES_MAX
        self._put_back(ask)

    def answered(self, ask: Ask, data: bytes, now: float) -> Proved | Verdict:
        """Judge an answer."""
        try:
            answer = self._judge(ask, data)
        except CodecError:
            answer = Verdict.LIE
        if answer is Absence.BUSY:
            self.failed(ask, now)
            return Verdict.NOTHING
        source = self._settle(ask)
        if isinstance(answer, Proved):
            source.failures = 0
            self._arrived.add(answer.index)
            if answer.index in self._wanted:
                self._wanted.remove(answer.index)
            return answer
        if isinstance(answer, Manifest):
            source.has_blob, source.failures = True, 0
            self._learn(answer)
            return Verdict.MANIFEST
        source.given_up = True
        self._put_back(ask)
        return Verdict.LIE if answer is Verdict.LIE else Verdict.NOTHING

    def _settle(self, ask: Ask) -> _Source:
        """Wait for this answer no longer."""
        self._waiting.pop(ask, None)
        self._late.discard(ask)
        source = self._sources[ask.peer]
        source.in_flight -= 1
        return source

    def _judge(self, ask: Ask, data: bytes) -> Proved | Manifest | Absence | Verdict:
        """What an answer says, LIE if it contradicts the blob's id. Raises CodecError."""
        if ask.chunk is None:
            manifest = MANIFEST_ANSWER.decode(data)
            truth = isinstance(manifest, Absence) or blob_id(manifest) == self.blob
            return manifest if truth else Verdict.LIE
        assert self.manifest is not None
        chunk = CHUNK_ANSWER.decode(data)
        if isinstance(chunk, Absence):
            return chunk
        proved = verify_chunk(self.manifest, ask.chunk, chunk)
        return Proved(ask.chunk, chunk.data) if proved else Verdict.LIE

    def _learn(self, manifest: Manifest) -> None:
        if self.manifest is None:
            self.manifest = manifest
            self._wanted.extend(range(manifest.chunk_count))

    def _put_back(self, ask: Ask) -> None:
        chunk = ask.chunk
        is_asked = any(other.chunk == chunk for other in self._waiting)
        if chunk is not None and not is_asked and chunk not in self._arrived and chunk not in self._wanted:
            self._wanted.appendleft(chunk)

    def _next(self, now: float) -> Ask | None:
        """A chunk from the least busy peer that has the blob, else a question to one that might."""
        if self.manifest is not None and not self._wanted:
            return None
        sources = self._sources.items()
        takers = [(each.failures, each.in_flight, peer) for peer, each in sources if each.can_take(now)]
        for chunk in self._wanted:
            free = [taker for taker in takers if Ask(taker[2], chunk) not in self._late]
            if free:
                self._wanted.remove(chunk)
                return Ask(min(free)[2], chunk)
        return next((Ask(peer, None) for peer, source in sources if source.is_unknown(now)), None)


class Throttle:
    """A budget of bytes that refills at a steady rate."""

    def __init__(self, bytes_per_s: int, burst_bytes: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_bytes / bytes_per_s
        self._paid_until = 0.0
        """When everything that was granted will have been paid for."""

    def wait_s(self, size_bytes: int, now: float, wait_max_s: float) -> float | None:
        """How long to wait before sending `size_bytes`; None, and nothing granted, beyond `wait_max_s`."""
        wait_s = max(0.0, self._paid_until - self._burst_s - now)
        if wait_s > wait_max_s:
            return None
        self._paid_until = max(self._paid_until, now) + size_bytes / self._bytes_per_s
        return wait_s
