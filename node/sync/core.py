"""What to ask of whom next, and what to import, for a node that is behind.

One question is open at a time, and one import: while the blocks of one answer are executed, the next answer
is on its way. Each run comes from one peer, so that it is known whose fault a false one is. Heights that
peers claim are hints; only a verified certificate moves the chain.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never

from node.network.identity import PeerId
from node.sync.messages import ANSWER_BLOCKS_MAX, ANSWER_BYTES, Answer, Run
from primitives.block import BLOCK, Block
from primitives.certificate import CERTIFICATE, Certificate
from primitives.types import BlockNumber

ANSWERS_AHEAD_MAX: Final = 2
"""Answers that wait for their import: one in work and one to go on with."""

RUN_ANSWERS_MAX: Final = 8
"""Answers over which one run may stretch: 64 MiB of blocks that wait for one certificate."""

PATIENCE_S: Final = 5.0
"""A small gap that consensus has not closed by then is closed by sync."""

REST_S: Final = 2.0
"""How long a peer is left alone after its first failure; twice as long after each further one."""

REST_DOUBLINGS_MAX: Final = 6
LIAR_REST_S: Final = 600.0
"""As long as a ban: who lied is asked again only when the network has forgiven it."""

PAUSE_S: Final = 5.0
"""How long to wait when this machine could not import a block."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Who is connected, the most trusted first, and how far each says it has come."""

    heights: tuple[tuple[PeerId, BlockNumber], ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """A peer has news of a finalized block."""

    peer: PeerId
    height: BlockNumber


@dataclass(frozen=True, slots=True)
class Advanced:
    """The chain has come to a height, by consensus or by an import."""

    height: BlockNumber


@dataclass(frozen=True, slots=True)
class Answered:
    """The open question was answered, and the answer is sound in itself."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Failed:
    """The open question got no answer, or a false one."""

    lied: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """The import is done, and the chain is at `height`."""

    height: BlockNumber


@dataclass(frozen=True, slots=True)
class Refused:
    """The import failed, by the peer's fault or by ours."""

    lied: bool


Observed = Peers | Announced | Advanced | Answered | Failed | Imported | Refused


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a peer for blocks from `first`."""

    peer: PeerId
    first: BlockNumber


@dataclass(frozen=True, slots=True)
class Import:
    """Import a run, which came from `peer`."""

    peer: PeerId
    blocks: tuple[Block, ...]
    certificate: Certificate


Action = Ask | Import


@dataclass(slots=True)
class _Peer:
    height: BlockNumber
    failures: int = 0
    rests_until: float = 0.0


@dataclass(slots=True)
class _Cut:
    """The beginning of a run that did not fit one answer."""

    peer: PeerId
    blocks: tuple[Block, ...]
    answers: int = 1


@dataclass(slots=True)
class SyncCore:
    """The state of catching up. Times are seconds on the host's monotonic clock."""

    height: BlockNumber
    """Of our last finalized block."""

    patience_blocks: int
    """A gap up to this is left to consensus for PATIENCE_S; 0 for a node that does not take part in it."""

    _peers: dict[PeerId, _Peer] = field(default_factory=dict)
    _open: Ask | None = None
    _ahead: deque[tuple[PeerId, deque[Run]]] = field(default_factory=deque)
    _cut: _Cut | None = None
    _importing: Import | None = None
    _behind_since: float | None = None
    _paused_until: float = 0.0
    _now: float = 0.0

    @property
    def target(self) -> BlockNumber:
        """The highest block that a peer in good standing says it has, or our own."""
        claims = (peer.height for peer in self._peers.values() if self._now >= peer.rests_until)
        return max(self.height, max(claims, default=self.height))

    @property
    def is_syncing(self) -> bool:
        """Whether the gap is too large to be that of a node that follows the chain."""
        return self.target > self.height + self.patience_blocks + 1

    def handle(self, observed: Observed, now: float) -> list[Action]:
        """The actions that one input calls for."""
        self._now = now
        match observed:
            case Peers(heights):
                self._meet(heights)
            case Announced(peer, height):
                if peer in self._peers:
                    self._peers[peer].height = max(self._peers[peer].height, height)
            case Advanced(height):
                self._advance(height)
            case Answered(answer):
                self._take(answer)
            case Failed(lied):
                self._fail(lied)
            case Imported(height):
                self._importing = None
                self._advance(height)
            case Refused(lied):
                self._refuse(lied)
            case _:
                assert_never(observed)
        return self._next()

    def _meet(self, heights: Sequence[tuple[PeerId, BlockNumber]]) -> None:
        known = self._peers
        self._peers = {}
        for peer, height in heights:
            self._peers[peer] = known.get(peer) or _Peer(height)
            self._peers[peer].height = height

    def _advance(self, height: BlockNumber) -> None:
        if height > self.height:
            self.height = height
            self._behind_since = None

    def _take(self, answer: Answer) -> None:
        """Queue the runs of an answer; note a peer that gives nothing."""
        assert self._open is not None
        peer, self._open = self._open.peer, None
        if not answer.runs:
            self._rest(peer)
            return
        if peer in self._peers:
            self._peers[peer].failures = 0
            self._peers[peer].height = max(self._peers[peer].height, answer.finalized)
        runs = deque(answer.runs)
        if self._cut is not None:
            runs[0] = Run(self._cut.blocks + runs[0].blocks, runs[0].certificate)
        answers = self._cut.answers + 1 if self._cut is not None else 1
        self._cut = None
        if runs[-1].certificate is None:
            cut = runs.pop()
            self._cut = _Cut(peer, cut.blocks, 1 if runs else answers)
            if self._cut.answers > RUN_ANSWERS_MAX:
                self._cut = None
                self._rest(peer)
        if runs:
            self._ahead.append((peer, runs))

    def _fail(self, lied: bool) -> None:
        assert self._open is not None
        peer, self._open = self._open.peer, None
        self._cut = None
        self._rest(peer, lied=lied)

    def _refuse(self, lied: bool) -> None:
        """Start again from our own height: what was to follow no longer continues the chain."""
        assert self._importing is not None
        peer, self._importing = self._importing.peer, None
        self._cut = None
        if lied:
            self._rest(peer, lied=True)
        else:
            self._paused_until = self._now + PAUSE_S

    def _rest(self, peer_id: PeerId, *, lied: bool = False) -> None:
        peer = self._peers.get(peer_id)
        if peer is not None:
            pause_s = LIAR_REST_S if lied else REST_S * (1 << min(peer.failures, REST_DOUBLINGS_MAX))
            peer.failures += 1
            peer.rests_until = self._now + pause_s

    def _next(self) -> list[Action]:
        """Keep one import and one question going."""
        actions: list[Action] = []
        if self._importing is None and (run := self._next_run()) is not None:
            self._importing = run
            actions.append(run)
        if self._open is None and (ask := self._next_ask()) is not None:
            self._open = ask
            actions.append(ask)
        return actions

    def _next_run(self) -> Import | None:
        """The next run that brings anything new, without the blocks that we already have."""
        while self._ahead:
            peer, runs = self._ahead[0]
            run = runs.popleft()
            if not runs:
                self._ahead.popleft()
            new = tuple(block for block in run.blocks if block.header.height > self.height)
            if new and new[0].header.height == self.height + 1:
                assert run.certificate is not None
                return Import(peer, new, run.certificate)
        return None

    def _next_ask(self) -> Ask | None:
        """The next question, if there is room for its answer and somebody to ask."""
        if self._now < self._paused_until or len(self._ahead) >= ANSWERS_AHEAD_MAX or not self._is_wanted():
            return None
        if self._cut is not None:
            if self._can_give(self._cut.peer, self._first()):
                return Ask(self._cut.peer, self._first())
            self._cut = None
        first = self._first()
        able = [peer for peer in self._peers if self._can_give(peer, first)]
        return Ask(min(able, key=lambda peer: self._peers[peer].failures), first) if able else None

    def _is_wanted(self) -> bool:
        """Whether the gap is ours to close: too large for consensus, or open for too long."""
        if self._importing is not None or self._ahead or self._cut is not None:
            return True
        gap = self.target - self.height
        if not gap:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._now
        patient = self._behind_since is not None and self._now < self._behind_since + PATIENCE_S
        return gap > self.patience_blocks or (gap > 0 and not patient)

    def _first(self) -> BlockNumber:
        """The lowest block that is neither ours nor on its way."""
        last = self.height
        if self._importing is not None:
            last = max(last, self._importing.blocks[-1].header.height)
        if self._ahead:
            last = max(last, self._ahead[-1][1][-1].blocks[-1].header.height)
        if self._cut is not None:
            last = max(last, self._cut.blocks[-1].header.height)
        return BlockNumber(last + 1)

    def _can_give(self, peer_id: PeerId, first: BlockNumber) -> bool:
        peer = self._peers.get(peer_id)
        return peer is not None and peer.height >= first and self._now >= peer.rests_until


class BlockSource(Protocol):
    """Finalized blocks, as they are read from the database."""

    def block(self, at: BlockNumber, /) -> Block | None: ...

    def certificate(self, at: BlockNumber, /) -> Certificate | None: ...


def collect(source: BlockSource, first: BlockNumber, finalized: BlockNumber) -> Answer:
    """The answer to a request for blocks from `first`, by a node that has come to `finalized`.

    It holds whole runs as long as they fit, and of the first run at least a block.
    """
    runs: list[Run] = []
    blocks: list[Block] = []
    size_bytes = 0
    for height in range(first, min(finalized + 1, first + ANSWER_BLOCKS_MAX)):
        block = source.block(BlockNumber(height))
        if block is None:
            break
        certificate = source.certificate(BlockNumber(height))
        size_bytes += len(BLOCK.encode(block)) + (len(CERTIFICATE.encode(certificate)) if certificate else 0)
        if height > first and size_bytes > ANSWER_BYTES:
            break
        blocks.append(block)
        if certificate is not None:
            runs.append(Run(tuple(blocks), certificate))
            blocks = []
    if blocks and not runs:
        runs.append(Run(tuple(blocks), None))
    return Answer(finalized, tuple(runs))
