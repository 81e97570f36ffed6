"""The database against a model that is nothing but dictionaries and the definition of the root."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.db.tree import CACHED_LEAVES_MIN, LEVELS_MIN
from primitives.block import Block, block_hash
from primitives.state_proof import state_path, verify_state_proof
from primitives.types import BlockHash, BlockNumber
from tests.conformance.memory_database import MemoryDatabase
from tests.node.db.chain import changes_of, commit, entries_of, genesis, lay, opened


@cache
def crowd() -> tuple[bytes, ...]:
    """Keys ground to share a bucket, and more of them than are read from the table each time."""
    found: list[bytes] = []
    number = 0
    while len(found) < CACHED_LEAVES_MIN + 3:
        key = b"crowd" + number.to_bytes(4, "big")
        if int.from_bytes(state_path(key)[:2], "big") >> (16 - LEVELS_MIN) == 0:
            found.append(key)
        number += 1
    return tuple(found)


NUMBERS = st.integers(min_value=0, max_value=2**16)
KEYS = st.one_of(
    st.builds(lambda number: crowd()[number % len(crowd())], NUMBERS),
    st.binary(min_size=1, max_size=2),
    st.sampled_from([b"k" * 480, b"one", b"two", b"three"]),
)
VALUES = st.one_of(st.none(), st.binary(max_size=3), st.just(b"v" * 5000))


class DatabaseMachine(RuleBasedStateMachine):
    """Does the same to a database and to the model; both must always agree."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="database-"))
        self.database = opened(self.path)
        self.model = MemoryDatabase(genesis())
        self.blocks: dict[BlockHash, Block] = {}
        self.views = 0

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.path)

    def choose(self, number: int) -> BlockHash:
        known = self.model.known()
        return known[number % len(known)]

    def lay_on(self, parent: BlockHash, entries: dict[bytes, bytes | None]) -> None:
        self.views += 1
        block = lay(self.database, entries, self.blocks.get(parent), view=self.views)
        identity = block_hash(block.header)
        self.blocks[identity] = block
        assert self.model.lay(identity, parent, changes_of(entries)) == block.header.state_root

    @rule(parent=NUMBERS, entries=st.dictionaries(KEYS, VALUES, max_size=8))
    def lay(self, parent: int, entries: dict[bytes, bytes | None]) -> None:
        self.lay_on(self.choose(parent), entries)

    @rule(entries=st.dictionaries(KEYS, VALUES, max_size=8))
    def extend(self, entries: dict[bytes, bytes | None]) -> None:
        self.lay_on(self.model.head, entries)
        self.commit(len(self.model.known()) - 1)

    @rule(value=VALUES, size=st.sampled_from([len(crowd()), CACHED_LEAVES_MIN + 1, CACHED_LEAVES_MIN, 1]))
    def crowd_a_bucket(self, value: bytes | None, size: int) -> None:
        self.extend(dict.fromkeys(crowd()[:size], value))

    @rule(number=NUMBERS)
    def forget(self, number: int) -> None:
        block = self.choose(number)
        if block != self.model.head:
            self.database.forget(block)
            self.model.forget(block)

    @rule(number=NUMBERS)
    def commit(self, number: int) -> None:
        block, run = self.choose(number), list[Block]()
        while block != self.model.head:
            run.insert(0, self.blocks[block])
            block = self.model.parents[block]
        if run:
            commit(self.database, *run)
            self.model.commit([each.header for each in run])

    @rule(lose_checkpoint=st.booleans())
    def restart(self, lose_checkpoint: bool) -> None:
        self.database.close()
        if lose_checkpoint:
            (self.path / "tree.checkpoint").unlink()
        self.database = opened(self.path)
        self.model.restart()

    @rule(key=KEYS, back=st.integers(min_value=0, max_value=3))
    def prove(self, key: bytes, back: int) -> None:
        height = max(0, self.model.finalized[-1].height - back)
        at = self.model.finalized[height]
        (proved,) = self.database.prove([key], BlockNumber(height))
        assert proved.value == self.model.states[block_hash(at)].get(key)
        assert verify_state_proof(at.state_root, key, proved.value, proved.proof)

    @rule(number=NUMBERS, prefix=st.sampled_from([b"", b"c", b"crowd\x00", b"t", b"\x00"]))
    def read(self, number: int, prefix: bytes) -> None:
        at = self.choose(number)
        with self.database.view(at) as state:
            assert list(state.iterate(prefix)) == list(self.model.states[at].iterate(prefix))

    @invariant()
    def agree_on_the_finalized_state(self) -> None:
        head = self.database.finalized()
        assert (head.height, head.block) == (len(self.model.finalized) - 1, self.model.head)
        assert head.root == self.model.finalized[-1].state_root
        assert entries_of(self.database) == self.model.states[self.model.head].entries


TestDatabase = DatabaseMachine.TestCase
TestDatabase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
