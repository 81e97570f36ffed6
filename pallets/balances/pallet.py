"""Balances: one fungible token, its holds and freezes, and its total issuance.

An account is alive while its free balance is at least the existential deposit. A transfer that would leave
less reaps the account, if nothing holds, freezes or refers to it; its remainder (the dust) is burned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec.structs import replace

from frame.account import Account, Accounts
from frame.call import call, view
from frame.context import Context
from frame.currency import Reason
from frame.error import DispatchError, ensure
from frame.event import Event
from frame.origin import Origin, ensure_root, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageMap, StorageValue
from pallets.balances import weights
from primitives.codec import Record
from primitives.types import U63_MAX, AccountId, Balance

ZERO = Balance(0)

REASONS_MAX = 16
"""Most holds, and most freezes, of one account: more than there are pallets that place them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    existential_deposit: Balance
    """Least free balance of an account; above 0, so that storage is never free."""


class Lien(Record, frozen=True):
    """An amount that is held or frozen for a reason."""

    reason: Reason
    amount: Balance


Liens = Annotated[tuple[Lien, ...], msgspec.Meta(max_length=REASONS_MAX)]


class BalanceInfo(Record, frozen=True):
    """An account's money."""

    free: Balance
    held: Balance
    frozen: Balance
    spendable: Balance


class Transferred(Event, frozen=True):
    """A transfer succeeded."""

    source: AccountId
    destination: AccountId
    amount: Balance


class Reaped(Event, frozen=True):
    """An account ceased to exist, and its dust was burned."""

    who: AccountId
    dust: Balance


class Held(Event, frozen=True):
    """An amount was set aside."""

    who: AccountId
    reason: Reason
    amount: Balance


class Released(Event, frozen=True):
    """An amount that was set aside is free again, or was paid to somebody else."""

    who: AccountId
    reason: Reason
    amount: Balance


class InsufficientBalance(DispatchError):
    """The account has less to spend than the amount."""


class BelowExistentialDeposit(DispatchError):
    """The amount is too little to bring the destination to life."""


class MustStayAlive(DispatchError):
    """Too little would be left of an account that may not, or should not, be reaped."""


class TooManyReasons(DispatchError):
    """The account has no room for one more hold or freeze."""


