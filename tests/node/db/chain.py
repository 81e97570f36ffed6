"""Blocks for databases: right in everything that a database looks at, and in nothing else."""

from collections.abc import Mapping
from pathlib import Path

from frame.state import Changes
from node.db.database import Database, Settings
from node.db.schema import Finalized, Genesis
from primitives.block import GENESIS_PARENT, Block, Body, Header, block_hash
from primitives.certificate import Certificate
from primitives.committee import Committee, Member
from primitives.extrinsic import Call, Extrinsic, Mortality
from primitives.outcome import BlockOutcome, EventRecord, Outcome
from primitives.state_root import state_root
from primitives.types import (
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    Nonce,
    PublicKey,
    Signature,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)
from primitives.vote import VoteKind

EPOCH_BLOCKS = 4
ENTRIES = {b"one": b"1", b"two": b"", b"three": b"333"}


def committee(epoch: int) -> Committee:
    first = (epoch - 1) * EPOCH_BLOCKS + 1
    return Committee(
        EpochIndex(epoch),
        BlockNumber(first),
        BlockNumber(first + EPOCH_BLOCKS - 1),
        SpecVersion(1),
        (Member(PublicKey(b"\x07" * 32), Stake(1)),),
    )


def changes_of(entries: Mapping[bytes, bytes | None]) -> Changes:
    return tuple(sorted(entries.items()))


def header(height: int, parent: BlockHash, root: Hash, view: int | None = None) -> Header:
    return Header(
        EpochIndex((height + EPOCH_BLOCKS - 1) // EPOCH_BLOCKS),
        View(height if view is None else view),
        BlockNumber(height),
        parent,
        root,
        Hash(bytes(32)),
        Hash(bytes(32)),
        TimestampMs(height),
        PublicKey(bytes(32)),
        None,
    )


def genesis(entries: Mapping[bytes, bytes] | None = None) -> Genesis:
    held = ENTRIES if entries is None else entries
    block = Block(header(0, GENESIS_PARENT, state_root(held.items())), Body((), ()))
    return Genesis(block, lambda: changes_of(held), committee(1))


def extrinsic(nonce: int) -> Extrinsic:
    call = Call(1, 2, b"\x90")
    who = AccountId(bytes(32))
    return Extrinsic(who, Nonce(nonce), Mortality(8, BlockNumber(0)), Balance(0), call, Signature(bytes(64)))


def certificate(block: Block, view: int | None = None) -> Certificate:
    at = block.header.view if view is None else View(view)
    subject = block_hash(block.header)
    return Certificate(VoteKind.FINALIZE, block.header.epoch, at, subject, b"\x01", (Signature(bytes(64)),))


def outcome(block: Block) -> BlockOutcome:
    calls = tuple(Outcome(None, ()) for _ in block.body.extrinsics)
    return BlockOutcome(calls, (EventRecord("System", "Seen", block.header.height.to_bytes(8, "big")),))


def lay(
    database: Database,
    entries: Mapping[bytes, bytes | None],
    parent: Block | None = None,
    extrinsics: tuple[Extrinsic, ...] = (),
    view: int | None = None,
) -> Block:
    """A new block with these changes on `parent`, by default the finalized block, and remembered."""
    head = database.finalized()
    on = head.block if parent is None else block_hash(parent.header)
    height = 1 + (head.height if parent is None else parent.header.height)
    changes = changes_of(entries)
    root = database.root_after(on, changes)
    block = Block(header(height, on, root, view), Body((), extrinsics))
    assert database.lay(block_hash(block.header), on, changes) == root
    return block


def finalized(block: Block) -> Finalized:
    ends = block.header.height % EPOCH_BLOCKS == 0
    return Finalized(block, outcome(block), committee(block.header.epoch + 1) if ends else None)


def commit(database: Database, *run: Block) -> None:
    database.commit([finalized(block) for block in run], certificate(run[-1]))


def extend(database: Database, entries: Mapping[bytes, bytes | None]) -> Block:
    """One more finalized block."""
    block = lay(database, entries)
    commit(database, block)
    return block


def entries_of(database: Database, at: BlockHash | None = None) -> dict[bytes, bytes]:
    with database.view(at) as state:
        return dict(state.iterate(b""))


def opened(path: Path, settings: Settings | None = None) -> Database:
    return Database(path, genesis(), settings)
