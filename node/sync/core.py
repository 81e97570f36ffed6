"""What to ask of whom next, what to prove, and what to import, for a node that is behind.

Several questions are open at a time, each to another peer, while what was answered is proved and the blocks
before it are executed. Each answer is proved by itself, so that it is known whose fault a false one is.
Heights that peers claim are hints; only a verified certificate moves the chain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from node.network.identity import PeerId
from node.standing import Standing
from node.sync.messages import ANSWER_BLOCKS_MAX, ANSWER_BYTES, ANSWER_BYTES_MAX, Answer, Run
from node.sync.window import Gap, Parcel, Proof, Window
from primitives.types import BlockNumber

QUESTIONS_MAX: Final = 4
"""Peers asked at the same time: more than are needed to fetch faster than to execute."""

AHEAD_BYTES_MAX: Final = 32 * 1024 * 1024
"""Answers held and on their way, encoded; some times as much memory. What is proved and still waits for the
end of its run may exceed it: the network made it final, however long."""

IMPORT_BLOCKS: Final = 512
"""About the blocks in one import: progress is known in between, a failure only at its end."""

SPAN_FIRST: Final = 64
"""Blocks in a first question, before it is known how long they are."""

PROOFS_MAX: Final = 2
"""Proofs under way: one in work and one to go on with."""

SLOW_S: Final = 2.0
"""When a peer holds up everything so long, another is asked for the same."""

PATIENCE_S: Final = 2.0
"""A small gap that consensus has not closed by then is closed by sync: two of its own repetitions."""

REST_S: Final = 2.0
"""How long a peer is left alone after its first failure."""

DOUBTFUL_FAILURES: Final = 2
"""After so many in a row, what a peer claims to have counts no more."""

MOVING_S: Final = 30.0
"""A chain that had a new block within so long is not behind claims that nobody can show anything of."""

PAUSE_S: Final = 5.0
"""How long to wait when this machine could not prove or import a block."""

SETTLE_S: Final = 2.0
"""How often consensus is told where the chain stands while sync moves it; that is some work for it."""


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
    """The chain has come to a height, by consensus or in the midst of an import."""

    height: BlockNumber


@dataclass(frozen=True, slots=True)
class Answered:
    """A question was answered, and the answer is sound in itself."""

    peer: PeerId
    answer: Answer
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A question got no answer, or a false one."""

    peer: PeerId
    lied: bool


@dataclass(frozen=True, slots=True)
class Proved:
    """The runs of a peer that begin at `first` are final."""

    peer: PeerId
    first: BlockNumber


@dataclass(frozen=True, slots=True)
class Unproved:
    """They are not, by the peer's fault, or it could not be told, by ours."""

    peer: PeerId
    first: BlockNumber
    lied: bool


@dataclass(frozen=True, slots=True)
class Premature:
    """Whether they are final can be told once block `until` is."""

    peer: PeerId
    first: BlockNumber
    until: BlockNumber


@dataclass(frozen=True, slots=True)
class Imported:
    """The import is done, and the chain is at `height`."""

    height: BlockNumber


@dataclass(frozen=True, slots=True)
class Refused:
    """The import failed, since this machine is unable now, or for ever: it disagrees with the network."""

    for_ever: bool


