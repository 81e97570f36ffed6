"""The tree over a million entries: loading, rebuilding, updating, proving, and one bucket ground full."""

import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from frame.state import Changes
from node.db.database import Database
from node.db.schema import Genesis
from node.db.subtree import leaf_of
from node.db.tree import StateTree, levels_for
from primitives.block import GENESIS_PARENT, Block, Body, Header
from primitives.committee import Committee, Member
from primitives.hashing import blake2s_256
from primitives.state_proof import STATE_PROOF, state_path
from primitives.types import (
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)

ENTRIES = 1_000_000
UPDATES = 4_000
"""Entries that a block of 2,000 transfers changes."""

BLOCKS = 8
PROOFS = 2_000
CROWD = 100_000
CROWD_PREFIX_BITS = 20
ZERO = bytes(32)


def main() -> int:
    """Prints the figures. `hash_ns` is one hash of 64 bytes, which tells how busy the machine was."""
    chance = random.Random(1)
    keys = sorted(chance.randbytes(52) for _ in range(ENTRIES))
    changes = tuple((key, chance.randbytes(40)) for key in keys)
    figures: dict[str, Any] = {"benchmark": "state_tree", "entries": ENTRIES}
    with tempfile.TemporaryDirectory() as folder:
        genesis = genesis_of(changes)
        del changes
        path = Path(folder)
        figures["initialise_s"], database = timed(lambda: Database(path, genesis))
        database.close()
        (path / "tree.checkpoint").unlink()
        figures["rebuild_s"], database = timed(lambda: Database(path))
        database.close()
        figures["checkpoint_mb"] = round((path / "tree.checkpoint").stat().st_size / 1e6, 1)
        figures["load_s"], database = timed(lambda: Database(path))
        gc.collect()
        gc.freeze()
        figures |= measure_updates(database, keys, chance) | measure_proofs(database, keys, chance)
        database.close()
    figures |= measure_crowd()
    hashes, _ = timed(lambda: [blake2s_256(bytes(64)) for _ in range(100_000)])
    figures["hash_ns"] = round(hashes * 1e4)
    print(json.dumps(figures))
    return 0


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Seconds, and what came out."""
    begin = clock()
    result = work()
    return round(clock() - begin, 6), result


def genesis_of(changes: Changes) -> Genesis:
    """A block 0 over `changes`, with one authority."""
    leaves = [leaf_of(state_path(key), value) for key, value in changes if value is not None]
    root = StateTree.of(sorted(leaves, key=lambda leaf: leaf.path), levels_for(len(leaves))).root
    header = Header(
        EpochIndex(0),
        View(0),
        BlockNumber(0),
        GENESIS_PARENT,
        root,
        Hash(ZERO),
        Hash(ZERO),
        TimestampMs(0),
        PublicKey(ZERO),
        None,
    )
    members = (Member(PublicKey(ZERO), Stake(1)),)
    committee = Committee(EpochIndex(1), BlockNumber(1), BlockNumber(10**6), SpecVersion(1), members)
    return Genesis(Block(header, Body((), ())), lambda: changes, committee)


def measure_updates(database: Database, keys: list[bytes], chance: random.Random) -> dict[str, Any]:
    """Roots of unfinalized blocks, one on top of the other: on the finalized state, and through layers.

    By the processor's time: nothing waits for the disk here, and other programs disturb it less.
    """
    spent: list[float] = []
    parent = database.finalized().block
    for number in range(BLOCKS):
        chosen = sorted(chance.sample(keys, UPDATES))
        changes = tuple((key, chance.randbytes(40)) for key in chosen)
        block = BlockHash(number.to_bytes(32, "big"))
        seconds, _ = timed(partial(database.lay, block, parent, changes), time.process_time)
        spent.append(seconds)
        if number % 2:
            parent = block
    return {
        "updates_per_s": round(UPDATES / median(spent)),
        "updates_per_s_best": round(UPDATES / min(spent)),
    }


def measure_proofs(database: Database, keys: list[bytes], chance: random.Random) -> dict[str, Any]:
    """Sizes of encoded proofs, without key and value."""
    seconds, proved = timed(lambda: database.prove(chance.sample(keys, PROOFS)))
    sizes = [len(STATE_PROOF.encode(each.proof)) for each in proved]
    return {
        "proof_bytes_median": round(median(sizes)),
        "proof_bytes_max": max(sizes),
        "proofs_per_s": round(PROOFS / seconds),
    }


def measure_crowd() -> dict[str, Any]:
    """Updates in a bucket with 100,000 entries, as if they had been ground to share 20 bits."""
    chance = random.Random(2)
    rest = 32 - CROWD_PREFIX_BITS // 8
    paths = sorted(
        b"\x07\x07" + bytes([chance.randrange(16)]) + chance.randbytes(rest - 1) for _ in range(CROWD)
    )
    tree = StateTree.of((leaf_of(path, b"value") for path in paths), levels_for(ENTRIES))

    def read(bucket: int, levels: int) -> list[tuple[bytes, bytes]]:
        return [(path, b"value") for path in paths] if bucket == tree.bucket_of(paths[0]) else []

    spent: list[float] = []
    for number in range(50):
        path = chance.choice(paths)
        change = [(path, leaf_of(path, number.to_bytes(4, "big")))]
        seconds, layer = timed(partial(tree.lay, [], change, read))
        tree.merge(layer)
        spent.append(seconds)
    return {
        "crowd": CROWD,
        "crowd_update_ms": round(median(spent) * 1e3, 3),
        "crowd_first_update_ms": round(spent[0] * 1e3),
    }


if __name__ == "__main__":
    sys.exit(main())
