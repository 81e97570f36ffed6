"""Storage items: where their entries lie, and what they give back."""

import pytest

from frame.state import DictState
from frame.storage import StorageDoubleMap, StorageMap, item_prefix
from primitives.codec import CodecError
from primitives.hashing import blake2b_256
from primitives.types import AccountId
from tests.frame.probe import Pair, Probe, probe

WHO = AccountId(b"\x07" * 32)


def test_a_key_is_two_name_hashes_and_the_array_of_map_keys() -> None:
    prefix = blake2b_256(b"probe")[:8] + blake2b_256(b"notes")[:8]
    assert item_prefix("probe", "notes") == prefix
    assert probe().notes.key_of(WHO) == prefix + b"\x91\xc4\x20" + WHO
    assert probe().count.key_of(None)[16:] == b"\x90"
    assert probe().grid.key_of((5, "a"))[16:] == b"\x92\x05\xa1a"


def test_a_default_is_read_and_never_stored() -> None:
    pallet = probe()
    assert pallet.count.get() == 0
    assert pallet.count.find() is None
    pallet.count.put(3)
    assert pallet.count.get() == 3
    pallet.count.put(0)
    assert pallet.count.find() is None


def test_an_item_without_a_default_must_be_there_to_be_got() -> None:
    with pytest.raises(AssertionError, match="no default"):
        probe().pair.get()


def test_entries_are_put_found_walked_and_removed() -> None:
    pallet = probe()
    others = [AccountId(bytes([n]) * 32) for n in (9, 3)]
    for who in others:
        pallet.notes.put(who, Pair(who[0], None))
    assert list(pallet.notes.items()) == [(who, Pair(who[0], None)) for who in sorted(others)]
    pallet.notes.remove(others[0])
    pallet.notes.remove(WHO)
    assert [who for who, _ in pallet.notes.items()] == [others[1]]
    assert pallet.notes.find(others[0]) is None


def test_removing_what_is_absent_changes_nothing() -> None:
    pallet = probe()
    pallet.notes.remove(WHO)
    assert pallet.context.overlay.changes() == ()


def test_a_double_map_is_walked_under_its_first_key() -> None:
    grid = probe().grid
    for first, second in ((1, "b"), (1, "a"), (2, "a")):
        grid.put(first, second, first)
    assert list(grid.under(1)) == [("a", 1), ("b", 1)]
    assert list(grid.items()) == [((1, "a"), 1), ((1, "b"), 1), ((2, "a"), 2)]
    grid.remove(1, "a")
    assert (grid.get(1, "a"), grid.find(1, "b")) == (0, 1)


def test_a_value_or_key_outside_its_type_is_refused_and_not_written() -> None:
    pallet = probe()
    with pytest.raises(CodecError):
        pallet.count.put(-1)
    with pytest.raises(CodecError):
        pallet.grid.put(256, "a", 1)
    with pytest.raises(CodecError):
        pallet.notes.find(AccountId(b"short"))
    assert pallet.context.overlay.changes() == ()


def test_pallet_objects_share_no_state() -> None:
    one, other = probe(), probe(DictState())
    one.count.put(1)
    assert other.count.get() == 0
    assert isinstance(Probe.grid, StorageDoubleMap)
    assert isinstance(Probe.notes, StorageMap)
