"""Signed transfers on one core, all inline: decode, verify, execute, compute the root, commit with sync.

20,000 transfers by 4,000 senders among 1,000,000 accounts, in blocks of 2,000, with fees and events. The rate
is also given as a part of what libsodium verifies per second, measured between the blocks of the same run:
by the clock, and by the processor's time, which other programs disturb less but which leaves out the disk.
"""

import gc
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import msgpack

from benchmarks.state_tree import genesis_of
from frame.account import Account
from frame.context import BlockContext
from frame.state import Changes
from frame.validators import Validator
from node.db.database import Database
from node.db.schema import Finalized
from pallets import session, system
from pallets.system import System
from primitives.block import Block, Header, block_hash, body_root
from primitives.extrinsic import (
    EXTRINSIC,
    Call,
    Mortality,
    SigningContext,
    decode_extrinsic,
    sign_extrinsic,
    signed_message,
)
from primitives.outcome import events_root
from primitives.signing import SigningKey, verify
from primitives.types import (
    AccountId,
    Balance,
    BlockNumber,
    EpochIndex,
    Nonce,
    Seed,
    Stake,
    TimestampMs,
    View,
)
from runtime.constants import SPEC_VERSION, TOKEN
from runtime.genesis import Endowment, GenesisConfig
from runtime.runtime import Runtime

ACCOUNTS = 1_000_000
SENDERS = 4_000
BLOCKS = 10
PER_BLOCK = 2_000
RAW_PER_BLOCK = 500
"""Signatures that are only verified, between two blocks."""

BLOCK_TIME_MS = 500
FORK_ID = "benchmark"


class Stopwatch:
    """Seconds by part of the work: of the clock, and of the processor."""

    def __init__(self) -> None:
        self.clock: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        clock, processor = time.perf_counter(), time.process_time()
        yield
        self.clock[part] += time.perf_counter() - clock
        self.processor[part] += time.process_time() - processor


def main() -> int:
    """Prints the figures."""
    chance = random.Random(1)
    runtime = Runtime()
    keys = [SigningKey(Seed(chance.randbytes(32))) for _ in range(SENDERS)]
    others = [AccountId(chance.randbytes(32)) for _ in range(ACCOUNTS - SENDERS)]
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        changes = genesis_state(runtime, keys, others)
        genesis = genesis_of(changes)
        database = Database(Path(folder), genesis)
        context = SigningContext(database.genesis_hash, FORK_ID, SPEC_VERSION, database.genesis_hash)
        blocks = signed_blocks(keys, others, context, chance)
        del genesis, changes, others
        gc.collect()
        gc.freeze()
        for candidates in blocks:
            extend(database, runtime, keys[0], candidates, watch)
            some = [decode_extrinsic(data) for data in candidates[:RAW_PER_BLOCK]]
            signed = [(one.signer, signed_message(one, context), one.signature) for one in some]
            with watch("raw"):
                assert all(verify(*one) for one in signed)
        database.close()
    figures = {"benchmark": "transfers", "accounts": ACCOUNTS, **rates(watch.clock)}
    print(json.dumps({**figures, "by_processor_time": rates(watch.processor)}))
    return 0


def rates(seconds: Mapping[str, float]) -> dict[str, Any]:
    """What was done in a second, and which part took how much of it."""
    total = sum(seconds.values()) - seconds["raw"]
    per_s = BLOCKS * PER_BLOCK / total
    raw_per_s = BLOCKS * RAW_PER_BLOCK / seconds["raw"]
    return {
        "transfers_per_s": round(per_s),
        "verifications_per_s": round(raw_per_s),
        "ratio": round(per_s / raw_per_s, 3),
        "parts": {part: round(spent / total, 3) for part, spent in seconds.items() if part != "raw"},
    }


def genesis_state(runtime: Runtime, keys: list[SigningKey], others: list[AccountId]) -> Changes:
    """The senders by the rules of the runtime, and many accounts besides, written as it writes them."""
    consensus = session.Consensus(session.Engine.SIMPLEX, BLOCK_TIME_MS, 200, 10 * BLOCKS)
    rich = Balance(1000 * TOKEN)
    config = GenesisConfig(
        system=system.Genesis(SPEC_VERSION, FORK_ID),
        timestamp_ms=TimestampMs(0),
        balances=tuple(Endowment(AccountId(key.public_key), rich) for key in keys),
        session=session.Genesis(
            consensus, (Validator(AccountId(keys[0].public_key), keys[0].public_key, Stake(1)),)
        ),
        sudo=None,
    )
    account = msgpack.encode(Account(Nonce(0), 0, rich, Balance(0), Balance(0)))
    more = ((System.accounts.prefix + msgpack.encode((who,)), account) for who in others)
    return tuple(sorted([*runtime.build_genesis(config), *more]))


def signed_blocks(
    keys: list[SigningKey], others: list[AccountId], context: SigningContext, chance: random.Random
) -> list[list[bytes]]:
    """Encoded transfers; each sender's in the order of their nonces."""
    encoded: list[bytes] = []
    for number in range(BLOCKS * PER_BLOCK):
        call = Call(2, 0, msgpack.encode((chance.choice(others), TOKEN + number)))
        nonce = Nonce(number // SENDERS)
        mortality = Mortality(64, BlockNumber(0))
        extrinsic = sign_extrinsic(keys[number % SENDERS], nonce, mortality, Balance(0), call, context)
        encoded.append(EXTRINSIC.encode(extrinsic))
    return [encoded[start : start + PER_BLOCK] for start in range(0, len(encoded), PER_BLOCK)]


def extend(
    database: Database, runtime: Runtime, author: SigningKey, candidates: list[bytes], watch: Stopwatch
) -> None:
    """One more finalized block of `candidates`."""
    head = database.finalized()
    height = BlockNumber(head.height + 1)
    context = BlockContext(
        EpochIndex(1), height, head.block, TimestampMs(height * BLOCK_TIME_MS), author.public_key
    )
    with watch("decode"):
        extrinsics = [decode_extrinsic(data) for data in candidates]
    with watch("verify_and_execute"), database.view() as state:
        body, executed = runtime.build_block(state, context, (), extrinsics)
    assert len(body.extrinsics) == PER_BLOCK
    assert all(outcome.failure is None for outcome in executed.outcome.calls)
    with watch("root"):
        root = database.root_after(head.block, executed.changes)
    with watch("seal"):
        header = Header(
            epoch=context.epoch,
            view=View(height),
            height=height,
            parent=head.block,
            state_root=root,
            body_root=body_root(body),
            events_root=events_root(executed.outcome),
            timestamp_ms=context.timestamp_ms,
            author=context.author,
            next_set=None,
        )
        block = Block(header, body)
    with watch("lay"):
        database.lay(block_hash(header), head.block, executed.changes)
    with watch("commit"):
        database.commit([Finalized(block, executed.outcome)])


if __name__ == "__main__":
    sys.exit(main())
