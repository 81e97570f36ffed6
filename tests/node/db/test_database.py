import threading
from pathlib import Path

import pytest

from node.db.database import Database, Settings
from node.db.errors import UnknownState
from node.db.schema import Genesis, Table, number_of
from node.db.store import Store
from primitives.block import block_hash
from primitives.state_proof import verify_state_proof
from primitives.state_root import state_root
from primitives.types import BlockHash, BlockNumber
from tests.node.db.chain import ENTRIES, commit, entries_of, extend, finalized, genesis, lay, opened

UNKNOWN = BlockHash(b"\x09" * 32)


def test_a_new_directory_begins_with_the_genesis_state(database: Database) -> None:
    head = database.finalized()
    assert (head.height, head.root) == (0, state_root(ENTRIES.items()))
    assert head.block == database.genesis_hash == block_hash(genesis().block.header)
    assert entries_of(database) == ENTRIES


def test_a_genesis_state_leaves_out_what_it_removes(tmp_path: Path) -> None:
    whole = genesis()
    changes = (*whole.changes(), (b"zero", None))
    database = Database(tmp_path, Genesis(whole.block, lambda: changes, whole.committee))
    assert entries_of(database) == ENTRIES
    database.close()


def test_a_view_reads_values_empty_values_and_absences(database: Database) -> None:
    with database.view() as state:
        assert [state.get(key) for key in (b"one", b"two", b"four")] == [b"1", b"", None]


def test_an_unfinalized_block_is_seen_through_its_own_view_only(database: Database) -> None:
    block = lay(database, {b"one": None, b"four": b"4"})
    after = {b"two": b"", b"three": b"333", b"four": b"4"}
    assert entries_of(database, block_hash(block.header)) == after
    assert entries_of(database) == ENTRIES
    assert block.header.state_root == state_root(after.items())


def test_a_view_iterates_a_prefix_in_order_through_several_overlays(database: Database) -> None:
    first = lay(database, {b"t1": b"a", b"t2": b"b", b"two": None})
    second = lay(database, {b"t1": None, b"t3": b"c", b"two": b"again", b"u": b"beyond"}, first)
    with database.view(block_hash(second.header)) as state:
        found = list(state.iterate(b"t"))
    assert found == [(b"t2", b"b"), (b"t3", b"c"), (b"three", b"333"), (b"two", b"again")]


def test_rivals_on_one_parent_do_not_see_each_other(database: Database) -> None:
    left, right = lay(database, {b"one": b"left"}), lay(database, {b"two": b"right"})
    assert entries_of(database, block_hash(left.header)) == ENTRIES | {b"one": b"left"}
    assert entries_of(database, block_hash(right.header)) == ENTRIES | {b"two": b"right"}


def test_a_root_can_be_asked_for_without_being_remembered(database: Database) -> None:
    root = database.root_after(database.finalized().block, ((b"four", b"4"),))
    assert root == state_root((ENTRIES | {b"four": b"4"}).items())
    assert entries_of(database) == ENTRIES


def test_laying_a_block_twice_is_laying_it_once(database: Database) -> None:
    parent = database.finalized().block
    assert database.lay(UNKNOWN, parent, ((b"a", b"1"),)) == database.lay(UNKNOWN, parent, ((b"a", b"1"),))


def test_a_root_that_was_asked_for_is_laid_only_while_its_parent_is_known(database: Database) -> None:
    parent, changes = database.finalized().block, ((b"four", b"4"),)
    database.root_after(parent, changes)
    extend(database, {b"one": b"2"})
    with pytest.raises(UnknownState):
        database.lay(UNKNOWN, parent, changes)


def test_a_block_without_changes_keeps_the_root(database: Database) -> None:
    before = database.finalized().root
    extend(database, {})
    assert database.finalized().root == before


def test_unknown_parents_are_refused(database: Database) -> None:
    for attempt in (
        lambda: database.lay(BlockHash(bytes(32)), UNKNOWN, ()),
        lambda: database.root_after(UNKNOWN, ()),
        lambda: entries_of(database, UNKNOWN),
    ):
        with pytest.raises(UnknownState):
            attempt()
    assert entries_of(database) == ENTRIES


def test_a_commit_makes_a_block_the_finalized_one(database: Database) -> None:
    block = extend(database, {b"one": b"2"})
    head = database.finalized()
    assert (head.height, head.block, head.root) == (1, block_hash(block.header), block.header.state_root)
    assert entries_of(database) == ENTRIES | {b"one": b"2"}


def test_a_run_of_blocks_is_committed_in_order(database: Database) -> None:
    first = lay(database, {b"one": b"first"})
    second = lay(database, {b"one": b"second", b"two": None}, first)
    commit(database, first, second)
    assert database.finalized().height == 2
    assert entries_of(database) == {b"one": b"second", b"three": b"333"}


