"""System: accounts, the block number, hashes of recent blocks, the identity of the chain.

An account's record also holds its balance (`frame.account`), so that a transfer reads one entry per account.
"""

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from frame.account import Account
from frame.call import call, view
from frame.context import Context
from frame.error import (
    InvalidBlock,
    InvalidTransaction,
    Rejection,
    TransactionError,
    ValueOutOfRange,
)
from frame.event import Event
from frame.origin import BadOrigin, Origin, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from frame.weight import Weight
from pallets.system import weights
from primitives.codec import Record
from primitives.extrinsic import CALL_BYTES_MAX, MORTALITY_PERIOD_MAX, Mortality, SigningContext
from primitives.types import AccountId, Balance, BlockHash, BlockNumber, Nonce, SpecVersion

NONCE_SHIFT: Final = 16
"""An account born at a height starts with nonce height << 16: fewer than 2^16 extrinsics fit into a block, so
that what it signed in an earlier life is stale for ever."""

Remark = Annotated[bytes, msgspec.Meta(max_length=CALL_BYTES_MAX - 8)]


class Genesis(Record, frozen=True):
    """The identity of the chain, part of every signed message."""

    spec_version: SpecVersion
    fork_id: Annotated[str, msgspec.Meta(max_length=64)]


class Remarked(Event, frozen=True):
    """Somebody had something put on record; the extrinsic has the text."""

    who: AccountId


def _remark_weight(text: Remark) -> Weight:
    return weights.REMARK + weights.REMARK_BYTE.times(len(text))


class System(Pallet):
    """Implements frame.account.Accounts and frame.identity.ChainIdentity."""

    NAME = "system"
    EVENTS = (Remarked,)
    ERRORS = (BadOrigin, ValueOutOfRange)

    identity = StorageValue[Genesis](Genesis)
    number = StorageValue[BlockNumber](BlockNumber, default=BlockNumber(0))
    genesis_hash = StorageValue[BlockHash](BlockHash)
    """Written by block 1: the state of block 0 cannot know its own hash."""

    block_hashes = StorageMap[BlockNumber, BlockHash](BlockNumber, BlockHash)
    """Of the last MORTALITY_PERIOD_MAX blocks."""

    accounts = StorageMap[AccountId, Account](AccountId, Account)

    def __init__(self, context: Context) -> None:
        """Nobody reaped yet."""
        super().__init__(context)
        self._contexts: dict[BlockNumber, SigningContext] = {}
        self._reaped: dict[AccountId, Nonce] = {}

    def build_genesis(self, genesis: Genesis) -> None:
        """Name the chain."""
        self.identity.put(genesis)

    def restart(self, genesis: Genesis) -> None:
        """Become the state of block 0 of the chain `genesis`: no blocks yet, and nothing signed for it.

        Nonces begin again, because the rule that sets those of accounts that are reborn goes by the height.
        """
        self.identity.put(genesis)
        self.number.put(BlockNumber(0))
        self.genesis_hash.remove()
        for height in [height for height, _ in self.block_hashes.items()]:
            self.block_hashes.remove(height)
        for who, account in list(self.accounts.items()):
            self.accounts.put(who, replace(account, nonce=Nonce(0)))

    def on_initialize(self) -> None:
        """Count the block and remember its parent. Raises InvalidBlock if it is not the next one."""
        block = self.context.block
        if block.height != self.number.get() + 1:
            raise InvalidBlock(Rejection.WRONG_HEIGHT)
        self.number.put(block.height)
        parent_height = BlockNumber(block.height - 1)
        if parent_height == 0:
            self.genesis_hash.put(block.parent)
        self.block_hashes.put(parent_height, block.parent)
        if parent_height >= MORTALITY_PERIOD_MAX:
            self.block_hashes.remove(BlockNumber(parent_height - MORTALITY_PERIOD_MAX))

    @call(index=0, weight=_remark_weight)
    def remark(self, origin: Origin, text: Remark) -> None:
        """Put a text on record. Origin: Signed.

        `text`: any bytes; only the extrinsic keeps them.
        """
        self.deposit(Remarked(ensure_signed(origin)))

    @view
    def nonce(self, who: AccountId) -> Nonce:
        """The nonce of the next extrinsic of `who`, or of an account born in this block."""
        account = self.accounts.find(who)
        return self._birth_nonce(who) if account is None else account.nonce

    @view
    def version(self) -> Genesis:
        """The identity of the chain."""
        return self.identity.get()

    def ensure_alive(self, mortality: Mortality) -> SigningContext:
        """What an extrinsic with this mortality is signed for. Raises InvalidTransaction."""
        height = self.context.block.height
        if mortality.birth >= height:
            raise InvalidTransaction(TransactionError.NOT_YET_BORN)
        if height > mortality.birth + mortality.period:
            raise InvalidTransaction(TransactionError.EXPIRED)
        known = self._contexts.get(mortality.birth)
        if known is None:
            identity = self.identity.get()
            known = SigningContext(
                genesis=self.genesis(),
                fork_id=identity.fork_id,
                spec_version=identity.spec_version,
                birth_hash=self.block_hashes.get(mortality.birth),
            )
            self._contexts[mortality.birth] = known
        return known

    def genesis(self) -> BlockHash:
        """As in ChainIdentity."""
        return self.genesis_hash.get()

    def account(self, who: AccountId) -> Account | None:
        """As in Accounts."""
        return self.accounts.find(who)

    def every_account(self) -> Iterator[tuple[AccountId, Account]]:
        """As in Accounts."""
        return self.accounts.items()

    def create(self, who: AccountId, free: Balance) -> None:
        """As in Accounts."""
        self.accounts.put(who, Account(self._birth_nonce(who), 0, free, Balance(0), Balance(0)))

    def update(self, who: AccountId, account: Account) -> None:
        """As in Accounts."""
        self.accounts.put(who, account)

    def reap(self, who: AccountId) -> None:
        """As in Accounts."""
        account = self.accounts.get(who)
        assert account == Account(account.nonce, 0, account.free, Balance(0), Balance(0))
        self._reaped[who] = account.nonce
        self.accounts.remove(who)

    def check_state(self) -> None:
        """Recent hashes are exactly those that an extrinsic may be born at."""
        number = self.number.get()
        kept = {height for height, _ in self.block_hashes.items()}
        assert kept == set(range(max(0, number - MORTALITY_PERIOD_MAX), number))
        assert (self.genesis_hash.find() is None) == (number == 0)

    def _birth_nonce(self, who: AccountId) -> Nonce:
        """Of an account reaped and reborn within one block, it goes on from where it was."""
        return Nonce(max(self.context.block.height << NONCE_SHIFT, self._reaped.get(who, 0)))
