"""The state after a finalized block of a stopped node, proved from the genesis block on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chainspec.genesis import GenesisBlock
from node.db.blocks import BlockReader, decoded
from node.db.errors import DatabaseCorrupt, DatabaseError, OtherChain, UnknownState
from node.db.schema import CHANGES, HEAD, HEAD_KEY, Head, Table, number_key, row_key, row_value
from node.db.store import Store, Transaction
from node.db.upgrades import ensure_schema
from primitives.block import Header, block_hash
from primitives.finality import BadProof, advance, trust_genesis, verify_finality
from primitives.state_root import state_root
from primitives.types import BlockNumber, EpochIndex

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """A finalized block, and the state after it."""

    header: Header
    entries: dict[bytes, bytes]


def read_standing(path: Path, genesis: GenesisBlock, at: BlockNumber | None, note: Note) -> Standing:
    """The block at `at` (None: the newest) in the database at `path`, of the chain of `genesis`.

    `note` hears what is being done. Raises DatabaseError.
    """
    if not path.exists():
        raise DatabaseError(f"there is no chain in {path}; give the --base-path of a node that has run")
    store = Store(path)
    try:
        if not ensure_schema(store):
            raise DatabaseError(f"there is no chain in {path}; give the --base-path of a node that has run")
        return _read(store, genesis, at, note)
    finally:
        store.close()


def _read(store: Store, genesis: GenesisBlock, at: BlockNumber | None, note: Note) -> Standing:
    blocks = BlockReader(store)
    ours = blocks.hash_at(BlockNumber(0))
    if ours != block_hash(genesis.header):
        raise OtherChain(f"{store.path} holds another chain; give the --chain that its node was started with")
    with store.read() as snapshot:
        head = decoded(HEAD, snapshot.get(Table.META, HEAD_KEY) or b"")
    height = head.height if at is None else at
    header = blocks.header(height)
    if header is None:
        raise UnknownState(f"{store.path} has no block {height}; its newest is {head.height}")
    note(f"checking that block {height} is final")
    _ensure_final(blocks, genesis, header)
    note(f"reading the state after block {height}")
    with store.read() as snapshot:
        entries = _entries(snapshot, head, height)
    note(f"hashing {len(entries)} entries")
    if state_root(entries.items()) != header.state_root:
        raise DatabaseCorrupt(
            f"the state in {store.path} does not have the root of block {height}: try another node's"
        )
    return Standing(header, entries)


def _ensure_final(blocks: BlockReader, genesis: GenesisBlock, header: Header) -> None:
    """From the genesis block through every committee. Raises DatabaseCorrupt."""
    if header.height == 0:
        return
    try:
        trusted = trust_genesis(genesis.header, genesis.committee)
        while trusted.committee.last_height < header.height:
            handed_over = blocks.epoch_proof(EpochIndex(trusted.committee.epoch))
            if handed_over is None:
                raise DatabaseCorrupt(
                    f"the end of epoch {trusted.committee.epoch} is missing; try another node"
                )
            trusted = advance(trusted, handed_over)
        proof = blocks.finality_proof(header.height)
        if proof is None or verify_finality(trusted, proof) != header:
            raise DatabaseCorrupt(
                f"nothing proves block {header.height} final; try another --at or another node"
            )
    except BadProof as error:
        raise DatabaseCorrupt(
            f"block {header.height} is not proved final ({error}); try another node"
        ) from None


def _entries(snapshot: Transaction, head: Head, height: BlockNumber) -> dict[bytes, bytes]:
    """The state at the head, with the blocks after `height` undone. Raises UnknownState."""
    entries = {row_key(row): row_value(row) for _, row in snapshot.rows_from(Table.STATE, b"")}
    for undone in range(head.height, height, -1):
        row = snapshot.get(Table.UNDO, number_key(undone))
        if row is None:
            raise UnknownState(f"the state after block {height} is not kept any more; leave out --at")
        for key, value in decoded(CHANGES, row):
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
    return entries