Observed = (
    Peers | Announced | Advanced | Answered | Failed | Proved | Unproved | Premature | Imported | Refused
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a peer for the blocks from `first` to `last`."""

    peer: PeerId
    first: BlockNumber
    last: BlockNumber


@dataclass(frozen=True, slots=True)
class Prove:
    """Find out whether runs are final, which came from `peer`."""

    peer: PeerId
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """Import runs that are final; the last is whole."""

    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Let consensus go on from where the chain stands."""


Action = Ask | Prove | Import | Settle


@dataclass(slots=True)
class _Peer(Standing):
    height: BlockNumber
    lowest: int = 0
    """It said that it holds no block below."""

    pace_s: float = 0.0
    """For each block of its last answer."""


@dataclass(slots=True)
class SyncCore:
    """The state of catching up. Times are seconds on the host's monotonic clock."""

    height: BlockNumber
    """Of our last finalized block."""

    patience_blocks: int
    """A gap up to this is left to consensus for PATIENCE_S; 0 for a node that does not take part in it."""

    has_stopped: bool = False
    """This node cannot follow the network: what is final there is invalid here."""

    _peers: dict[PeerId, _Peer] = field(default_factory=dict)
    _window: Window = field(init=False)
    _open: dict[PeerId, Ask] = field(default_factory=dict)
    _importing: bool = False
    _span: int = SPAN_FIRST
    _advanced_at: float | None = None
    _behind_since: float | None = None
    _paused_until: float = 0.0
    _unsettled_since: float | None = None
    _now: float = 0.0

    def __post_init__(self) -> None:
        """Nothing is on its way."""
        self._window = Window(self.height)

    @property
    def target(self) -> BlockNumber:
        """The highest block that a peer in good standing says it has, or our own.

        While the chain moves, only those count that hold its next block: a claim that costs nothing made
        nodes that have every block think that they have not, and tell nobody of the newest.
        """
        claims = (peer.height for peer in self._peers.values() if self._is_believed(peer))
        return max(self.height, max(claims, default=self.height))

    @property
    def is_syncing(self) -> bool:
        """Whether the gap is too large to be that of a node that follows the chain."""
        return self.target > self.height + self.patience_blocks + 1

    @property
    def is_starved(self) -> bool:
        """Whether peers are ahead, and none of them holds the next block any more."""
        ahead = [peer for peer in self._peers.values() if peer.height > self.height]
        return bool(ahead) and not self._is_moving and all(peer.lowest > self.height + 1 for peer in ahead)

    @property
    def _is_moving(self) -> bool:
        return self._advanced_at is not None and self._now < self._advanced_at + MOVING_S

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
            case Answered() | Failed():
                self._close(observed)
            case Proved() | Unproved() | Premature():
                self._judge(observed)
            case Imported() | Refused():
                self._end_import(observed)
            case _:
                assert_never(observed)
        return [] if self.has_stopped else self._next()

    # Inputs

    def _meet(self, heights: Sequence[tuple[PeerId, BlockNumber]]) -> None:
        known = self._peers
        self._peers = {}
        for peer, height in heights:
            self._peers[peer] = known.get(peer) or _Peer(height)
            self._peers[peer].height = height

    def _advance(self, height: BlockNumber) -> None:
        if height > self.height:
            self.height = height
            self._advanced_at = self._now
            self._behind_since = None
            self._window.advance(height)

    def _close(self, observed: Answered | Failed) -> None:
        """A question is closed."""
        ask = self._open.pop(observed.peer)
        gap = next((gap for gap in self._window.gaps() if observed.peer in gap.asked), None)
        since = self._now if gap is None else gap.asked.pop(observed.peer)
        if isinstance(observed, Failed):
            self._rest(observed.peer, lied=observed.lied)
            return
        peer = self._peers.get(observed.peer) or _Peer(observed.answer.finalized)
        peer.height = max(peer.height, observed.answer.finalized)
        if not observed.answer.runs:
            peer.lowest = observed.answer.holds_from
            return
        peer.failures = 0
        last = observed.answer.runs[-1].last
        blocks = last - ask.first + 1
        self._learn(blocks, observed.size_bytes)
        if gap is None or not ask.first <= gap.first <= last:
            return
        peer.pace_s = (self._now - since) / blocks
        for slower, asked_at in gap.asked.items():
            if slower in self._peers:
                self._peers[slower].pace_s = self._now - asked_at
        self._window.fill(gap, observed.peer, observed.answer.runs, observed.size_bytes)

    def _learn(self, blocks: int, size_bytes: int) -> None:
        """Choose how many blocks to ask for, so that an answer brings them all; twice as many at most."""
        fitting = max(1, ANSWER_BYTES * blocks // max(1, size_bytes))
        self._span = min(fitting, 2 * self._span, ANSWER_BLOCKS_MAX)

    def _judge(self, observed: Proved | Unproved | Premature) -> None:
        """Note what is known of a parcel, if it is still wanted. Of a liar only what is proved is kept."""
        theirs = [parcel for parcel in self._window.parcels() if parcel.peer == observed.peer]
        if isinstance(observed, Unproved) and observed.lied:
            self._rest(observed.peer, lied=True)
            for parcel in theirs:
                if parcel.proof is not Proof.DONE:
                    self._window.reject(parcel)
            return
        for parcel in theirs:
            if parcel.first == observed.first and parcel.proof is Proof.UNDER_WAY:
                self._mark(parcel, observed)

    def _mark(self, parcel: Parcel, observed: Proved | Unproved | Premature) -> None:
        match observed:
            case Proved():
                parcel.proof = Proof.DONE
            case Premature(until=until):
                parcel.proof, parcel.not_before = Proof.NONE, until
            case Unproved():
                parcel.proof = Proof.NONE
                self._paused_until = self._now + PAUSE_S
            case _:
                assert_never(observed)

    def _end_import(self, observed: Imported | Refused) -> None:
        self._importing = False
        match observed:
            case Imported(height):
                self._advance(height)
                self._unsettled_since = self._unsettled_since or self._now
            case Refused(for_ever):
                self.has_stopped = for_ever
                self._paused_until = self._now + PAUSE_S
            case _:
                assert_never(observed)

    def _rest(self, peer_id: PeerId, *, lied: bool = False) -> None:
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.fail(self._now, REST_S, lied=lied)

    # Actions

    def _next(self) -> list[Action]:
        """Keep an import, some proofs and some questions going."""
        actions: list[Action] = []
        if self._now >= self._paused_until:
            actions += self._next_import()
            actions += self._next_proofs()
            if self._is_wanted():
                self._window.cut(self.target)
                actions += self._next_asks()
        is_due = not (self._importing or self._window) or self._is_overdue(self._unsettled_since, SETTLE_S)
        if self._unsettled_since is not None and is_due:
            self._unsettled_since = None
            actions.append(Settle())
        return actions

    def _next_import(self) -> Iterator[Import]:
        """What is proved without a hole, up to a certified block."""
        if self._importing:
            return
        runs: list[Run] = []
        end = blocks = 0
        for parcel in self._window.proved():
            if blocks >= IMPORT_BLOCKS and end:
                break
            runs += parcel.runs
            blocks += parcel.last - parcel.first + 1
            end = len(runs) if parcel.is_whole else end
        if end:
            self._importing = True
            yield Import(tuple(runs[:end]))

    def _next_proofs(self) -> Iterator[Prove]:
        parcels = list(self._window.parcels())
        under_way = sum(parcel.proof is Proof.UNDER_WAY for parcel in parcels)
        for parcel in parcels:
            if under_way >= PROOFS_MAX or parcel.not_before > self.height:
                return  # what is higher is of the same epoch, or a later one
            if parcel.proof is Proof.NONE:
                parcel.proof = Proof.UNDER_WAY
                under_way += 1
                yield Prove(parcel.peer, parcel.runs)

    def _is_wanted(self) -> bool:
        """Whether the gap is ours to close: too large for consensus, or open for too long."""
        if self._importing or self._window:
            return True
        gap = self.target - self.height
        if not gap:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._now
        return gap > self.patience_blocks or (gap > 0 and self._is_overdue(self._behind_since, PATIENCE_S))

    def _is_overdue(self, since: float | None, delay_s: float) -> bool:
        return since is not None and self._now >= since + delay_s

    def _next_asks(self) -> Iterator[Ask]:
        while len(self._open) < QUESTIONS_MAX:
            found = self._next_gap()
            if found is None:
                return
            gap, peer = found
            last = min(gap.first + self._span - 1, self._peers[peer].height, gap.last)
            if not gap.asked:
                self._window.split(gap, BlockNumber(last))
            gap.asked[peer] = self._now
            self._open[peer] = Ask(peer, gap.first, BlockNumber(last))
            yield self._open[peer]

    def _next_gap(self) -> tuple[Gap, PeerId] | None:
        """The lowest gap to ask somebody about, if there is room for the answer, and whom."""
        has_room = self._window.held_bytes + (len(self._open) + 1) * ANSWER_BYTES_MAX <= AHEAD_BYTES_MAX
        lowest = self._window.lowest_gap()
        if lowest is not None and lowest.asked:
            is_held_up = len(lowest.asked) == 1 and self._is_overdue(min(lowest.asked.values()), SLOW_S)
            if is_held_up and (peer := self._peer_for(lowest)) is not None:
                return lowest, peer
        for gap in self._window.gaps():
            if (has_room or gap is lowest) and not gap.asked and (peer := self._peer_for(gap)) is not None:
                return gap, peer
        if (not has_room and self._window) or self._window.end >= self.target:
            return None
        gap = Gap(BlockNumber(self._window.end + 1), self.target)
        peer = self._peer_for(gap)
        return None if peer is None else (self._window.extend(gap), peer)

    def _peer_for(self, gap: Gap) -> PeerId | None:
        """Whom to ask: of those who are free and hold it, the most reliable, then the fastest."""
        able = [
            name for name, peer in self._peers.items() if name not in self._open and self._can_give(peer, gap)
        ]
        return min(
            able, key=lambda name: (self._peers[name].failures, self._peers[name].pace_s), default=None
        )

    def _can_give(self, peer: _Peer, gap: Gap) -> bool:
        return peer.lowest <= gap.first <= peer.height and peer.is_rested(self._now)

    def _is_believed(self, peer: _Peer) -> bool:
        if self._is_moving and peer.lowest > self.height + 1:
            return False
        return peer.is_rested(self._now) and peer.failures < DOUBTFUL_FAILURES
