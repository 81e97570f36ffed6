"""The chain of one node: blocks are executed on the database, made final, and told to whoever follows.

Execution, building and committing take turns in one worker thread at a time; nothing of the database is held
across an await. Consensus and sync both write through this object, so that neither can overtake the other.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import trio

from frame.context import BlockContext
from frame.error import InvalidBlock, Rejection, Unable
from frame.state import StateView
from node.db.database import Database
from node.db.errors import DatabaseError, UnknownState
from node.db.schema import Finalized
from primitives.block import Block, Body, Header, block_hash, body_root
from primitives.certificate import Certificate
from primitives.committee import Committee, committee_root
from primitives.extrinsic import EXTRINSIC, Call, Extrinsic, extrinsic_hash
from primitives.finality import Trusted
from primitives.outcome import events_root
from primitives.types import BlockHash, BlockNumber, ExtrinsicHash, Hash, PublicKey, TimestampMs, View
from runtime.executive import Executed
from runtime.runtime import Runtime, Validity

T = TypeVar("T")

FOLLOWER_BLOCKS_MAX: Final = 256
"""Finalized blocks that wait for one follower; a slower one holds up the chain rather than miss a block."""

READERS: Final = 2
"""Reads at the same time for the node's own services."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest finalized block."""

    header: Header
    hash: BlockHash

    @property
    def height(self) -> BlockNumber:
        """Its height."""
        return self.header.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a block to build is given."""

    parent: Header
    view: View
    timestamp_ms: TimestampMs
    author: PublicKey
    inherents: Callable[[StateView], Sequence[Call]]
    """Asked for those that are valid on the parent's state."""

    candidates: Iterable[Extrinsic]


class Readers:
    """A few worker threads that read the database; whoever may ask much has some of his own."""

    def __init__(self, database: Database, at_once: int) -> None:
        """At most `at_once` reads go on at the same time; the others wait their turn."""
        self._database = database
        self._turns = trio.CapacityLimiter(at_once)

    async def query(self, question: Callable[[StateView], T], at: BlockHash | None = None) -> T:
        """What `question` finds in the state after the finalized block, or after the executed block `at`.

        Raises UnknownState if that is not kept.
        """
        return await self.read(self._ask, question, at)

    async def read(self, reader: Callable[..., T], *args: Any) -> T:
        """A whole read of the database."""
        return await trio.to_thread.run_sync(reader, *args, limiter=self._turns)

    def _ask(self, question: Callable[[StateView], T], at: BlockHash | None) -> T:
        with self._database.view(at) as state:
            return question(state)


