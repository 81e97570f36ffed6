"""The chain of one node: finalized blocks on disk, unfinalized ones on top of them, and the tree over both.

Every method is a whole piece of work for a worker thread; a thread that holds a view may call none of them.
What a commit acknowledges is on the disk. The tables rule: the tree in memory can always be made from them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Final, NamedTuple

from frame.state import Changes
from node.db import checkpoint, flush, holds
from node.db.blocks import BlockReader, decoded
from node.db.errors import DatabaseCorrupt, DatabaseError, OtherChain, UnknownState
from node.db.holds import HoldReader
from node.db.leaves import bucket_reader, leaf_change, leaves
from node.db.overlay import Change, OverlaidState, Overlay, committed_value, placed
from node.db.prove import prove
from node.db.schema import (
    CHANGES,
    HEAD,
    HEAD_KEY,
    HOLD_LEVELS,
    SCHEMA_KEY,
    SCHEMA_ROW,
    Finalized,
    Genesis,
    Head,
    Table,
    journal_item,
    journal_name,
    journal_row,
    number_key,
)
from node.db.store import MAP_BYTES_MIN, Store, Transaction
from node.db.tree import Layer, StateTree, levels_for
from node.db.upgrades import ensure_schema
from primitives.block import BLOCK, Block, block_hash
from primitives.certificate import Certificate
from primitives.outcome import BlockOutcome
from primitives.state_proof import StateProof, state_path
from primitives.types import BlockHash, BlockNumber, Hash

PROVABLE_HEIGHTS: Final = 32
"""How many blocks may be undone to prove something before them."""

PROVABLE_CHANGES_MAX: Final = 1 << 15
"""Most changes among them; half a second of work, and 50 MB of memory, if they are asked for."""

CHECKPOINT_BLOCKS: Final = 128
"""A start replays at most so many undo rows into the tree, unless they are no longer kept."""

CHECKPOINT_FILE: Final = "tree.checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may decide."""

    undo_blocks: int | None = 256
    """Number of blocks that can be undone, at least 32; None keeps all (archive)."""

    map_bytes: int = MAP_BYTES_MIN
    """First size of the memory map, in bytes."""


Undone = tuple[Layer, Mapping[bytes, bytes | None]]
"""What undoing a block does to the tree, and to the entries."""


class Proved(NamedTuple):
    """What a key has after some block, None if nothing, and the proof of either."""

    key: bytes
    value: bytes | None
    proof: StateProof


