"""Sealing: the keys to which private inputs are sealed, one for each validator.

A sealing key is an X25519 key of its own, never the session key: that one signs, and is known to nobody but
the consensus engine. A node keeps the secrets of its older keys, so that a job which was opened before a
rotation can still be read.
"""

from dataclasses import dataclass
from typing import Final

from frame.call import call, view
from frame.context import Context
from frame.currency import Currency
from frame.error import DispatchError
from frame.event import Event
from frame.origin import Origin, ensure_signed
from frame.pallet import Pallet
from frame.sealing import Reader, SealingKey
from frame.storage import StorageMap
from frame.validators import ActingValidators
from pallets.sealing import weights
from primitives.codec import Record
from primitives.types import AccountId, Balance

KEY: Final = "sealing.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    key_deposit: Balance
    """Held while a key is registered, which bounds how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    currency: Currency
    validators: ActingValidators


class Registration(Record, frozen=True):
    """The sealing key of an account."""

    key: SealingKey
    deposit: Balance
    """Held from the account."""


class KeySet(Event, frozen=True):
    """Private inputs for an account are sealed to another key from now on."""

    account: AccountId
    key: SealingKey


class KeyRemoved(Event, frozen=True):
    """An account reads no private inputs any more."""

    account: AccountId


class NoKey(DispatchError):
    """The account has registered no sealing key."""


class Sealing(Pallet):
    """The sealing keys of validators. Implements frame.sealing.SealingKeys."""

    NAME = "sealing"
    EVENTS = (KeySet, KeyRemoved)
    ERRORS = (NoKey,)

    keys = StorageMap[AccountId, Registration](AccountId, Registration)

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """`needs.validators` says whose keys are read."""
        super().__init__(context)
        self.config = config
        self._needs = needs

    @call(index=0, weight=weights.SET_KEY)
    def set_key(self, origin: Origin, key: SealingKey) -> None:
        """Register the key to which private inputs for the signer are sealed. Origin: Signed.

        `key`: X25519, as the signer's node gives it out; an earlier key is replaced.
        """
        who = ensure_signed(origin)
        old = self.keys.find(who)
        if old is None:
            self._needs.currency.hold(KEY, who, self.config.key_deposit)
        self.keys.put(who, Registration(key, self.config.key_deposit if old is None else old.deposit))
        self.deposit(KeySet(who, key))

    @call(index=1, weight=weights.REMOVE_KEY)
    def remove_key(self, origin: Origin) -> None:
        """Forget the signer's sealing key, and give its deposit back. Origin: Signed."""
        who = ensure_signed(origin)
        old = self.keys.find(who)
        if old is None:
            raise NoKey
        self._needs.currency.release(KEY, who, old.deposit)
        self.keys.remove(who)
        self.deposit(KeyRemoved(who))

    @view
    def readers(self) -> tuple[Reader, ...]:
        """The validators of the running epoch in the order of its committee, and their sealing keys."""
        return tuple(
            Reader(one.account, one.stake, self.key_of(one.account))
            for one in self._needs.validators.acting()
        )

    @view
    def key_of(self, who: AccountId) -> SealingKey | None:
        """The sealing key that an account has registered.

        `who`: the account.
        """
        registration = self.keys.find(who)
        return None if registration is None else registration.key

    def check_state(self) -> None:
        """Deposits are held."""
        assert all(
            self._needs.currency.held(KEY, who) == registration.deposit
            for who, registration in self.keys.items()
        )
