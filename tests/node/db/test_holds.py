"""Held states: what they were, whatever blocks change afterwards, and for as long as they are promised."""

import random
from pathlib import Path

import pytest

from node.db.database import Database
from node.db.errors import UnknownState
from node.db.holds import (
    HOLD_BLOCKS,
    HOLD_INTERVAL,
    HOLDS_KEPT,
    RELEASED_MAX,
    HeldPart,
    HoldReader,
    begin,
    is_due,
    release,
)
from node.db.schema import Table, number_key
from node.db.store import Store, Transaction
from primitives.committee import Committee
from primitives.state_proof import state_path
from primitives.state_range import WHOLE, StateRange, part_of, verify_range
from primitives.state_root import state_root
from primitives.types import BlockNumber
from tests.conformance.test_database import crowd
from tests.node.db.chain import committee, entries_of, extend, opened

PLENTY = (1 << 20, 1 << 16)
Entries = dict[bytes, bytes]


def grow(database: Database, blocks: int, chance: random.Random) -> None:
    """Blocks that add, change and remove entries."""
    keys = [b"key %d" % number for number in range(300)] + list(crowd())
    for _ in range(blocks):
        changes: dict[bytes, bytes | None] = {
            key: chance.choice([None, b"", chance.randbytes(4)]) for key in chance.sample(keys, 12)
        }
        extend(database, changes)


def fetch(database: Database, height: BlockNumber, root: bytes, size_max: tuple[int, int]) -> Entries:
    """A held state, part by part, each verified."""
    found: Entries = {}
    pending = [WHOLE]
    while pending:
        asked = pending.pop()
        part = database.holds.part(height, asked, size_max)
        assert part.entries is not None
        assert verify_range(root, part.range_, part_of(part.range_, part.entries), part.proof)
        assert part.range_.start == asked.start
        found.update(part.entries)
        pending += asked.beside_first_part(part.range_.depth)
    return found


def test_a_hold_is_the_state_of_its_block_while_blocks_go_on(tmp_path: Path) -> None:
    database, chance = opened(tmp_path), random.Random(1)
    assert database.holds.heights() == ()
    states: dict[int, Entries] = {}
    for _ in range(4):
        grow(database, HOLD_INTERVAL - database.finalized().height % HOLD_INTERVAL, chance)
        states[database.finalized().height] = entries_of(database)
        grow(database, 3, chance)
        extend(database, {b"later %d" % number: b"" for number in range(40)})
        assert list(database.holds.heights()) == list(states)
        for height, state in states.items():
            root = state_root(state.items())
            assert database.blocks.header(BlockNumber(height)).state_root == root  # type: ignore[union-attr]
            for size_max in (PLENTY, (200, 1 << 16), (1 << 20, 5)):
                assert fetch(database, BlockNumber(height), root, size_max) == state
    database.close()


def test_any_range_is_proved_wherever_it_begins_and_ends(tmp_path: Path) -> None:
    database, chance = opened(tmp_path), random.Random(2)
    grow(database, HOLD_INTERVAL, chance)
    state, height = entries_of(database), database.finalized().height
    root = state_root(state.items())
    grow(database, 6, chance)
    keys = [*crowd()[::8], *chance.sample(sorted(state), 25)]
    paths = [state_path(key) for key in keys] + [chance.randbytes(32) for _ in range(20)]
    for path in paths:
        for depth in (1, 5, 8, 11, 12, 13, 17, 30, 256):
            range_ = StateRange.around(path, depth)
            part = database.holds.part(height, range_, PLENTY)
            inside = {key: value for key, value in state.items() if range_.contains(state_path(key))}
            assert part.entries is not None
            assert dict(part.entries) == inside
            proved = part_of(range_, part.entries)
            assert verify_range(root, range_, proved, part.proof)
            again = database.holds.part(height, range_, PLENTY, known=proved.node)
            assert again == HeldPart(range_, None, part.proof, again.read_bytes)
            assert database.holds.part(height, range_, PLENTY, known=bytes([1]) * 32).entries == part.entries
    database.close()


def test_a_hold_ends_when_it_is_old_and_what_it_kept_is_removed(tmp_path: Path) -> None:
    database, chance = opened(tmp_path), random.Random(3)
    grow(database, HOLD_INTERVAL, chance)
    while database.finalized().height < HOLD_INTERVAL + HOLD_BLOCKS + HOLD_INTERVAL:
        assert BlockNumber(HOLD_INTERVAL) in database.holds.heights() or (
            database.finalized().height > HOLD_INTERVAL + HOLD_BLOCKS
        )
        grow(database, 1, chance)
    heights = database.holds.heights()
    assert heights == tuple(range(2 * HOLD_INTERVAL, database.finalized().height + 1, HOLD_INTERVAL))
    assert len(heights) > HOLDS_KEPT
    with pytest.raises(UnknownState, match="is not held"):
        database.holds.part(BlockNumber(HOLD_INTERVAL), WHOLE, PLENTY)
    with database._store.read() as snapshot:
        [first, *_] = (key for key, _ in snapshot.rows_from(Table.HELD, b""))
        assert int.from_bytes(first[:8], "big") == heights[0]
    database.close()


def test_a_large_commit_removes_more_than_it_adds(tmp_path: Path) -> None:
    """Or a node that replays a busy chain would keep a copy of nearly every change there ever was."""
    database, chance = opened(tmp_path), random.Random(6)
    grow(database, HOLD_INTERVAL, chance)
    left = number_key(1)

    def leave_behind(transaction: Transaction) -> None:
        rows = ((left + number.to_bytes(32, "big"), b"") for number in range(RELEASED_MAX + 100))
        transaction.cursor(Table.HELD).putmulti(rows)

    database._store.write(leave_behind)
    extend(database, {b"new %d" % number: b"1" for number in range(100)})
    with database._store.read() as snapshot:
        [first, *_] = (key for key, _ in snapshot.rows_from(Table.HELD, b""))
    assert not first.startswith(left)
    database.close()


def test_holds_outlast_the_process(tmp_path: Path) -> None:
    database, chance = opened(tmp_path), random.Random(4)
    grow(database, HOLD_INTERVAL, chance)
    state, height = entries_of(database), database.finalized().height
    grow(database, 2, chance)
    database.close()
    database = opened(tmp_path)
    grow(database, 2, chance)
    assert fetch(database, height, state_root(state.items()), PLENTY) == state
    database.close()


def test_the_newest_two_holds_stay_however_old_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    reader = HoldReader(store)
    heights = [1_000, 2_000, 3_000]
    for count, height in enumerate(heights, 1):

        def hold(transaction: Transaction, height: int = height) -> None:
            begin(transaction, height, b"")
            release(transaction, BlockNumber(height), 0)

        store.write(hold)
        assert list(reader.heights()) == heights[max(0, count - HOLDS_KEPT) : count]
    store.close()


@pytest.mark.parametrize(
    ("length", "ends"),
    [
        (1, [64, 128, 192]),
        (4, [64, 128, 192]),
        (20, [80, 140, 200]),
        (64, [64, 128, 192]),
        (100, [100, 200, 300]),
        (1000, [1000, 2000, 3000]),
    ],
)
def test_a_hold_begins_with_the_first_end_of_an_epoch_after_each_interval(
    length: int, ends: list[int]
) -> None:
    def following(end: int) -> Committee:
        members = committee(1).members
        return Committee(
            committee(1).epoch,
            BlockNumber(end + 1),
            BlockNumber(end + length),
            committee(1).spec_version,
            members,
        )

    every = range(length, ends[-1] + 1, length)
    assert [end for end in every if is_due(BlockNumber(end), following(end))] == ends
