"""What hostile nodes send on each protocol: well-formed forgeries, real frames made worse, and noise."""

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from typing import Final

from chainspec.presets import DEVELOPMENT_NAMES, LOCAL
from cli.testnet_genesis import account_of_node
from node import consensus_transport
from node.attestation import messages as jobs
from node.blobs import messages as blobs
from node.blobs.messages import BlobId
from node.consensus.messages import MESSAGE, Ask, Cast
from node.discovery import messages as discovery
from node.evidence import service as evidence
from node.pool import messages as pool
from node.snapshot import messages as snapshot
from node.sync import messages as sync
from pallets.balances import Balances
from primitives.block import Header, block_hash
from primitives.certificate import Certificate
from primitives.extrinsic import EXTRINSIC, Call, Extrinsic, Mortality
from primitives.job_message import Abstain
from primitives.state_range import StateRange
from primitives.types import (
    AccountId,
    AuthorityIndex,
    Balance,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    Nonce,
    PublicKey,
    Signature,
    TimestampMs,
    View,
)
from primitives.vote import EVIDENCE, Vote, VoteKind, evidence_of
from runtime.pallets import PALLETS

NOISE_BYTES_MAX: Final = 512

AHEAD_EPOCH: Final = EpochIndex(1_000_000)
"""An epoch of which no chain can say yet who may vote in it."""

_BALANCES: Final = next(index for index, pallet in PALLETS.items() if pallet is Balances)

Forge = Callable[["Source"], bytes]


class Source:
    """Bytes and numbers at random, and what has to be right for a forgery to be looked at."""

    def __init__(self, seed: int, genesis: bytes, height: Callable[[], int]) -> None:
        """`height`: of the last final block, about which votes are still looked at."""
        self.random = random.Random(seed)
        self.genesis = genesis
        self.height = height

    def noise(self, count: int) -> bytes:
        return self.random.randbytes(count)

    @property
    def epoch(self) -> int:
        """That of the next block."""
        return self.height() // LOCAL.epoch_length + 1

    def vote(self, kind: VoteKind, epoch: int) -> Vote:
        """Of another validator, which did not sign it."""
        block = b"" if kind == VoteKind.NULLIFY else self.noise(32)
        signer, view = AuthorityIndex(self.random.randrange(3)), View(self.height() % LOCAL.epoch_length + 1)
        return Vote(kind, EpochIndex(epoch), view, block, signer, Signature(self.noise(64)))

    def evidence(self, epoch: int) -> bytes:
        first = self.vote(VoteKind.NOTARIZE, epoch)
        other = Vote(first.kind, first.epoch, first.view, self.noise(32), first.signer, first.signature)
        return EVIDENCE.encode(evidence_of(first, other))

    def header(self, height: int) -> Header:
        """Of a block that nobody made."""
        return Header(
            epoch=EpochIndex(self.epoch),
            view=View(1),
            height=BlockNumber(height),
            parent=BlockHash(self.noise(32)),
            state_root=Hash(self.noise(32)),
            body_root=Hash(self.noise(32)),
            events_root=Hash(self.noise(32)),
            timestamp_ms=TimestampMs(height),
            author=PublicKey(self.noise(32)),
            next_set=None,
        )


def _transaction(source: Source, signer: AccountId) -> bytes:
    declaration = next(each for each in Balances.calls.values() if each.name == "transfer")
    arguments = declaration.arguments.encode((signer, 1))
    call = Call(_BALANCES, declaration.index, arguments)
    mortality = Mortality(64, BlockNumber(max(1, source.height() - 2)))
    signature = Signature(source.noise(64))
    extrinsic = Extrinsic(signer, Nonce(0), mortality, Balance(0), call, signature)
    return next(pool.encode_batches([EXTRINSIC.encode(extrinsic)]))


def _announcement(source: Source, height: int) -> bytes:
    header, signatures = source.header(height), tuple(Signature(source.noise(64)) for _ in range(3))
    name = block_hash(header)
    certificate = Certificate(VoteKind.FINALIZE, header.epoch, header.view, name, b"\x07", signatures)
    return sync.ANNOUNCEMENT.encode(sync.Announcement(header, certificate))


