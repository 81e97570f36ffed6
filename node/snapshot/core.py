"""What to ask of whom next, for a node that fetches a finalized state.

The committees come first, one from the other; then a state that peers hold and a committee has proved; then
its parts, several at once. Nothing that a peer claims counts before it is proved: a claim decides at most who
is asked. Every answer either makes progress that was verified or costs its peer a rest, so that one honest
peer is enough.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from node.network.identity import PeerId
from node.snapshot.messages import Offer
from node.standing import Standing
from primitives.state_range import WHOLE, Part, StateRange, complement
from primitives.types import BlockNumber, EpochIndex

OPEN_PER_PEER_MAX: Final = 2
"""One question is read and answered while the answer to the other is on its way."""

OPEN_MAX: Final = 8
"""Chunks that are on their way, verified or written: about 60 MB."""

OFFER_S: Final = 10.0
"""How long an offer is believed."""

PATIENCE_S: Final = 5.0
"""How long peers may take to show themselves, before it is believed that there is nothing to fetch."""

STALL_S: Final = 3.0
"""If no committee was proved for so long, a state that can be had is fetched, whatever else is claimed."""

ABANDON_S: Final = 15.0
"""A state that nobody has offered for so long is given up for a newer one."""

STUCK_S: Final = 90.0
"""So is one that is offered, and of which no good part came for so long: thrice what one may take."""

REST_S: Final = 1.0
"""How long a peer is left alone after its first failure."""

SPLIT_DEPTH_MAX: Final = 12
"""A range that was too large is a hint for the others, but no hint makes more than 4,096 questions."""

ENDS_MAX: Final = 1024
"""Proved ends of epochs that are remembered: more than anybody holds states of."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A range that was verified and stored, under the state root of a height."""

    range_: StateRange
    height: BlockNumber
    part: Part


@dataclass(frozen=True, slots=True)
class AskOffer:
    """Ask a peer what it has."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class AskEpochs:
    """Ask a peer for epoch proofs from `first`."""

    peer: PeerId
    first: EpochIndex


@dataclass(frozen=True, slots=True)
class AskChunk:
    """Ask a peer for a range of the state after the block at `height`."""

    peer: PeerId
    height: BlockNumber
    range_: StateRange
    known: Part | None
    """What this node has of it, from an older state."""


Ask = AskOffer | AskEpochs | AskChunk


@dataclass(frozen=True, slots=True)
class Finish:
    """There is nothing more to fetch: the state at `height` is complete, or None: peers have none yet."""

    height: BlockNumber | None


Action = Ask | Finish


@dataclass(frozen=True, slots=True)
class Peers:
    """Who is connected, the most trusted first. Comes several times a second."""

    peers: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """A peer has said what it has."""

    ask: AskOffer
    offer: Offer


@dataclass(frozen=True, slots=True)
class Proved:
    """Epoch proofs were verified and stored: up to that of the epoch before `epoch`."""

    ask: AskEpochs
    epoch: EpochIndex
    ends: tuple[BlockNumber, ...]
    """The last heights of the epochs that were proved."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk was verified and stored."""

    ask: AskChunk
    mark: Mark
    is_slim: bool
    """Whether it is a part of what was asked for that could have been larger: every such answer leaves more
    questions than it settles, so that whoever gives many is given fewer."""


@dataclass(frozen=True, slots=True)
class NotHeld:
    """The peer does not hold that state."""

    ask: AskChunk


@dataclass(frozen=True, slots=True)
class Failed:
    """A question got no answer, or a false one."""

    ask: Ask
    lied: bool


Observed = Peers | Offered | Proved | Stored | NotHeld | Failed


@dataclass(slots=True)
class _Peer(Standing):
    since: float
    offer: Offer | None = None
    offered_at: float = 0.0
    is_asked: bool = False
    """Whether a question for its offer is open."""

    open: int = 0
    """Other open questions."""


