"""Proofs over small states made from the definition, without the tree of a node."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.codec import CodecError
from primitives.hashing import blake2s_256
from primitives.state_proof import (
    EMPTY,
    STATE_PROOF,
    OtherLeaf,
    StateProof,
    bit,
    leaf_hash,
    state_path,
    verify_state_proof,
)
from primitives.state_root import state_root
from primitives.types import Bytes32, Hash

STATE = {f"key {number}".encode(): f"value {number}".encode() for number in range(50)}
ROOT = state_root(STATE.items())


def prove(entries: Mapping[bytes, bytes], key: bytes) -> StateProof:
    """Walks down by the definition, with the root of each subtree computed anew."""
    path, inside = state_path(key), dict(entries)
    ways, siblings, depth = "", [], 0
    while len(inside) > 1:
        ahead = {
            other: inside[other] for other in inside if bit(state_path(other), depth) == bit(path, depth)
        }
        beside = subtree_root({other: inside[other] for other in inside if other not in ahead}, depth + 1)
        ways += "0" if beside == EMPTY else "1"
        siblings += [] if beside == EMPTY else [beside]
        inside, depth = ahead, depth + 1
    found = next(iter(inside), None)
    other = None
    if found is not None and found != key:
        other = OtherLeaf(Bytes32(state_path(found)), Bytes32(blake2s_256(inside[found])))
    size = -(-depth // 8)
    bitmap = int(ways.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")
    return StateProof(depth, bitmap, tuple(siblings), other)


def subtree_root(entries: Mapping[bytes, bytes], depth: int) -> Hash:
    if len(entries) < 2:
        leaves = [leaf_hash(state_path(key), blake2s_256(value)) for key, value in entries.items()]
        return leaves[0] if leaves else EMPTY
    halves = [
        subtree_root({key: entries[key] for key in entries if bit(state_path(key), depth) == side}, depth + 1)
        for side in (0, 1)
    ]
    return blake2s_256(halves[0] + halves[1])


def test_every_entry_is_proved_and_no_other_value_is() -> None:
    for key, value in STATE.items():
        proof = prove(STATE, key)
        assert verify_state_proof(ROOT, key, value, proof)
        assert not verify_state_proof(ROOT, key, value + b"!", proof)
        assert not verify_state_proof(ROOT, key, None, proof)


def test_absence_is_proved_and_no_value_is() -> None:
    for number in range(200):
        key = f"absent {number}".encode()
        proof = prove(STATE, key)
        assert verify_state_proof(ROOT, key, None, proof)
        assert not verify_state_proof(ROOT, key, b"", proof)


def test_an_empty_value_is_not_an_absent_one() -> None:
    root = state_root([(b"key", b"")])
    proof = prove({b"key": b""}, b"key")
    assert verify_state_proof(root, b"key", b"", proof)
    assert not verify_state_proof(root, b"key", None, proof)


def test_everything_is_absent_from_the_empty_state() -> None:
    proof = StateProof(0, b"", (), None)
    assert verify_state_proof(EMPTY, b"key", None, proof)
    assert not verify_state_proof(EMPTY, b"key", b"", proof)


def test_a_proof_holds_under_no_other_root_and_for_no_other_key() -> None:
    proof = prove(STATE, b"key 7")
    assert not verify_state_proof(state_root([]), b"key 7", b"value 7", proof)
    assert not verify_state_proof(ROOT, b"key 8", b"value 7", proof)
    assert not verify_state_proof(ROOT, b"key 8", b"value 8", proof)


def test_a_present_key_cannot_be_proved_absent_by_its_own_leaf() -> None:
    proof = prove(STATE, b"key 7")
    own = OtherLeaf(Bytes32(state_path(b"key 7")), Bytes32(blake2s_256(b"value 7")))
    assert not verify_state_proof(ROOT, b"key 7", None, msgspec.structs.replace(proof, other=own))


def test_a_leaf_from_elsewhere_proves_no_absence() -> None:
    elsewhere = next(key for key in STATE if bit(state_path(key), 0) != bit(state_path(b"key 7"), 0))
    proof = prove(STATE, elsewhere)
    other = OtherLeaf(Bytes32(state_path(elsewhere)), Bytes32(blake2s_256(STATE[elsewhere])))
    assert not verify_state_proof(ROOT, b"key 7", None, msgspec.structs.replace(proof, other=other))


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: {"depth": proof.depth + 1},
        lambda proof: {"depth": proof.depth - 1},
        lambda proof: {"bitmap": proof.bitmap + b"\x00"},
        lambda proof: {"bitmap": proof.bitmap[:-1]},
        lambda proof: {"bitmap": bytes([proof.bitmap[0] ^ 1, *proof.bitmap[1:]])},
        lambda proof: {"siblings": proof.siblings[1:]},
        lambda proof: {"siblings": (*proof.siblings, proof.siblings[0])},
        lambda proof: {"siblings": proof.siblings[::-1]},
        lambda proof: {"other": OtherLeaf(Bytes32(bytes(32)), Bytes32(bytes(32)))},
    ],
)
def test_a_changed_proof_proves_nothing(change) -> None:  # type: ignore[no-untyped-def]
    proof = prove(STATE, b"key 7")
    assert not verify_state_proof(ROOT, b"key 7", b"value 7", msgspec.structs.replace(proof, **change(proof)))


def test_an_empty_sibling_has_one_spelling() -> None:
    proof = StateProof(1, b"\x80", (EMPTY,), None)
    side = bit(state_path(b"key"), 0)
    leaf = leaf_hash(state_path(b"key"), blake2s_256(b"value"))
    root = blake2s_256(EMPTY + leaf if side else leaf + EMPTY)
    assert verify_state_proof(root, b"key", b"value", StateProof(1, b"\x00", (), None))
    assert not verify_state_proof(root, b"key", b"value", proof)


def test_two_paths_that_differ_in_the_last_bit_are_told_apart() -> None:
    path = state_path(b"key")
    twin = Bytes32(path[:-1] + bytes([path[-1] ^ 1]))
    leaf = leaf_hash(twin, blake2s_256(b"twin"))
    bottom = blake2s_256(leaf + EMPTY if bit(twin, 255) == 0 else EMPTY + leaf)
    root = bottom
    for index in reversed(range(255)):
        root = blake2s_256(EMPTY + root if bit(path, index) else root + EMPTY)
    absent = StateProof(256, bytes(31) + b"\x01", (leaf,), None)
    assert verify_state_proof(root, b"key", None, absent)
    beside = StateProof(255, bytes(32), (), OtherLeaf(twin, Bytes32(blake2s_256(b"twin"))))
    assert not verify_state_proof(root, b"key", None, beside)


def test_a_proof_survives_its_codec() -> None:
    proof = prove(STATE, b"absent 1")
    assert STATE_PROOF.decode(STATE_PROOF.encode(proof)) == proof


@pytest.mark.parametrize("depth", [-1, 257])
def test_an_impossible_depth_dies_in_the_codec(depth: int) -> None:
    with pytest.raises(CodecError):
        STATE_PROOF.encode(StateProof(depth, b"", (), None))


KEYS = st.binary(min_size=1, max_size=2)


@given(st.dictionaries(KEYS, st.binary(max_size=4), max_size=20), KEYS)
def test_any_key_of_any_state_is_proved(entries: dict[bytes, bytes], key: bytes) -> None:
    proof = prove(entries, key)
    assert verify_state_proof(state_root(entries.items()), key, entries.get(key), proof)
    assert not verify_state_proof(state_root(entries.items()), key, b"another", proof)
