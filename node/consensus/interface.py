"""What goes into the consensus engine and what comes out of it.

The engine is a function of its inputs: each carries the host's clock, and the actions that come out are to be
performed in order. Nothing that follows a `Persist` may happen before it is durable.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import NewType, Protocol

from node.consensus.messages import AskBlock, Message
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate
from primitives.codec import Record
from primitives.committee import Committee
from primitives.types import (
    AuthorityIndex,
    BlockHash,
    EpochIndex,
    PublicKey,
    Signature,
    TimestampMs,
    View,
)
from primitives.vote import Evidence, MaybeBlockHash, Vote

Peer = NewType("Peer", bytes)
"""Who a message comes from or goes to: an authority's session key, or any other name that the host gives."""


class Key(Protocol):
    """What signs votes."""

    @property
    def public_key(self) -> PublicKey:
        """The session key."""

    def sign(self, message: bytes) -> Signature:
        """The signature of `message`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Pace of the chain, from the genesis state."""

    block_time_ms: int
    """Least time between the timestamps of a block and its parent."""

    delta_ms: int
    """How long a message takes at most when the network is well, and how far clocks may be apart."""

    @property
    def period_ms(self) -> int:
        """Time from one expiry of the view timer to the next."""
        return self.block_time_ms + 3 * self.delta_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What is fixed for one epoch."""

    committee: Committee
    anchor: Header
    """Header of the last block before the epoch."""

    leaders: tuple[AuthorityIndex, ...]
    settings: Settings

    @property
    def index(self) -> EpochIndex:
        """Number of the epoch."""
        return self.committee.epoch

    @property
    def anchor_hash(self) -> BlockHash:
        """What every vote of the epoch is bound to."""
        return block_hash(self.anchor)

    def leader(self, view: View) -> AuthorityIndex:
        """Who proposes in `view`, from 1."""
        return self.leaders[(view - 1) % len(self.leaders)]

    def peer(self, index: AuthorityIndex) -> Peer:
        """Address of a member."""
        return Peer(self.committee.members[index].key)

    def leader_peer(self, view: View) -> Peer:
        """Address of who proposes in `view`."""
        return self.peer(self.leader(view))

    def is_last(self, header: Header) -> bool:
        """Whether this is a header of the epoch's last block."""
        return header.height == self.committee.last_height


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a node has come: what its database knows when an engine starts."""

    epoch: Epoch
    tip: Header
    """The last committed block; the anchor at the start of the epoch."""

    committed: tuple[BlockHash, ...] = ()
    """Hashes of all committed blocks of the epoch."""

    final: Certificate | None = None
    """The finalization of the tip, unless the tip is the anchor."""

    blocks: tuple[Block, ...] = ()
    """Persisted blocks that are not committed."""


class StopReason(IntEnum):
    """Why a session key signs nothing more."""

    FORK = 0
    DISAGREEMENT = 1
    FOREIGN_VOTE = 2


class Stop(Record, frozen=True):
    """The end of a session key: it signs nothing more, whatever epoch it is and however often the process
    starts."""

    reason: StopReason
    epoch: EpochIndex
    view: View
    block: MaybeBlockHash
    """What the certificate or vote that was the reason is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the disk knows of the epoch besides the chain."""

    votes: tuple[Vote, ...] = ()
    """Every vote that this node's key cast."""

    certificates: tuple[Certificate, ...] = ()

    heard: tuple[Vote, ...] = ()
    """Votes of anybody that were verified before; some may be missing."""

    stop: Stop | None = None
    """Why the key must not sign."""


class Verdict(Enum):
    """What executing a block showed."""

    VALID = auto()
    INVALID = auto()
    """The block breaks a rule: nobody honest accepts it."""

    UNABLE = auto()
    """This node could not tell, for a reason of its own; it will try again."""


@dataclass(frozen=True, slots=True)
class Started:
    """The engine may begin; always the first input."""

    now_ms: TimestampMs


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded message of the engine's epoch arrived."""

    now_ms: TimestampMs
    peer: Peer
    message: Message


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The timer ran out."""

    now_ms: TimestampMs
    epoch: EpochIndex
    view: View


@dataclass(frozen=True, slots=True)
class Woken:
    """The moment that a `Wake` asked for has come."""

    now_ms: TimestampMs
    epoch: EpochIndex
    view: View


@dataclass(frozen=True, slots=True)
class Built:
    """The answer to `Build`: an executed block, or None if the host is unable to build now."""

    now_ms: TimestampMs
    epoch: EpochIndex
    view: View
    block: Block | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The answer to `Verify`."""

    now_ms: TimestampMs
    epoch: EpochIndex
    block: BlockHash
    verdict: Verdict


Input = Started | Received | TimedOut | Woken | Built | Verified


@dataclass(frozen=True, slots=True)
class Persist:
    """Make durable; everything that follows waits for it."""

    item: Vote | Certificate | Block | Stop


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer, or to everybody if `to` is None. May be lost."""

    to: Peer | None
    message: Message


@dataclass(frozen=True, slots=True)
class Serve:
    """Send a peer the blocks that it asked for, as far as the host has them, in a `Bundle`."""

    to: Peer
    ask: AskBlock


@dataclass(frozen=True, slots=True)
class ServeFinal:
    """Send a peer that is still in a past epoch the certificate that ended it."""

    to: Peer
    epoch: EpochIndex


@dataclass(frozen=True, slots=True)
class Timer:
    """Set the one timer of the engine, in place of the one before."""

    epoch: EpochIndex
    view: View
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Wake:
    """Wake the engine at a moment of the host's clock, in place of the last such request."""

    epoch: EpochIndex
    view: View
    at_ms: TimestampMs


@dataclass(frozen=True, slots=True)
class Build:
    """Build and execute a block on an executed parent; answered by `Built`."""

    epoch: EpochIndex
    view: View
    parent: Header
    timestamp_ms: TimestampMs
    is_empty: bool
    """Leave transactions out: finality is far behind."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Execute a block whose parent is executed; answered by `Verified`."""

    epoch: EpochIndex
    block: Block


@dataclass(frozen=True, slots=True)
class Commit:
    """Make blocks final, lowest first, and the certificate of the last with it. Ends the engine if that is
    the epoch's last block; then it is the last action that ever comes out of it, but for what a witness of
    misdeeds has to say."""

    epoch: EpochIndex
    blocks: tuple[Block, ...]
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Heard:
    """Write down a verified vote, so that a later one that contradicts it convicts its signer after a restart
    too. Nothing waits for it, and it may be lost."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """A peer sent what nobody honest sends."""

    peer: Peer
    reason: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Two finalizations that contradict each other: a third of the stake is Byzantine. Voting has stopped."""

    ours: Certificate | None
    theirs: Certificate


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A quorum certified a block that this node found invalid. Voting has stopped for good."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class ForeignVote:
    """A valid vote of this node's key that its journal lacks: the key is in use elsewhere. Voting has
    stopped."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Skew:
    """A proposal lies further in the future than clocks should be apart."""

    leader: AuthorityIndex
    ahead_ms: int


Finding = Evidence | Misbehaviour | Fork | Disagreement | ForeignVote | Skew


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the operator, and those who punish."""

    finding: Finding


Action = Persist | Send | Serve | ServeFinal | Timer | Wake | Build | Verify | Commit | Report | Heard


def is_testimony(action: Action) -> bool:
    """Whether an engine that is at its end still has to say this."""
    is_stop = isinstance(action, Persist) and isinstance(action.item, Stop)
    return is_stop or isinstance(action, Report | Heard)