class Chain:
    """Everything of the chain that the node's services share."""

    def __init__(self, database: Database, runtime: Runtime) -> None:
        """The chain as it stands in `database`."""
        self.database = database
        self.runtime = runtime
        self._turn = trio.CapacityLimiter(1)
        self._readers = Readers(database, READERS)
        self._telling = trio.StrictFIFOLock()
        self._executed: dict[BlockHash, Finalized] = {}
        self._followers: list[trio.MemorySendChannel[Block]] = []
        header = database.blocks.header(database.finalized().height)
        assert header is not None
        self.finalized = Tip(header, database.finalized().block)
        """The newest finalized block."""

    # Following

    def follow(self) -> trio.MemoryReceiveChannel[Block]:
        """Every block that becomes final from now on, in order."""
        sending, receiving = trio.open_memory_channel[Block](FOLLOWER_BLOCKS_MAX)
        self._followers.append(sending)
        return receiving

    # Reading

    async def query(self, question: Callable[[StateView], T], at: BlockHash | None = None) -> T:
        """What `question` finds in the state after the finalized block, or after the executed block `at`.

        Raises UnknownState if that is not kept.
        """
        return await self._readers.query(question, at)

    async def read(self, reader: Callable[..., T], *args: Any) -> T:
        """A whole read of the database, in a worker thread."""
        return await self._readers.read(reader, *args)

    async def validate(self, _data: bytes, extrinsic: Extrinsic) -> Validity:
        """Judge an extrinsic on the finalized state. Raises InvalidTransaction."""
        return await self.read(self._validate, extrinsic)

    def unfinalized_extrinsics(self, block: BlockHash) -> frozenset[ExtrinsicHash]:
        """Hashes of the extrinsics in `block` and its ancestors, down to the finalized block."""
        found: set[ExtrinsicHash] = set()
        while executed := self._executed.get(block):
            extrinsics = executed.block.body.extrinsics
            found.update(extrinsic_hash(EXTRINSIC.encode(extrinsic)) for extrinsic in extrinsics)
            block = executed.block.header.parent
        return frozenset(found)

    def _validate(self, extrinsic: Extrinsic) -> Validity:
        while True:
            parent = self.database.finalized().block
            try:
                with self.database.view(parent) as state:
                    return self.runtime.validate_transaction(state, extrinsic, parent)
            except UnknownState:
                continue  # another block became final in between

    # Writing

    async def execute(self, *blocks: Block) -> None:
        """Execute `blocks`, each on its executed parent, in one turn, and remember what they do.

        Raises InvalidBlock if nobody may ever accept one of them, Unable if this node cannot tell now; those
        before it are executed then.
        """
        await trio.to_thread.run_sync(self._execute, blocks, limiter=self._turn)

    async def build(self, plan: Plan) -> Block:
        """A new block, executed. Raises InvalidBlock if there can be none with this plan, Unable."""
        return await trio.to_thread.run_sync(self._build, plan, limiter=self._turn)

    async def commit(self, blocks: Sequence[Block], *certificates: Certificate) -> None:
        """Make executed blocks final, lowest first, all at once. Durable on return.

        Each of `certificates`, in order, is of one of the blocks. Blocks that are final already are passed
        over, with theirs. Raises DatabaseError.
        """
        async with self._telling:  # or what is committed next could be told before
            fresh = await trio.to_thread.run_sync(self._commit, blocks, certificates, limiter=self._turn)
            for block in fresh:
                for follower in self._followers:
                    await follower.send(block)

    async def keep(self, block: Block) -> None:
        """Store a block that is not final, until its view or a later one is; durable on return."""
        await trio.to_thread.run_sync(self.database.journal_put, block, limiter=self._turn)

    async def trusted(self) -> Trusted:
        """The committee of the epoch that the next block belongs to, and its anchor."""
        committee = await self.query(self.runtime.committee)
        return Trusted(await self.read(self._anchor, committee), committee)

    def _anchor(self, committee: Committee) -> BlockHash:
        anchor = self.database.blocks.hash_at(BlockNumber(committee.first_height - 1))
        assert anchor is not None
        return anchor

    def _execute(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self._execute_one(block)

    def _execute_one(self, block: Block) -> None:
        identity = block_hash(block.header)
        if identity in self._executed or self._is_final(block.header, identity):
            return
        try:
            with self.database.view(block.header.parent) as state:
                executed = self.runtime.execute_block(state, block)
            root = self.database.lay(identity, block.header.parent, executed.changes)
        except (DatabaseError, MemoryError) as error:
            raise Unable(str(error)) from error
        if root != block.header.state_root:
            self.database.forget(identity)
            raise InvalidBlock(Rejection.BAD_STATE_ROOT)
        self._executed[identity] = Finalized(block, executed.outcome, executed.next_committee)

    def _is_final(self, header: Header, identity: BlockHash) -> bool:
        """Whether the block is committed, by sync for example while consensus wanted to execute it."""
        is_old = header.height <= self.finalized.height
        return is_old and self.database.blocks.hash_at(header.height) == identity

    def _build(self, plan: Plan) -> Block:
        parent = block_hash(plan.parent)
        try:
            with self.database.view(parent) as state:
                committee = self.runtime.committee(state)
                height = BlockNumber(plan.parent.height + 1)
                context = BlockContext(committee.epoch, height, parent, plan.timestamp_ms, plan.author)
                inherents = plan.inherents(state)
                body, executed = self.runtime.build_block(state, context, inherents, plan.candidates)
            root = self.database.root_after(parent, executed.changes)
            block = Block(_header(context, plan.view, body, executed, root), body)
            identity = block_hash(block.header)
            self.database.lay(identity, parent, executed.changes)
        except (DatabaseError, MemoryError) as error:
            raise Unable(str(error)) from error
        self._executed[identity] = Finalized(block, executed.outcome, executed.next_committee)
        return block

    def _commit(self, blocks: Sequence[Block], certificates: Sequence[Certificate]) -> list[Block]:
        fresh = {
            block_hash(block.header): block for block in blocks if block.header.height > self.finalized.height
        }
        if not fresh:
            return []
        run = [self._executed[identity] for identity in fresh]
        theirs = [certificate for certificate in certificates if certificate.block in fresh]
        head = self.database.commit(run, *theirs)
        self.finalized = Tip(fresh[head.block].header, head.block)
        for identity, executed in list(self._executed.items()):
            if executed.block.header.height <= head.height:
                del self._executed[identity]
        return list(fresh.values())


def _header(context: BlockContext, view: View, body: Body, executed: Executed, root: Hash) -> Header:
    following = executed.next_committee
    return Header(
        epoch=context.epoch,
        view=view,
        height=context.height,
        parent=context.parent,
        state_root=root,
        body_root=body_root(body),
        events_root=events_root(executed.outcome),
        timestamp_ms=context.timestamp_ms,
        author=context.author,
        next_set=None if following is None else committee_root(following),
    )
