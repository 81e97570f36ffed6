"""A chain in a dictionary: the runtime alone, with signing accounts, for tests."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import msgpack

from frame.context import BlockContext
from frame.state import DictState
from frame.validators import Validator
from pallets import session, system
from primitives.block import Block, Body, Header, block_hash, body_root
from primitives.committee import committee_root
from primitives.extrinsic import Call, Extrinsic, Mortality, SigningContext, sign_extrinsic
from primitives.mnemonic import seed_from_uri
from primitives.outcome import events_root
from primitives.signing import SigningKey
from primitives.types import (
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    Hash,
    Nonce,
    Stake,
    TimestampMs,
    View,
)
from runtime.constants import SPEC_VERSION, TOKEN
from runtime.executive import Executed
from runtime.genesis import Endowment, GenesisConfig
from runtime.runtime import Runtime

ALICE = SigningKey(seed_from_uri("//Alice"))
BOB = SigningKey(seed_from_uri("//Bob"))
CHARLIE = SigningKey(seed_from_uri("//Charlie"))
GENESIS_HASH = BlockHash(b"\x67" * 32)
EPOCH_LENGTH = 3
BLOCK_TIME_MS = 500
START_MS = TimestampMs(1_800_000_000_000)


def account(key: SigningKey) -> AccountId:
    """The account whose key this is."""
    return AccountId(key.public_key)


def genesis_config() -> GenesisConfig:
    """Alice validates; Alice and Bob have 1,000 tokens each."""
    validators = (Validator(account(ALICE), ALICE.public_key, Stake(1)),)
    consensus = session.Consensus(session.Engine.SIMPLEX, BLOCK_TIME_MS, 200, EPOCH_LENGTH)
    return GenesisConfig(
        system=system.Genesis(SPEC_VERSION, "fork"),
        timestamp_ms=START_MS,
        balances=tuple(Endowment(account(key), Balance(1000 * TOKEN)) for key in (ALICE, BOB)),
        session=session.Genesis(consensus, validators),
        sudo=account(ALICE),
    )


def call(pallet: int, function: int, *arguments: Any) -> Call:
    """A call with its arguments."""
    return Call(pallet, function, msgpack.encode(arguments))


def transfer(destination: AccountId, amount: int) -> Call:
    """The call `balances.transfer`."""
    return call(2, 0, destination, amount)


class Chain:
    """Builds blocks and applies them."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        """At genesis."""
        self.runtime = runtime or Runtime()
        self.state = DictState()
        self.state.apply(self.runtime.build_genesis(genesis_config()))
        self.hashes = [GENESIS_HASH]
        self.author = ALICE.public_key
        """Session key of the author of the blocks to come."""

    @property
    def parent(self) -> BlockHash:
        """The newest block."""
        return self.hashes[-1]

    def context(self, timestamp_ms: int | None = None) -> BlockContext:
        """Of the next block."""
        height = len(self.hashes)
        if timestamp_ms is None:
            timestamp_ms = self.runtime.query(self.state, "timestamp.now_ms") + BLOCK_TIME_MS
        epoch = self.runtime.committee(self.state).epoch
        return BlockContext(epoch, BlockNumber(height), self.parent, TimestampMs(timestamp_ms), self.author)

    def sign(
        self,
        key: SigningKey,
        call: Call,
        nonce: int | None = None,
        tip: int = 0,
        period: int = 64,
        birth: int | None = None,
    ) -> Extrinsic:
        """An extrinsic born at the newest block, with the account's next nonce."""
        birth = len(self.hashes) - 1 if birth is None else birth
        hash_ = self.hashes[birth] if birth < len(self.hashes) else BlockHash(bytes(32))
        context = SigningContext(self.hashes[0], "fork", SPEC_VERSION, hash_)
        if nonce is None:
            nonce = self.runtime.query(self.state, "system.nonce", account(key))
        mortality = Mortality(period, BlockNumber(birth))
        return sign_extrinsic(key, Nonce(nonce), mortality, Balance(tip), call, context)

    def block(
        self, candidates: Iterable[Extrinsic], inherents: Sequence[Call] = ()
    ) -> tuple[Block, Executed]:
        """The next block, not yet applied."""
        context = self.context()
        body, executed = self.runtime.build_block(self.state, context, inherents, candidates)
        return self.seal(context, body, executed), executed

    def seal(self, context: BlockContext, body: Body, executed: Executed) -> Block:
        """A block of this body."""
        following = executed.next_committee
        header = Header(
            epoch=context.epoch,
            view=View(1),
            height=context.height,
            parent=context.parent,
            state_root=Hash(bytes(32)),
            body_root=body_root(body),
            events_root=events_root(executed.outcome),
            timestamp_ms=context.timestamp_ms,
            author=context.author,
            next_set=None if following is None else committee_root(following),
        )
        return Block(header, body)

    def grow(self, *candidates: Extrinsic, inherents: Sequence[Call] = ()) -> Executed:
        """Apply a block of all these, as others would: by executing it. Invariants hold afterwards."""
        block, built = self.block(candidates, inherents)
        assert len(block.body.extrinsics) == len(candidates)
        assert len(block.body.inherents) == len(inherents)
        executed = self.runtime.execute_block(self.state, block)
        assert executed == built
        self.state.apply(executed.changes)
        self.hashes.append(block_hash(block.header))
        self.runtime.check_state(self.state)
        return executed

    def free(self, who: AccountId) -> int:
        """Free balance."""
        return int(self.runtime.query(self.state, "balances.account", who).free)
