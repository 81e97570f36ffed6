import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.hashing import blake2b_256
from primitives.merkle import EMPTY_ROOT, list_root, prove_item, verify_item

ITEMS = st.lists(st.binary(max_size=8), min_size=1, max_size=20)


def test_the_root_of_three_items_is_what_rfc_6962_says() -> None:
    a, b, c = (blake2b_256(b"\x00" + item) for item in (b"a", b"b", b"c"))
    assert list_root([b"a", b"b", b"c"]) == blake2b_256(b"\x01" + blake2b_256(b"\x01" + a + b) + c)
    assert list_root([b"a"]) == a
    assert list_root([]) == EMPTY_ROOT == blake2b_256(b"")


@given(ITEMS, st.data())
def test_each_item_is_proved_at_its_index_and_nowhere_else(items: list[bytes], data: st.DataObject) -> None:
    root = list_root(items)
    index = data.draw(st.integers(0, len(items) - 1))
    proof = prove_item(items, index)
    assert verify_item(root, items[index], index, len(items), proof)
    assert not verify_item(root, items[index] + b"x", index, len(items), proof)
    assert not verify_item(root, items[index], index, len(items), (*proof, root))
    assert not verify_item(root, items[index], len(items), len(items), proof)
    assert not proof or not verify_item(root, items[index], index, len(items), proof[:-1])


@given(ITEMS, ITEMS)
def test_different_lists_have_different_roots(one: list[bytes], other: list[bytes]) -> None:
    assert (list_root(one) == list_root(other)) == (one == other)


def test_there_is_no_proof_outside_the_list() -> None:
    with pytest.raises(IndexError):
        prove_item([b"a"], 1)