def test_a_commit_drops_rivals_and_keeps_descendants(database: Database) -> None:
    chosen, rival = lay(database, {b"one": b"chosen"}), lay(database, {b"one": b"rival"})
    above, above_rival = lay(database, {b"two": b"2"}, chosen), lay(database, {b"two": b"3"}, rival)
    commit(database, chosen)
    assert entries_of(database, block_hash(above.header))[b"one"] == b"chosen"
    for dead in (rival, above_rival):
        with pytest.raises(UnknownState):
            entries_of(database, block_hash(dead.header))


def test_a_forgotten_block_takes_its_descendants_with_it(database: Database) -> None:
    block = lay(database, {b"one": b"2"})
    above = lay(database, {b"one": b"3"}, block)
    database.forget(block_hash(block.header))
    with pytest.raises(UnknownState):
        entries_of(database, block_hash(above.header))


def test_a_block_that_does_not_continue_the_chain_is_not_committed(database: Database) -> None:
    first = lay(database, {b"one": b"2"})
    second = lay(database, {b"one": b"3"}, first)
    with pytest.raises(AssertionError):
        database.commit([finalized(second)])
    assert database.finalized().height == 0
    assert entries_of(database) == ENTRIES


def test_an_open_view_keeps_its_state_through_a_commit(database: Database) -> None:
    block = lay(database, {b"one": b"2"})
    with database.view() as before:
        other = threading.Thread(target=commit, args=(database, block))
        other.start()
        other.join()
        assert before.get(b"one") == b"1"
        assert dict(before.iterate(b"")) == ENTRIES
    assert entries_of(database)[b"one"] == b"2"


def test_a_thread_that_holds_a_view_may_not_use_the_database(database: Database) -> None:
    with database.view(), pytest.raises(AssertionError):
        database.root_after(database.finalized().block, ())


def test_a_chain_is_found_again(tmp_path: Path) -> None:
    database = opened(tmp_path)
    extend(database, {b"one": None, b"four": b"4"})
    head = database.finalized()
    database.close()
    again = opened(tmp_path)
    assert again.finalized() == head
    assert entries_of(again) == {b"two": b"", b"three": b"333", b"four": b"4"}
    extend(again, {b"five": b"5"})
    again.close()


def test_unfinalized_blocks_are_gone_after_a_restart(tmp_path: Path) -> None:
    database = opened(tmp_path)
    block = lay(database, {b"one": b"2"})
    database.close()
    again = opened(tmp_path)
    with pytest.raises(UnknownState):
        entries_of(again, block_hash(block.header))
    again.close()


def test_recent_heights_can_be_proved(database: Database) -> None:
    blocks = [extend(database, {b"one": bytes([number]), bytes([number]): b"new"}) for number in range(1, 11)]
    for height, block in enumerate(blocks, 1):
        proved = database.prove([b"one", bytes([5]), b"absent"], BlockNumber(height))
        assert [entry.value for entry in proved] == [bytes([height]), b"new" if height >= 5 else None, None]
        root = block.header.state_root
        assert all(verify_state_proof(root, entry.key, entry.value, entry.proof) for entry in proved)


def test_only_the_newest_heights_can_be_proved(database: Database) -> None:
    for number in range(40):
        extend(database, {b"one": bytes([number])})
    assert database.prove([b"one"], BlockNumber(8))[0].value == bytes([7])
    for height in (7, 41, -1):
        with pytest.raises(UnknownState):
            database.prove([b"one"], BlockNumber(height))


def test_no_proof_is_made_when_too_much_has_changed_since(database: Database) -> None:
    for value in (b"x", b"y"):
        extend(database, dict.fromkeys((number.to_bytes(3, "big") for number in range(20_000)), value))
    assert database.prove([b"\x00\x00\x01"], BlockNumber(1))[0].value == b"x"
    with pytest.raises(UnknownState, match="too much has changed"):
        database.prove([b"\x00\x00\x01"], BlockNumber(0))


def test_the_tree_grows_with_the_state_and_keeps_unfinalized_blocks(database: Database) -> None:
    many = {number.to_bytes(3, "big"): b"x" for number in range(1 << 14)}
    block = lay(database, many)
    above = lay(database, {b"one": None}, block)
    commit(database, block)
    expected = ENTRIES | many
    assert database.finalized().root == state_root(expected.items())
    proved = database.prove([b"\x00\x00\x07"])[0]
    assert verify_state_proof(database.finalized().root, proved.key, b"x", proved.proof)
    commit(database, above)
    del expected[b"one"]
    assert database.finalized().root == state_root(expected.items())


@pytest.mark.parametrize(("undo_blocks", "kept"), [(32, 32), (None, 40)])
def test_old_undo_rows_are_pruned_unless_the_node_is_an_archive(
    tmp_path: Path, undo_blocks: int | None, kept: int
) -> None:
    database = opened(tmp_path, Settings(undo_blocks=undo_blocks))
    for number in range(40):
        extend(database, {b"one": bytes([number])})
    database.close()
    store = Store(tmp_path)
    with store.read() as snapshot:
        heights = [number_of(key) for key, _ in snapshot.rows_from(Table.UNDO, b"")]
    store.close()
    assert heights == list(range(41 - kept, 41))
