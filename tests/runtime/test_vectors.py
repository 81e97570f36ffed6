"""Encodings, keys and state transitions are those of the committed vectors."""

import hashlib
from typing import Any

import msgpack
import pytest

from frame.state import DictState
from primitives.block import BLOCK, block_hash
from primitives.outcome import BLOCK_OUTCOME
from runtime.runtime import Runtime
from tests.runtime import vectors


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return vectors.read()


def test_the_vectors_are_what_the_code_makes(document: dict[str, Any]) -> None:
    assert vectors.make() == document


def test_a_storage_key_is_made_of_hashes_and_messagepack_alone(document: dict[str, Any]) -> None:
    for entry in document["storage_keys"]:
        names = (entry["pallet"], entry["item"])
        keys = [bytes.fromhex(key[2:]) if isinstance(key, str) else key for key in entry["keys"]]
        parts = [hashlib.blake2b(name.encode(), digest_size=32).digest()[:8] for name in names]
        assert entry["key"] == (b"".join(parts) + msgpack.packb(keys)).hex()


def test_the_executed_block_gives_the_recorded_changes_and_outcome(document: dict[str, Any]) -> None:
    vector = document["block"]
    state = DictState({bytes.fromhex(key): bytes.fromhex(value) for key, value in vector["state_before"]})
    block = BLOCK.decode(bytes.fromhex(vector["block"]))
    executed = Runtime().execute_block(state, block)
    assert block_hash(block.header).hex() == vector["hash"]
    assert vectors.rows(executed.changes) == vector["changes"]
    assert BLOCK_OUTCOME.encode(executed.outcome).hex() == vector["outcome"]


def test_another_decoder_reads_the_outcome(document: dict[str, Any]) -> None:
    calls, _ = msgpack.unpackb(bytes.fromhex(document["block"]["outcome"]))
    (success, events), (failure, _) = calls
    assert success is None
    assert [event[:2] for event in events] == [["fees", "FeePaid"], ["balances", "Transferred"]]
    assert failure == ["system", "BadOrigin"]
