"""Parts of a state: whatever differs from the truth is refused."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.codec import Codec, CodecError
from primitives.hashing import blake2s_256
from primitives.state_proof import EMPTY, OtherLeaf, StateProof, bit, leaf_hash, shared_bits, state_path
from primitives.state_range import (
    WHOLE,
    BadRange,
    Entry,
    StateRange,
    complement,
    part_of,
    verify_range,
)
from primitives.state_root import state_root
from primitives.types import Bytes32, Hash

STATE: dict[bytes, bytes] = {b"key %d" % number: b"value %d" % number for number in range(64)}
RANGE = StateRange(Bytes32(b"\x40" + bytes(31)), 2)
RANGES = Codec[StateRange](StateRange)


def entries_in(state: dict[bytes, bytes], range_: StateRange) -> list[Entry]:
    inside = [(key, value) for key, value in state.items() if range_.contains(state_path(key))]
    return sorted(inside, key=lambda entry: state_path(entry[0]))


def subtree(state: dict[bytes, bytes], range_: StateRange) -> Hash:
    """The definition, once more: the root of what is under a range."""
    entries = entries_in(state, range_)
    if len(entries) < 2:
        hashes = [leaf_hash(state_path(key), blake2s_256(value)) for key, value in entries]
        return hashes[0] if hashes else EMPTY
    low = range_.first_part(range_.depth + 1)
    return blake2s_256(subtree(state, low) + subtree(state, *range_.beside_first_part(low.depth)))


def honest(state: dict[bytes, bytes], range_: StateRange) -> StateProof:
    """The proof of a range, by the definition."""
    siblings: list[Hash] = []
    while len(siblings) < range_.depth:
        around = StateRange.around(range_.start, len(siblings))
        if len(entries_in(state, around)) < 2:
            break
        low = around.first_part(around.depth + 1)
        [high] = around.beside_first_part(low.depth)
        siblings.append(subtree(state, low if bit(range_.start, len(siblings)) else high))
    depth = len(siblings)
    bits = "".join(str(int(sibling != EMPTY)) for sibling in siblings)
    bits += "0" * (-depth % 8)
    bitmap = int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
    other = None
    if not entries_in(state, range_):
        for key, value in entries_in(state, StateRange.around(range_.start, depth)):
            other = OtherLeaf(Bytes32(state_path(key)), Bytes32(blake2s_256(value)))
    return StateProof(depth, bitmap, tuple(each for each in siblings if each != EMPTY), other)


def is_proved(entries: list[Entry], proof: StateProof, range_: StateRange = RANGE) -> bool:
    return verify_range(state_root(STATE.items()), range_, part_of(range_, entries), proof)


@given(
    st.dictionaries(st.binary(min_size=1, max_size=3), st.binary(max_size=2), max_size=12),
    st.binary(min_size=32, max_size=32),
    st.one_of(st.integers(0, 12), st.sampled_from([255, 256])),
)
def test_every_range_of_every_state_is_proved_as_it_is(
    state: dict[bytes, bytes], path: bytes, depth: int
) -> None:
    keys = sorted(state)
    aimed = state_path(keys[path[0] % len(keys)]) if keys and path[1] & 1 else path
    range_ = StateRange.around(aimed, depth)
    entries, proof, root = entries_in(state, range_), honest(state, range_), state_root(state.items())
    assert part_of(range_, entries).node == subtree(state, range_)
    assert verify_range(root, range_, part_of(range_, entries), proof)
    for index in range(len(entries)):
        fewer = entries[:index] + entries[index + 1 :]
        assert not verify_range(root, range_, part_of(range_, fewer), proof)


def test_a_part_of_a_state_is_proved() -> None:
    assert len(entries_in(STATE, RANGE)) > 5
    assert is_proved(entries_in(STATE, RANGE), honest(STATE, RANGE))


Alter = Callable[[list[Entry]], list[Entry]]


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda entries: entries[1:], id="the first is missing"),
        pytest.param(lambda entries: entries[:-1], id="the last is missing"),
        pytest.param(lambda entries: entries[:2] + entries[3:], id="one is missing"),
        pytest.param(lambda entries: [], id="all are missing"),
        pytest.param(lambda entries: entries[:1], id="all but one are missing"),
        pytest.param(lambda entries: [(entries[0][0], b"more"), *entries[1:]], id="a value is changed"),
        pytest.param(lambda entries: [(entries[0][0], b""), *entries[1:]], id="a value is emptied"),
        pytest.param(lambda entries: sorted_with(entries, b"new 5"), id="one is added"),
    ],
)
def test_entries_that_are_not_all_and_only_those_of_the_range_are_refused(alter: Alter) -> None:
    entries = entries_in(STATE, RANGE)
    assert not is_proved(alter(entries), honest(STATE, RANGE))


def sorted_with(entries: list[Entry], prefix: bytes) -> list[Entry]:
    """With one more entry that is in the range."""
    number = next(n for n in range(1000) if RANGE.contains(state_path(prefix + bytes([n]))))
    return sorted([*entries, (prefix + bytes([number]), b"x")], key=lambda entry: state_path(entry[0]))


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda entries: [entries[1], entries[0], *entries[2:]], id="out of order"),
        pytest.param(lambda entries: [entries[0], *entries], id="one twice"),
        pytest.param(lambda entries: entries_in(STATE, WHOLE), id="more than the range"),
        pytest.param(lambda entries: [*entries, entries_in(STATE, WHOLE)[-1]], id="one from above"),
        pytest.param(lambda entries: [entries_in(STATE, WHOLE)[0], *entries], id="one from below"),
    ],
)
def test_entries_that_cannot_be_those_of_the_range_are_refused(alter: Alter) -> None:
    with pytest.raises(BadRange):
        part_of(RANGE, alter(entries_in(STATE, RANGE)))


def altered_proofs() -> list[StateProof]:
    proof = honest(STATE, RANGE)
    first, *others = proof.siblings
    wrong = Hash(bytes([first[0] ^ 1]) + first[1:])
    leaf = OtherLeaf(Bytes32(bytes(32)), Bytes32(bytes(32)))
    return [
        StateProof(proof.depth, proof.bitmap, (wrong, *others), None),
        StateProof(proof.depth, proof.bitmap, tuple(reversed(proof.siblings)), None),
        StateProof(proof.depth, proof.bitmap, tuple(others), None),
        StateProof(proof.depth, proof.bitmap, (*proof.siblings, first), None),
        StateProof(proof.depth, proof.bitmap, proof.siblings, leaf),
        StateProof(proof.depth - 1, b"\x80", proof.siblings[:1], None),
        StateProof(proof.depth + 1, b"\xe0", (*proof.siblings, first), None),
        StateProof(proof.depth, b"\xc1", proof.siblings, None),
        StateProof(0, b"", (), None),
    ]


@pytest.mark.parametrize("proof", altered_proofs())
def test_another_proof_is_refused(proof: StateProof) -> None:
    assert not is_proved(entries_in(STATE, RANGE), proof)


def test_a_proof_of_another_range_or_root_is_refused() -> None:
    entries, proof = entries_in(STATE, RANGE), honest(STATE, RANGE)
    elsewhere = StateRange(Bytes32(b"\x80" + bytes(31)), 2)
    assert not verify_range(state_root(STATE.items()), elsewhere, part_of(RANGE, entries), proof)
    assert not verify_range(EMPTY, RANGE, part_of(RANGE, entries), proof)


def test_a_lone_entry_elsewhere_proves_emptiness_only_where_it_is_not() -> None:
    state = {b"alone": b"1"}
    path, root = state_path(b"alone"), state_root(state.items())
    leaf = OtherLeaf(Bytes32(path), Bytes32(blake2s_256(b"1")))
    here = StateRange.around(path, 3)
    there = StateRange.around(bytes([path[0] ^ 0x80]) + path[1:], 3)
    nothing = part_of(here, [])
    assert shared_bits(path, there.start) == 0
    assert verify_range(root, there, nothing, StateProof(0, b"", (), leaf))
    assert not verify_range(root, here, nothing, StateProof(0, b"", (), leaf))
    assert not verify_range(root, WHOLE, nothing, StateProof(0, b"", (), leaf))
    assert verify_range(EMPTY, WHOLE, nothing, StateProof(0, b"", (), None))


def test_a_range_has_one_spelling() -> None:
    assert RANGES.decode(RANGES.encode(RANGE)) == RANGE
    with pytest.raises(CodecError):
        RANGES.decode(b"\x92\xc4\x20" + b"\x41" + bytes(31) + b"\x02")


def test_the_first_part_and_those_beside_it_are_the_whole() -> None:
    first = RANGE.first_part(6)
    parts = [first, *RANGE.beside_first_part(6)]
    assert [part.depth for part in parts] == [6, 6, 5, 4, 3]
    assert sum(part.size for part in parts) == RANGE.size
    for lower, higher in pairwise(parts):
        assert int.from_bytes(lower.last, "big") + 1 == int.from_bytes(higher.start, "big")
    assert RANGE.beside_first_part(2) == []


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=6), st.integers(0, 9))
def test_a_complement_is_all_that_is_left(paths: set[bytes], depth: int) -> None:
    covered = {StateRange.around(path, depth) for path in paths}
    left = complement(covered)
    assert sum(range_.size for range_ in [*covered, *left]) == WHOLE.size
    assert sorted(left, key=lambda range_: range_.start) == left
    assert not any(range_.contains(other.start) for range_ in left for other in covered)
    assert complement(left) == complement(complement(complement(left)))


def test_the_complement_of_nothing_is_the_whole_and_of_the_whole_nothing() -> None:
    assert complement([]) == [WHOLE]
    assert complement([WHOLE]) == []
