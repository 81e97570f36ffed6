"""The newest records are kept, in order, and no more than there may be."""

import pytest

from frame.newest import Newest
from frame.state import DictState, Overlay
from frame.storage import StorageMap, StorageValue
from primitives.types import U63, Hash


def newest(most: int) -> Newest:
    """Of no records yet."""
    overlay = Overlay(DictState())
    records = StorageMap[Hash, int](Hash, U63)
    sequence = StorageMap[int, Hash](U63, Hash)
    count = StorageValue[int](U63, default=0)
    for name, item in (("records", records), ("sequence", sequence), ("count", count)):
        item.declare("probe", name)
    return Newest(records.bind(overlay), sequence.bind(overlay), count.bind(overlay), most)


def identity(number: int) -> Hash:
    """Not in the order in which they are made."""
    return Hash(bytes([number * 97 % 256]) * 32)


def test_the_oldest_makes_room() -> None:
    kept = newest(3)
    for number in range(5):
        kept.keep(identity(number), number)
        kept.check_state()
    assert sorted(value for _, value in kept.records.items()) == [2, 3, 4]
    assert kept.count.get() == 5


def test_a_record_that_got_lost_is_noticed() -> None:
    kept = newest(3)
    for number in range(3):
        kept.keep(identity(number), number)
    kept.records.remove(identity(1))
    with pytest.raises(AssertionError):
        kept.check_state()


def test_a_gap_in_the_order_is_noticed() -> None:
    kept = newest(3)
    for number in range(3):
        kept.keep(identity(number), number)
    kept.records.remove(identity(1))
    kept.sequence.remove(1)
    with pytest.raises(AssertionError):
        kept.check_state()
