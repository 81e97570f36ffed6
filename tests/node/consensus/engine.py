"""One engine in a committee of four, and the words of the other three."""

from collections.abc import Sequence

from msgspec.structs import replace

from node.consensus.core import Core
from node.consensus.interface import (
    Action,
    Build,
    Heard,
    Memory,
    Peer,
    Persist,
    Position,
    Received,
    Report,
    Send,
    Started,
    TimedOut,
    Verdict,
    Verified,
    Verify,
    Woken,
)
from node.consensus.messages import Cast, Message, Propose
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate, certificate_of
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, PublicKey, TimestampMs, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, vote_message
from tests.node.consensus.fakes import make_chain
from tests.simulation.keys import make_keys

KEYS, VERIFY = make_keys(4, are_real=False)
CHAIN = make_chain([key.public_key for key in KEYS])
EPOCH = CHAIN.epoch(EpochIndex(1), CHAIN.genesis)
PEER = Peer(b"somebody")
NULLIFY, NOTARIZE, FINALIZE = VoteKind.NULLIFY, VoteKind.NOTARIZE, VoteKind.FINALIZE


class Engine:
    """A started core with a clock in the hand of the test."""

    def __init__(
        self,
        me: int,
        memory: Memory | None = None,
        *,
        silent: frozenset[PublicKey] = frozenset(),
        is_listening: bool = False,
    ) -> None:
        self.core = Core(
            Position(epoch=EPOCH, tip=CHAIN.genesis),
            memory or Memory(),
            key=KEYS[me],
            verifier=VERIFY,
            silent=silent,
            is_listening=is_listening,
        )
        self.now = TimestampMs(10_000)
        self.first = self.core.handle(Started(self.now))

    def hear(self, *messages: Message, peer: Peer = PEER) -> list[Action]:
        """What comes out after some messages."""
        return [
            action
            for message in messages
            for action in without_record(self.core.handle(Received(self.now, peer, message)))
        ]

    def expire(self) -> list[Action]:
        """What comes out when the timer runs out."""
        return self.core.handle(TimedOut(self.now, EPOCH.index, self.core.view))

    def wake(self) -> list[Action]:
        return self.core.handle(Woken(self.now, EPOCH.index, self.core.view))

    def verdict(self, block: Block, verdict: Verdict = Verdict.VALID) -> list[Action]:
        name = block_hash(block.header)
        return without_record(self.core.handle(Verified(self.now, EPOCH.index, name, verdict)))


def without_record(actions: Sequence[Action]) -> list[Action]:
    """What an engine wants besides that votes are written down."""
    return [action for action in actions if not isinstance(action, Heard)]


def not_leader(view: int = 1) -> int:
    """Somebody who does not lead in `view`."""
    return (EPOCH.leader(View(view)) + 1) % len(KEYS)


def vote(kind: VoteKind, view: int, block: bytes, signer: int) -> Vote:
    message = vote_message(EPOCH.anchor_hash, kind, EPOCH.index, View(view), block)
    signature = KEYS[signer].sign(message)
    return Vote(kind, EPOCH.index, View(view), block, AuthorityIndex(signer), signature)


def quorum(kind: VoteKind, view: int, block: bytes = NO_BLOCK, *, without: int) -> Certificate:
    """The certificate of everybody else: one that holds the own vote would be news to the journal."""
    return certificate_of(
        [vote(kind, view, block, signer) for signer in range(len(KEYS)) if signer != without]
    )


def chain_to_the_end() -> list[Block]:
    """All blocks of the epoch, one in each view."""
    blocks: list[Block] = []
    for view in range(1, EPOCH.committee.last_height + 1):
        parent = blocks[-1].header if blocks else CHAIN.genesis
        blocks.append(block_on(parent, view, timestamp_ms=9_000 + 500 * view))
    return blocks


def block_on(parent: Header, view: int, timestamp_ms: int = 9_000, salt: bytes = b"") -> Block:
    """A valid block of the leader of `view`."""
    author = KEYS[EPOCH.leader(View(view))].public_key
    request = Build(EPOCH.index, View(view), parent, TimestampMs(timestamp_ms), is_empty=True)
    return CHAIN.build(request, author, salt)


def propose(block: Block, *certs: Certificate, view: int | None = None) -> Propose:
    number = View(block.header.view if view is None else view)
    name = block_hash(block.header)
    return Propose(EPOCH.index, number, block, vote(NOTARIZE, number, name, EPOCH.leader(number)), certs)


def altered(block: Block, **fields: object) -> Block:
    """The block with other fields in its header."""
    return Block(replace(block.header, **fields), block.body)


def name_of(block: Block) -> BlockHash:
    return block_hash(block.header)


def votes_in(actions: Sequence[Action]) -> list[Vote]:
    """Votes that became durable."""
    return [a.item for a in actions if isinstance(a, Persist) and isinstance(a.item, Vote)]


def kinds_in(actions: Sequence[Action]) -> list[VoteKind]:
    return [vote.kind for vote in votes_in(actions)]


def verified_in(actions: Sequence[Action]) -> list[Block]:
    """Blocks that the engine wants executed."""
    return [action.block for action in actions if isinstance(action, Verify)]


def findings_in(actions: Sequence[Action]) -> list[object]:
    return [action.finding for action in actions if isinstance(action, Report)]


def sent_to(actions: Sequence[Action], peer: Peer | None) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send) and action.to == peer]


def sent_votes(actions: Sequence[Action]) -> list[Vote]:
    """Votes that were sent to everybody."""
    return [m.vote for m in sent_to(actions, None) if isinstance(m, Cast | Propose)]
