"""The vectors of the runtime; `python -m tests.runtime.vectors` writes them anew.

They change only with another spec version, or in a commit that says why an encoding changed.
"""

import json
from pathlib import Path
from typing import Any, Final

from chainspec.presets import local
from chainspec.spec import genesis_changes
from frame.metadata import storage_key
from frame.state import Changes
from primitives.block import BLOCK, block_hash
from primitives.outcome import BLOCK_OUTCOME
from runtime.constants import TOKEN, TREASURY
from tests.runtime.chain import ALICE, BOB, CHARLIE, Chain, account, call, transfer

PATH: Final = Path(__file__).parents[1] / "vectors" / "runtime.json"

ENTRIES: Final[list[tuple[str, str, list[Any]]]] = [
    ("system", "number", []),
    ("system", "accounts", [f"0x{account(ALICE).hex()}"]),
    ("system", "block_hashes", [0]),
    ("system", "block_hashes", [4096]),
    ("balances", "holds", [f"0x{account(BOB).hex()}"]),
    ("session", "committee", []),
]
"""Pallet, item and map keys of some entries."""


def make() -> dict[str, Any]:
    """Storage keys, the genesis of the local preset, a block with a call that works and one that does not."""
    chain = Chain()
    works = chain.sign(ALICE, transfer(account(CHARLIE), TOKEN), tip=5)
    fails = chain.sign(BOB, call(2, 2, account(ALICE), account(BOB), 1), period=9)
    block, executed = chain.block([works, fails])
    return {
        "storage_keys": [
            {"pallet": pallet, "item": item, "keys": keys, "key": key_of(pallet, item, keys).hex()}
            for pallet, item, keys in ENTRIES
        ],
        "treasury": TREASURY.hex(),
        "genesis_local": rows(genesis_changes(local())),
        "block": {
            "state_before": rows(tuple(sorted(chain.state.entries.items()))),
            "block": BLOCK.encode(block).hex(),
            "hash": block_hash(block.header).hex(),
            "changes": rows(executed.changes),
            "outcome": BLOCK_OUTCOME.encode(executed.outcome).hex(),
            "weight": [executed.weight.reference_time_ps, executed.weight.proof_size_bytes],
        },
    }


def key_of(pallet: str, item: str, keys: list[Any]) -> bytes:
    """The storage key of an entry, as a client finds it."""
    infos = Chain().runtime.metadata().pallet(pallet).storage
    return storage_key(next(info for info in infos if info.name == item), keys)


def rows(changes: Changes) -> list[list[str | None]]:
    """Keys and values in hexadecimal."""
    return [[key.hex(), None if value is None else value.hex()] for key, value in changes]


def read() -> dict[str, Any]:
    """The vectors as they stand in the file."""
    document: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return document


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