class Database:
    """See the module. Safe to use from several threads."""

    def __init__(self, path: Path, genesis: Genesis | None = None, settings: Settings | None = None) -> None:
        """Open the chain in the directory `path`, and begin it with `genesis` if the directory is empty.

        Raises the DatabaseError that says why it cannot be used. Without `genesis`, any chain will do.
        """
        self._settings = settings or Settings()
        assert self._settings.undo_blocks is None or self._settings.undo_blocks >= PROVABLE_HEIGHTS
        self._lock = RLock()
        self._overlays: dict[BlockHash, Overlay] = {}
        self._draft: Overlay | None = None
        self._undone: dict[int, Undone] = {}
        self._checkpoint = path / CHECKPOINT_FILE
        self._checkpoint_height = -1
        self._store = Store(path, self._settings.map_bytes)
        self.blocks: Final = BlockReader(self._store)
        self.holds: Final = HoldReader(self._store)
        try:
            self._head = self._find_head(genesis)
            self.genesis_hash: Final = self._ensure_genesis(genesis)
            self._tree = self._load_tree()
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        """Leave a checkpoint and release the directory; nothing else may be under way."""
        with self._exclusive():
            self._save_checkpoint(self._tree)
            self._store.close()

    def finalized(self) -> Head:
        """The newest finalized block."""
        return self._head

    @contextmanager
    def view(self, at: BlockHash | None = None) -> Iterator[OverlaidState]:
        """The state after the block `at`: the finalized one (None) or one that was laid on top of it.

        Raises UnknownState for another. End it soon, and before any other use of the database by this thread.
        """
        with ExitStack() as stack:
            with self._exclusive():
                overlays = self._overlays_down_from(self._head.block if at is None else at)
                snapshot = stack.enter_context(self._store.read())
            yield OverlaidState(snapshot, overlays)

    def root_after(self, parent: BlockHash, changes: Changes) -> Hash:
        """The state root of a block on `parent` that makes `changes`. Raises UnknownState."""
        with self._exclusive():
            return self._overlay_on(parent, changes).layer.root

    def lay(self, block: BlockHash, parent: BlockHash, changes: Changes) -> Hash:
        """Remember what the unfinalized `block` changes on top of `parent`; returns its state root.

        Raises UnknownState if `parent` is neither the finalized block nor remembered.
        """
        with self._exclusive():
            if block not in self._overlays:
                self._overlays[block] = self._overlay_on(parent, changes)
            return self._overlays[block].layer.root

    def forget(self, block: BlockHash) -> None:
        """Drop an unfinalized block and everything on top of it."""
        with self._exclusive():
            self._overlays.pop(block, None)
            self._drop_orphans()

    def commit(self, run: Sequence[Finalized], *certificates: Certificate) -> Head:
        """Make the blocks of `run`, which were laid, final in one transaction.

        Each of `certificates`, in the order of the blocks, is of one of them. Nothing is changed if this
        raises DatabaseFull.
        """
        with self._exclusive():
            hashes = [block_hash(finalized.block.header) for finalized in run]
            overlays = [self._overlays[block] for block in hashes]
            self._ensure_continues(run, overlays, hashes)
            self._head = self._store.write(
                lambda transaction: self._flush(transaction, run, overlays, certificates)
            )
            for block in hashes:
                del self._overlays[block]
            self._drop_orphans()
            for height in [each for each in self._undone if each + PROVABLE_HEIGHTS <= self._head.height]:
                del self._undone[height]
            self._merge([overlay.layer for overlay in overlays])
            if self._head.height - self._checkpoint_height >= CHECKPOINT_BLOCKS:
                self._save_checkpoint(self._tree)
            return self._head

    def prove(self, keys: Sequence[bytes], height: BlockNumber | None = None) -> list[Proved]:
        """What `keys` have after the finalized block at `height` (the newest if None), each with its proof.

        Raises UnknownState if that is not among the newest heights, or too much has changed since.
        """
        with self._exclusive(), self._store.read() as snapshot:
            past = self._past(snapshot, self._head.height if height is None else height)
            layers = [layer for layer, _ in past]
            read = bucket_reader(snapshot)
            return [
                Proved(
                    key, _past_value(snapshot, past, key), prove(self._tree, layers, state_path(key), read)
                )
                for key in keys
            ]

    def journal_put(self, item: Block | Certificate) -> None:
        """Keep something that is not final until its view, or a later one, is; on the disk upon return."""
        key, row = journal_row(item)
        self._store.write(lambda transaction: transaction.put(Table.JOURNAL, key, row))

    def journal(self) -> list[Block | Certificate]:
        """What is kept, in the order of views. Raises DatabaseCorrupt."""
        with self._store.read() as snapshot:
            try:
                return [journal_item(key, row) for key, row in snapshot.rows_from(Table.JOURNAL, b"")]
            except ValueError as error:
                raise DatabaseCorrupt(f"the journal in {self._store.path} is damaged ({error})") from error

    def journal_block(self, block: BlockHash) -> Block | None:
        """A block that is not final, if it is kept."""
        name = journal_name(block)
        with self._store.read() as snapshot:
            cursor = snapshot.cursor(Table.JOURNAL)
            found = cursor.first()
            while found and not cursor.key().endswith(name):
                found = cursor.next()
            return decoded(BLOCK, cursor.value()) if found else None

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Merging, laying and proving exclude each other. A view held here could wait for itself."""
        assert not self._store.is_reading
        with self._lock:
            yield

    def _find_head(self, genesis: Genesis | None) -> Head:
        if not ensure_schema(self._store):
            if genesis is None:
                raise DatabaseError(f"there is no chain in {self._store.path}; start a node there first")
            first = placed(genesis.changes())
            return self._store.write(lambda transaction: _begin(transaction, genesis, first))
        with self._store.read() as snapshot:
            row = snapshot.get(Table.META, HEAD_KEY)
        if row is None:
            raise DatabaseCorrupt(f"{self._store.path} does not say which block is its newest; sync again")
        return decoded(HEAD, row)

    def _ensure_genesis(self, genesis: Genesis | None) -> BlockHash:
        ours = self.blocks.hash_at(BlockNumber(0))
        if ours is None:
            raise DatabaseCorrupt(f"the genesis block is missing in {self._store.path}; sync again")
        if genesis is not None and block_hash(genesis.block.header) != ours:
            raise OtherChain(
                f"{self._store.path} holds the chain with genesis 0x{ours.hex()}, not this one; "
                "choose another directory"
            )
        return ours

    def _load_tree(self) -> StateTree:
        """The tree at the head: from the checkpoint and the undo rows since, else from the whole table."""
        with self._store.read() as snapshot:
            saved = checkpoint.load(self._checkpoint)
            if saved is not None and self._catch_up(snapshot, saved):
                self._checkpoint_height = saved.height
                return saved.tree
            levels = levels_for(snapshot.size(Table.STATE))
            tree = StateTree.of(leaves(snapshot), levels)
        if tree.root != self._head.root:
            raise DatabaseCorrupt(
                f"the state in {self._store.path} does not have the root of block {self._head.height}; "
                "restore it or sync again"
            )
        self._save_checkpoint(tree)
        return tree

    def _catch_up(self, snapshot: Transaction, saved: checkpoint.Checkpoint) -> bool:
        """Whether the tree of `saved` could be brought to the head."""
        if saved.height > self._head.height or saved.tree.is_crowded(snapshot.size(Table.STATE)):
            return False
        buckets: set[int] = set()
        for height in range(saved.height + 1, self._head.height + 1):
            row = snapshot.get(Table.UNDO, number_key(height))
            if row is None:
                return False
            changes = decoded(CHANGES, row)
            buckets.update(saved.tree.bucket_of(state_path(key)) for key, _ in changes)
        saved.tree.reread(buckets, bucket_reader(snapshot))
        return saved.tree.root == self._head.root

    def _overlay_on(self, parent: BlockHash, changes: Changes) -> Overlay:
        """Who builds a block asks for its root, then lays it: the second time costs nothing."""
        below = [overlay.layer for overlay in self._overlays_down_from(parent)]
        if self._draft is None or (self._draft.parent, self._draft.changes) != (parent, changes):
            rows = placed(changes)
            with self._store.read() as snapshot:
                layer = self._tree.lay(below, map(leaf_change, rows), bucket_reader(snapshot))
            self._draft = Overlay(parent, changes, rows, dict(changes), layer)
        return self._draft

    def _overlays_down_from(self, block: BlockHash) -> list[Overlay]:
        """The overlays from `block` down to the finalized block, newest first."""
        found: list[Overlay] = []
        while block != self._head.block:
            if block not in self._overlays:
                raise UnknownState(f"the state of block 0x{block.hex()} is not kept")
            found.append(self._overlays[block])
            block = found[-1].parent
        return found

    def _drop_orphans(self) -> None:
        """Parents are laid before their children, so one pass finds every orphan."""
        alive = {self._head.block}
        for block, overlay in list(self._overlays.items()):
            if overlay.parent in alive:
                alive.add(block)
            else:
                del self._overlays[block]

    def _ensure_continues(
        self, run: Sequence[Finalized], overlays: Sequence[Overlay], hashes: Sequence[BlockHash]
    ) -> None:
        parents = [self._head.block, *hashes]
        for index, (finalized, overlay) in enumerate(zip(run, overlays, strict=True)):
            header = finalized.block.header
            assert header.height == self._head.height + 1 + index
            assert header.parent == overlay.parent == parents[index]
            assert header.state_root == overlay.layer.root

    def _flush(
        self,
        transaction: Transaction,
        run: Sequence[Finalized],
        overlays: Sequence[Overlay],
        certificates: Sequence[Certificate],
    ) -> Head:
        head, left = self._head, deque(certificates)
        layers: list[Layer] = []
        for finalized, overlay in zip(run, overlays, strict=True):
            head = flush.write_block(transaction, finalized, overlay.placed)
            if left and left[0].block == head.block:
                flush.write_certificate(transaction, head.height, left.popleft())
            layers.insert(0, overlay.layer)
            following = finalized.next_committee
            if following is not None and holds.is_due(head.height, following):
                holds.begin(transaction, head.height, self._tree.across(HOLD_LEVELS, layers))
        assert not left
        last = certificates[-1] if certificates else run[-1].block.header
        flush.clear_journal(transaction, last.epoch, last.view)
        if self._settings.undo_blocks is not None:
            flush.prune_undo(transaction, head.height + 1 - self._settings.undo_blocks)
        holds.release(transaction, head.height, sum(len(overlay.placed) for overlay in overlays))
        return head

    def _merge(self, layers: Iterable[Layer]) -> None:
        try:
            for layer in layers:
                self._tree.merge(layer)
        except MemoryError:
            self._rebuild()
        with self._store.read() as snapshot:
            entries = snapshot.size(Table.STATE)
        if self._tree.is_crowded(entries):
            self._rebuild()

    def _rebuild(self) -> None:
        """Make the tree again from the disk, and every layer again on top of it."""
        self._tree, self._draft = self._load_tree(), None
        self._undone.clear()
        overlays, self._overlays = self._overlays, {}
        for block, overlay in overlays.items():
            self.lay(block, overlay.parent, overlay.changes)

    def _past(self, snapshot: Transaction, height: BlockNumber) -> list[Undone]:
        """What shows the state at `height`: the blocks since, undone, the oldest first.

        Undone only when somebody asks, and then remembered while it is recent.
        """
        heights = range(self._head.height, height, -1)
        if height > self._head.height or len(heights) > PROVABLE_HEIGHTS:
            raise UnknownState(f"no proof can be made at height {height}; ask for a newer finalized one")
        past: list[Undone] = []
        changed = 0
        for undone in heights:
            if undone not in self._undone:
                row = snapshot.get(Table.UNDO, number_key(undone))
                if row is None:
                    raise UnknownState(f"no proof can be made at height {height}: this node joined later")
                changes = decoded(CHANGES, row)
                leaves = map(leaf_change, placed(changes))
                layer = self._tree.lay([layer for layer, _ in past], leaves, bucket_reader(snapshot))
                self._undone[undone] = layer, dict(changes)
            past.insert(0, self._undone[undone])
            changed += len(past[0][1])
            if changed > PROVABLE_CHANGES_MAX:
                raise UnknownState(f"too much has changed since height {height}; ask for a newer one")
        return past

    def _save_checkpoint(self, tree: StateTree) -> None:
        """A checkpoint only saves time, so that a full disk does not matter here."""
        if self._checkpoint_height != self._head.height:
            with suppress(OSError):
                checkpoint.save(self._checkpoint, checkpoint.Checkpoint(self._head.height, tree))
                self._checkpoint_height = self._head.height


def _begin(transaction: Transaction, genesis: Genesis, first: Sequence[Change]) -> Head:
    finalized = Finalized(genesis.block, BlockOutcome((), ()), genesis.committee)
    transaction.put(Table.META, SCHEMA_KEY, SCHEMA_ROW)
    return flush.write_block(transaction, finalized, first)


def _past_value(snapshot: Transaction, past: Iterable[Undone], key: bytes) -> bytes | None:
    """What `key` had before the blocks of `past`, the oldest first."""
    for _, replaced in past:
        if key in replaced:
            return replaced[key]
    return committed_value(snapshot, key)