def _record(source: Source) -> bytes:
    claims = discovery.AuthorityClaims(
        source.genesis, source.noise(32), "12D3KooW" + "A" * 44, ("/ip4/127.0.0.1/tcp/1",), 1
    )
    record = discovery.AuthorityRecord(claims, source.noise(64))
    return discovery.QUESTION.encode(discovery.Store(source.genesis, record))


def _abstention(source: Source) -> bytes:
    said = Abstain(Hash(source.noise(32)), PublicKey(source.noise(32)), False, Signature(source.noise(64)))
    return jobs.encode_told(jobs.ToldAbstain(said))


def _chunk_question(source: Source) -> bytes:
    range_ = StateRange(bytes(32), 0)
    return snapshot.QUESTION.encode(snapshot.ChunkQuestion(BlockNumber(source.height()), range_, None))


FORGED: Final[Mapping[str, Forge]] = {
    consensus_transport.PROTOCOL: lambda source: MESSAGE.encode(
        Cast(source.vote(VoteKind.NOTARIZE, source.epoch))
    ),
    pool.PROTOCOL: lambda source: _transaction(source, account_of_node(DEVELOPMENT_NAMES[0])),
    sync.PROTOCOL: lambda _: sync.REQUEST.encode(sync.Request(BlockNumber(5), BlockNumber(1))),
    sync.ANNOUNCE_PROTOCOL: lambda source: _announcement(source, source.height() + 3),
    evidence.PROTOCOL: lambda source: source.evidence(source.epoch),
    blobs.PROTOCOL: lambda source: blobs.REQUEST.encode(blobs.Request(BlobId(source.noise(32)), 65535)),
    discovery.PROTOCOL: _record,
    snapshot.PROTOCOL: _chunk_question,
    jobs.PROTOCOL: _abstention,
}
"""By protocol, what has the right form and a wrong signature, or asks for what there cannot be."""

HARMLESS: Final[Mapping[str, Forge]] = {
    consensus_transport.PROTOCOL: lambda source: MESSAGE.encode(Ask(EpochIndex(source.epoch), View(1))),
    pool.PROTOCOL: lambda source: _transaction(source, AccountId(source.noise(32))),
    sync.PROTOCOL: lambda _: sync.REQUEST.encode(sync.Request(BlockNumber(1), BlockNumber(512))),
    sync.ANNOUNCE_PROTOCOL: lambda source: _announcement(source, 1),
    evidence.PROTOCOL: lambda source: source.evidence(AHEAD_EPOCH),
    blobs.PROTOCOL: lambda source: blobs.REQUEST.encode(blobs.Request(BlobId(source.noise(32)), None)),
    discovery.PROTOCOL: lambda source: discovery.QUESTION.encode(
        discovery.FindNode(source.genesis, source.noise(32))
    ),
    snapshot.PROTOCOL: _chunk_question,
    jobs.PROTOCOL: _abstention,
}
"""By protocol, what an honest node might send, though not so often; old news costs nothing to refute."""


def garbage(protocol: str, source: Source, spoken: Mapping[str, bytes]) -> Iterator[bytes]:
    """Forgeries, real frames of this protocol with something wrong in them, and noise, for ever."""
    for kind in cycle(("forged", "worse", "noise")):
        if kind == "noise":
            yield source.noise(source.random.randrange(NOISE_BYTES_MAX))
        elif kind == "forged":
            yield FORGED[protocol](source)
        else:
            yield _worse(spoken.get(protocol) or FORGED[protocol](source), source)


def _worse(frame: bytes, source: Source) -> bytes:
    """A frame with a bit turned over, cut off, or with more behind it."""
    choice, place = source.random.randrange(3), source.random.randrange(len(frame))
    if choice == 0:
        return frame[:place] + bytes([frame[place] ^ 1 << source.random.randrange(8)]) + frame[place + 1 :]
    return frame[:place] if choice == 1 else frame + source.noise(place + 1)
