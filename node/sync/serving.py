"""What others are given: answers out of the database, as many bytes as a peer may have."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgspec

from node.network.identity import PeerId
from node.sync.messages import ANSWER_BLOCKS_MAX, ANSWER_BYTES, Request
from primitives.certificate import CERTIFICATE, Certificate
from primitives.codec import spell
from primitives.finality import FinalityProof
from primitives.types import BlockNumber

BYTES_PER_S: Final = 8 * 1024 * 1024
"""What one peer may have in the long run: ten times what it can execute in the same time."""

BURST_BYTES: Final = 64 * 1024 * 1024
"""What it may have at once."""

QUESTION_BYTES: Final = 64 * 1024
"""What a question counts at least: to look for nothing is work too."""

PEERS_MAX: Final = 1024
"""Peers whose use is remembered; the one that asked longest ago goes first."""


class Row(Protocol):
    """One block in its canonical bytes."""

    @property
    def header(self) -> bytes: ...

    @property
    def body(self) -> bytes: ...

    @property
    def certificate(self) -> bytes | None: ...


class BlockSource(Protocol):
    """Finalized blocks, as they are read from the database."""

    def rows(self, first: BlockNumber, last: BlockNumber, bytes_max: int, /) -> Sequence[Row]:
        """Blocks from `first` on that are here, at most so many bytes of them, but one."""
        ...

    def held_from(self, height: BlockNumber, /) -> BlockNumber | None:
        """The lowest block, not below `height`, that is here."""
        ...

    def certificate(self, at: BlockNumber, /) -> Certificate | None:
        """The certificate of the block itself, if it has one."""
        ...

    def finality_proof(self, at: BlockNumber, /) -> FinalityProof | None:
        """What proves a block that is here."""
        ...


class _Run(NamedTuple):
    """`messages.Run`, spelled the same, around rows that nobody needs to decode."""

    blocks: tuple[tuple[msgspec.Raw, msgspec.Raw], ...]
    beyond: tuple[object, ...]
    certificate: msgspec.Raw


def collect(source: BlockSource, request: Request, finalized: BlockNumber) -> bytes:
    """The encoded answer of a node that has come to `finalized`: whole runs as far as they fit, and then the
    beginning of one."""
    last = min(request.last, finalized, request.first + ANSWER_BLOCKS_MAX - 1)
    runs: list[_Run] = []
    blocks: list[tuple[msgspec.Raw, msgspec.Raw]] = []
    for row in source.rows(request.first, BlockNumber(last), ANSWER_BYTES):
        blocks.append((msgspec.Raw(row.header), msgspec.Raw(row.body)))
        if row.certificate is not None:
            runs.append(_Run(tuple(blocks), (), msgspec.Raw(row.certificate)))
            blocks = []
    if blocks:
        whole = sum(len(run.blocks) for run in runs)
        proof = source.finality_proof(BlockNumber(request.first + whole + len(blocks) - 1))
        if proof is not None:
            certificate = msgspec.Raw(CERTIFICATE.encode(proof.certificate))
            runs.append(_Run(tuple(blocks), proof.headers[1:], certificate))
    held_from = source.held_from(request.first)
    return spell((finalized, finalized + 1 if held_from is None else held_from, runs))


@dataclass(slots=True)
class _Account:
    balance: float = BURST_BYTES
    at: float = 0.0


@dataclass(slots=True)
class Budget:
    """A token bucket for each peer. Pure: time is an argument, in seconds."""

    _accounts: OrderedDict[PeerId, _Account] = field(default_factory=OrderedDict)

    def delay_s(self, peer: PeerId, now: float) -> float:
        """How long the peer has to wait for its next answer."""
        return max(0.0, -self._account(peer, now).balance / BYTES_PER_S)

    def charge(self, peer: PeerId, size_bytes: int, now: float) -> None:
        """The peer was given so much."""
        self._account(peer, now).balance -= max(size_bytes, QUESTION_BYTES)

    def _account(self, peer: PeerId, now: float) -> _Account:
        account = self._accounts.setdefault(peer, _Account(at=now))
        self._accounts.move_to_end(peer)
        if len(self._accounts) > PEERS_MAX:
            self._accounts.popitem(last=False)
        account.balance = min(BURST_BYTES, account.balance + (now - account.at) * BYTES_PER_S)
        account.at = now
        return account