@dataclass(slots=True)
class JoinCore:
    """The state of fetching. Times are seconds on the host's monotonic clock."""

    first_held: BlockNumber
    """No chain of this genesis that is shorter has a state to offer."""

    epoch: EpochIndex
    """The first epoch without a proof."""

    ends: deque[BlockNumber]
    """The newest proved ends of epochs, ascending; at most ENDS_MAX."""

    marks: dict[StateRange, Mark]
    """What is stored, of whatever height."""

    target: BlockNumber | None = None
    _peers: dict[PeerId, _Peer] = field(default_factory=dict)
    _pending: list[StateRange] = field(default_factory=list)
    _open: set[AskChunk] = field(default_factory=set)
    _open_epochs: AskEpochs | None = None
    _split_depth: int | None = None
    _proved_at: float = 0.0
    _offered_at: float = 0.0
    """When somebody in good standing last offered the target."""

    _came_at: float = 0.0
    """When a part of the target last came that is not slim."""

    _given_up: int = 0
    """The last target that was given up; one above it is preferred."""

    _is_finished: bool = False
    _now: float = 0.0

    @property
    def progress(self) -> float:
        """The verified share of the state, from 0 to 1."""
        done = sum(mark.range_.size for mark in self.marks.values() if mark.height == self.target)
        return 0.0 if self.target is None else done / WHOLE.size

    @property
    def peers(self) -> int:
        """How many peers are connected."""
        return len(self._peers)

    @property
    def able(self) -> int:
        """How many of them offer the state that is being fetched, and gave no reason to avoid them."""
        return sum(self._offers(peer, self.target) for peer in self._able())

    @property
    def finalized(self) -> BlockNumber:
        """The highest block that a peer in good standing says is final."""
        offers = [peer.offer.finalized for peer in self._able() if peer.offer is not None]
        return max(offers, default=BlockNumber(0))

    def handle(self, observed: Observed, now: float) -> list[Action]:
        """The actions that one input calls for."""
        self._now = now
        match observed:
            case Peers(peers):
                self._peers = {each: self._peers.get(each) or _Peer(now) for each in peers}
            case Offered(ask, offer):
                self._take_offer(ask, offer)
            case Proved(ask, epoch, ends):
                self._advance(ask, epoch, ends)
            case Stored(ask, mark, is_slim):
                self._store(ask, mark, is_slim)
            case NotHeld(ask):
                self._reopen(ask)
                self._rest(ask.peer)
                if (peer := self._peers.get(ask.peer)) is not None:
                    peer.offer = None
            case Failed(ask, lied):
                self._fail(ask, lied)
            case _:
                assert_never(observed)
        return self._next()

    def is_welcome(self, ask: AskChunk) -> bool:
        """Whether even a slim answer to `ask` is stored: only if nobody in good standing may do better.

        A false one it is not, but a slice of a single path leaves 255 questions, and nobody could answer them
        as fast as they came.
        """
        others = (peer for name, peer in self._peers.items() if name != ask.peer)
        return not any(self._offers(peer, ask.height) and not peer.failures for peer in others)

    def _take_offer(self, ask: AskOffer, offer: Offer) -> None:
        peer = self._peers.get(ask.peer)
        if peer is not None:
            peer.is_asked = False
            peer.offer, peer.offered_at = offer, self._now

    def _advance(self, ask: AskEpochs, epoch: EpochIndex, ends: Sequence[BlockNumber]) -> None:
        self._open_epochs = None
        self._settle(ask)
        if not ends:
            self._rest(ask.peer)  # it claimed to have more
            return
        self._proved_at = self._now
        self.epoch = epoch
        self.ends.extend(ends)
        while len(self.ends) > ENDS_MAX:
            self.ends.popleft()

    def _store(self, ask: AskChunk, mark: Mark, is_slim: bool) -> None:
        self._open.discard(ask)
        self._settle(ask)
        if is_slim:
            self._rest(ask.peer)
        elif (peer := self._peers.get(ask.peer)) is not None:
            peer.failures = 0
            self._came_at = self._now
        self.marks.pop(ask.range_, None)
        self.marks[mark.range_] = mark
        depth = mark.range_.depth
        if depth > ask.range_.depth:
            hint = min(depth, SPLIT_DEPTH_MAX)
            self._split_depth = hint if self._split_depth is None else min(hint, self._split_depth)
        if ask.height == self.target:
            self._pending += reversed(ask.range_.beside_first_part(depth))

    def _fail(self, ask: Ask, lied: bool) -> None:
        if isinstance(ask, AskOffer):
            if (peer := self._peers.get(ask.peer)) is not None:
                peer.is_asked = False
        elif isinstance(ask, AskEpochs):
            self._open_epochs = None
            self._settle(ask)
        else:
            self._reopen(ask)
        self._rest(ask.peer, lied=lied)

    def _reopen(self, ask: AskChunk) -> None:
        """The range is to be asked for again."""
        self._open.discard(ask)
        self._settle(ask)
        if ask.height == self.target:
            self._pending.append(ask.range_)

    def _settle(self, ask: AskEpochs | AskChunk) -> None:
        if (peer := self._peers.get(ask.peer)) is not None:
            peer.open = max(0, peer.open - 1)

    def _rest(self, peer_id: PeerId, *, lied: bool = False) -> None:
        peer = self._peers.get(peer_id)
        if peer is not None:
            peer.fail(self._now, REST_S, lied=lied)

    def _next(self) -> list[Action]:
        if self._is_finished:
            return []
        self._choose_target()
        if self._is_done():
            self._is_finished = True
            return [Finish(self.target)]
        return [*self._ask_offers(), *self._ask_epochs(), *self._ask_chunks()]

    def _is_done(self) -> bool:
        if self.target is not None:
            return not self._pending and not self._open
        if self.ends and self.ends[-1] >= self.first_held:
            return False  # whatever peers say now: it is old enough
        known = [peer for peer in self._peers.values() if not peer.failures]
        offers = [peer.offer for peer in known if peer.offer is not None]
        is_patient = any(self._now - peer.since >= PATIENCE_S for peer in known)
        nothing = len(offers) == len(known) and not any(offer.heights for offer in offers)
        return is_patient and nothing and any(offer.finalized < self.first_held for offer in offers)

    def _choose_target(self) -> None:
        """Aim at a state that is proved and offered, and stay with it as long as it can be had."""
        offered = {height for peer in self._able() if peer.offer for height in peer.offer.heights}
        if self.target is not None:
            if self.target in offered or self._open:
                self._offered_at = self._now
            is_gone = self._now - self._offered_at > ABANDON_S
            if is_gone or (self._is_stuck and not self._open):
                self._given_up = self.target
                self.target, self._pending = None, []
                self._proved_at = self._now
            return
        candidates = offered.intersection(self.ends)
        candidates = {height for height in candidates if height > self._given_up} or candidates
        claims_more = self._open_epochs is not None or self._knows_more()
        if candidates and (not claims_more or self._now - self._proved_at > STALL_S):
            begun = candidates.intersection(mark.height for mark in self.marks.values())
            self._aim(max(begun or candidates))

    def _aim(self, target: BlockNumber) -> None:
        """Ask for what is not stored, and whether the rest is still right."""
        self.target, self._offered_at, self._came_at = target, self._now, self._now
        stale = [mark.range_ for mark in self.marks.values() if mark.height != target]
        pending = [*stale, *complement(self.marks)]
        self._pending = sorted(pending, key=lambda range_: range_.start, reverse=True)

    @property
    def _is_stuck(self) -> bool:
        return self._now - self._came_at > STUCK_S

    def _ask_offers(self) -> Iterable[Ask]:
        for peer_id, peer in self._peers.items():
            is_stale = peer.offer is None or self._now - peer.offered_at >= OFFER_S
            if is_stale and not peer.is_asked and peer.is_rested(self._now):
                peer.is_asked = True
                yield AskOffer(peer_id)

    def _ask_epochs(self) -> Iterable[Ask]:
        if self.target is not None or self._open_epochs is not None:
            return
        claims = self._knows_more()
        if claims:
            peer_id = min(claims, key=lambda each: self._peers[each].failures)
            self._peers[peer_id].open += 1
            self._open_epochs = AskEpochs(peer_id, self.epoch)
            yield self._open_epochs

    def _ask_chunks(self) -> Iterable[Ask]:
        """Spread the questions: each goes to the most reliable peer, and among such to whoever has fewest."""
        while self._pending and len(self._open) < OPEN_MAX and self.target is not None and not self._is_stuck:
            free = [
                (peer.failures, peer.open, order, peer_id)
                for order, (peer_id, peer) in enumerate(self._peers.items())
                if peer.is_rested(self._now)
                and self._offers(peer, self.target)
                and peer.open < OPEN_PER_PEER_MAX
            ]
            if not free:
                return
            peer_id = min(free)[-1]
            range_ = self._pop()
            mark = self.marks.get(range_)
            ask = AskChunk(peer_id, self.target, range_, None if mark is None else mark.part)
            self._open.add(ask)
            self._peers[peer_id].open += 1
            yield ask

    def _pop(self) -> StateRange:
        """The lowest range that waits, or its beginning if it is likely to be too large for one answer."""
        range_ = self._pending.pop()
        if self._split_depth is not None and range_.depth < self._split_depth and range_ not in self.marks:
            self._pending += reversed(range_.beside_first_part(self._split_depth))
            return range_.first_part(self._split_depth)
        return range_

    def _knows_more(self) -> list[PeerId]:
        """Who claims to have proofs of more epochs."""
        return [
            peer_id
            for peer_id, peer in self._peers.items()
            if peer.offer is not None and peer.is_rested(self._now) and peer.offer.epoch > self.epoch
        ]

    def _able(self) -> Iterable[_Peer]:
        return (peer for peer in self._peers.values() if peer.is_rested(self._now))

    @staticmethod
    def _offers(peer: _Peer, target: BlockNumber | None) -> bool:
        return peer.offer is not None and target in peer.offer.heights