class Balances(Pallet):
    """Implements frame.currency.Currency."""

    NAME = "balances"
    EVENTS = (Transferred, Reaped, Held, Released)
    ERRORS = (InsufficientBalance, BelowExistentialDeposit, MustStayAlive, TooManyReasons)

    total_issuance = StorageValue[Balance](Balance, default=ZERO)
    holds = StorageMap[AccountId, tuple[Lien, ...]](AccountId, Liens, default=())
    freezes = StorageMap[AccountId, tuple[Lien, ...]](AccountId, Liens, default=())

    def __init__(self, context: Context, config: Config, accounts: Accounts) -> None:
        """`accounts` keeps the records."""
        super().__init__(context)
        self.config = config
        self._accounts = accounts

    def build_genesis(self, endowments: Mapping[AccountId, Balance]) -> None:
        """Bring the first accounts to life, each with the existential deposit or more."""
        for who, amount in sorted(endowments.items()):
            assert amount >= self.config.existential_deposit
            self._accounts.create(who, amount)
        total = sum(endowments.values())
        assert total <= U63_MAX
        self.total_issuance.put(Balance(total))

    @call(index=0, weight=weights.TRANSFER)
    def transfer(self, origin: Origin, destination: AccountId, amount: Balance) -> None:
        """Send an amount. Origin: Signed.

        `destination`: who receives it.
        `amount`: how much; the sender's account is reaped if less than the existential deposit is left.
        """
        self.move(ensure_signed(origin), destination, amount)

    @call(index=1, weight=weights.TRANSFER_ALL)
    def transfer_all(self, origin: Origin, destination: AccountId, keep_alive: bool) -> None:
        """Send everything that can be spent. Origin: Signed.

        `destination`: who receives it.
        `keep_alive`: whether the existential deposit stays behind.
        """
        source = ensure_signed(origin)
        account = self._accounts.account(source)
        ensure(account is not None, InsufficientBalance)
        assert account is not None
        amount = self.spendable(source) if keep_alive or _is_needed(account) else account.free
        self.move(source, destination, amount)

    @call(index=2, weight=weights.TRANSFER)
    def force_transfer(
        self, origin: Origin, source: AccountId, destination: AccountId, amount: Balance
    ) -> None:
        """Send an amount of somebody else's. Origin: Root.

        `source`: who pays.
        `destination`: who receives it.
        `amount`: how much.
        """
        ensure_root(origin)
        self.move(source, destination, amount)

    @view
    def account(self, who: AccountId) -> BalanceInfo:
        """The balances of `who`; all 0 if there is no such account."""
        found = self._accounts.account(who)
        if found is None:
            return BalanceInfo(ZERO, ZERO, ZERO, ZERO)
        return BalanceInfo(found.free, found.held, found.frozen, self.spendable_of(found))

    @view
    def issuance(self) -> Balance:
        """What all accounts hold together."""
        return self.total_issuance.get()

    def spendable(self, who: AccountId) -> Balance:
        """As in Currency."""
        account = self._accounts.account(who)
        return ZERO if account is None else self.spendable_of(account)

    def spendable_of(self, account: Account) -> Balance:
        """The most that can leave an account with this record while it stays alive."""
        frozen_here = account.frozen - account.held
        return Balance(max(0, account.free - max(self.config.existential_deposit, frozen_here)))

    def move(self, source: AccountId, destination: AccountId, amount: Balance) -> None:
        """As in Currency. Raises InsufficientBalance, MustStayAlive or BelowExistentialDeposit."""
        payer = self._accounts.account(source)
        if payer is None or amount > payer.free - max(0, payer.frozen - payer.held):
            raise InsufficientBalance
        if source != destination:
            left = payer.free - amount
            if left < self.config.existential_deposit and _is_needed(payer):
                raise MustStayAlive
            receiver = self._accounts.account(destination)
            if receiver is None and amount < self.config.existential_deposit:
                raise BelowExistentialDeposit
            self._set_free(source, payer, left)
            self._give(destination, receiver, amount)
        self.deposit(Transferred(source, destination, amount))

    def withdraw(self, who: AccountId, amount: Balance) -> None:
        """As in Currency. Raises MustStayAlive."""
        account = self._accounts.account(who)
        if account is None or amount > self.spendable_of(account):
            raise MustStayAlive
        self._accounts.update(who, _with_free(account, account.free - amount))

    def settle(self, who: AccountId, amount: Balance) -> None:
        """As in Currency."""
        receiver = self._accounts.account(who)
        if receiver is None and amount < self.config.existential_deposit:
            self._burn(amount)
        else:
            self._give(who, receiver, amount)

    def hold(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """As in Currency. Raises InsufficientBalance or TooManyReasons."""
        account = self._accounts.account(who)
        if account is None or amount > account.free - self.config.existential_deposit:
            raise InsufficientBalance
        self._set_lien(self.holds, who, reason, self.held(reason, who) + amount)
        self._accounts.update(
            who, replace(account, free=Balance(account.free - amount), held=Balance(account.held + amount))
        )
        self.deposit(Held(who, reason, amount))

    def held(self, reason: Reason, who: AccountId) -> Balance:
        """As in Currency."""
        return _amount_of(self.holds.get(who), reason)

    def release(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """As in Currency."""
        self._lift(reason, who, amount)
        self.settle(who, amount)

    def move_held(self, reason: Reason, source: AccountId, destination: AccountId, amount: Balance) -> None:
        """As in Currency."""
        self._lift(reason, source, amount)
        self.settle(destination, amount)
        self.deposit(Transferred(source, destination, amount))

    def freeze(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """As in Currency. Raises InsufficientBalance or TooManyReasons."""
        account = self._accounts.account(who)
        if account is None:
            raise InsufficientBalance
        self._set_lien(self.freezes, who, reason, amount)
        frozen = max((lien.amount for lien in self.freezes.get(who)), default=0)
        self._accounts.update(who, replace(account, frozen=Balance(frozen)))

    def check_state(self) -> None:
        """The sum of all balances is the issuance, and every record agrees with its holds and freezes."""
        accounts = dict(self._accounts.every_account())
        assert sum(account.free + account.held for account in accounts.values()) == self.total_issuance.get()
        for who, account in accounts.items():
            assert account.free >= self.config.existential_deposit
            assert account.held == sum(lien.amount for lien in self.holds.get(who))
            assert account.frozen == max((lien.amount for lien in self.freezes.get(who)), default=0)
        for items in (self.holds, self.freezes):
            for who, liens in items.items():
                assert who in accounts
                assert liens
                assert all(lien.amount > 0 for lien in liens)
                assert [lien.reason for lien in liens] == sorted({lien.reason for lien in liens})

    def _set_free(self, who: AccountId, account: Account, free: int) -> None:
        """Write what is left, or reap the account and burn the dust."""
        if free >= self.config.existential_deposit:
            self._accounts.update(who, _with_free(account, free))
            return
        self._accounts.reap(who)
        if free:
            self._burn(Balance(free))
        self.deposit(Reaped(who, Balance(free)))

    def _give(self, who: AccountId, receiver: Account | None, amount: Balance) -> None:
        if receiver is None:
            self._accounts.create(who, amount)
        else:
            self._accounts.update(who, _with_free(receiver, receiver.free + amount))

    def _lift(self, reason: Reason, who: AccountId, amount: Balance) -> None:
        """Take `amount` out of a hold and out of the account; the caller settles it."""
        account = self._accounts.account(who)
        left = self.held(reason, who) - amount
        assert account is not None
        assert left >= 0
        self._set_lien(self.holds, who, reason, left)
        self._accounts.update(who, replace(account, held=Balance(account.held - amount)))
        self.deposit(Released(who, reason, amount))

    def _set_lien(
        self, items: StorageMap[AccountId, tuple[Lien, ...]], who: AccountId, reason: Reason, amount: int
    ) -> None:
        others = [lien for lien in items.get(who) if lien.reason != reason]
        if amount:
            ensure(len(others) < REASONS_MAX, TooManyReasons)
            others.append(Lien(reason, Balance(amount)))
        items.put(who, tuple(sorted(others, key=lambda lien: lien.reason)))

    def _burn(self, amount: Balance) -> None:
        self.total_issuance.put(Balance(self.total_issuance.get() - amount))


def _is_needed(account: Account) -> bool:
    """Whether the account may not be reaped."""
    return account.references > 0 or account.held > 0 or account.frozen > 0


def _with_free(account: Account, free: int) -> Account:
    return Account(account.nonce, account.references, Balance(free), account.held, account.frozen)


def _amount_of(liens: tuple[Lien, ...], reason: Reason) -> Balance:
    return next((lien.amount for lien in liens if lien.reason == reason), ZERO)
