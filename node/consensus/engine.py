"""What the node needs of a consensus engine, and what an engine needs of the node.

`simplex` (`service`) and `instant` are interchangeable behind `ConsensusEngine`.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

import trio

from node.consensus.interface import Build, Finding, Peer, Position, Stop, Verdict
from node.consensus.journal import Signer
from primitives.block import Block
from primitives.certificate import Certificate
from primitives.committee import Committee
from primitives.types import BlockHash, BlockNumber, EpochIndex
from primitives.vote import Vote


class ConsensusEngine(Protocol):
    """Makes blocks final, one after the other."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled."""

    async def advance(self) -> None:
        """The finalized chain moved by other means, such as sync: go on from where the host stands now."""

    async def disagree(self, certificate: Certificate) -> None:
        """A block that `certificate` makes final, of which the engine may not know, is invalid on this node:
        stop voting, for good."""


class Signers(Protocol):
    """Whoever has the session keys of this node."""

    def acting(self, committee: Committee) -> Signer | None:
        """The key that votes in an epoch, if there is one."""

    def stop(self, stop: Stop, signer: Signer | None) -> None:
        """Let no key sign any more that the reason is one for; `signer` acted in its epoch. Blocks.

        Raises JournalError.
        """


class ConsensusHost(Protocol):
    """Chain, database and pool, as an engine sees them."""

    async def position(self) -> Position:
        """Where the node stands. If the tip is the last block of its epoch, that of the next epoch."""

    async def persist(self, block: Block) -> None:
        """Keep a block that is not final. It is durable when this returns."""

    async def build(self, request: Build) -> Block | None:
        """A block on top of `request.parent`, executed; None if that is not possible now."""

    async def verify(self, block: Block) -> Verdict:
        """Execute a block whose parent is executed, and compare everything in its header."""

    async def commit(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        """Make executed blocks final, lowest first, and the certificate with the last. All of it is durable
        when this returns. Heights that are final already are skipped: sync may have been faster."""

    async def ancestors(self, name: BlockHash, above: BlockNumber, count: int) -> Sequence[Block]:
        """The block and its ancestors higher than `above`, from the top down, at most `count`; those that are
        here, final or not."""

    async def last_certificate(self, epoch: EpochIndex) -> Certificate | None:
        """The certificate that made an epoch's last block final."""

    def report(self, finding: Finding) -> None:
        """Tell the operator and the peer scores. Does not wait."""

    def heard(self, vote: Vote) -> None:
        """Write a verified vote down soon. Does not wait."""

    def votes_heard(self, epoch: EpochIndex) -> Sequence[Vote]:
        """What was written down of an epoch, before the process started too; the last of it is enough."""


class Transport(Protocol):
    """Frames from and to other nodes. Nothing here waits for a peer; frames may be lost."""

    async def receive(self) -> tuple[Peer, bytes]:
        """The next frame."""

    def send(self, peer: Peer, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        """Send to one peer; urgent frames overtake the others.

        `replaces`: a frame that still waits with the same value gives up its place to this one.
        """

    def broadcast(self, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        """Send to everybody."""
