"""Sudo: an account that may call with the authority of the chain itself.

For networks that nobody governs yet. The chain specification names the account, or nobody.
"""

from dataclasses import dataclass

from frame.call import call, view
from frame.context import Context
from frame.dispatch import Dispatcher
from frame.error import DispatchError, InnerFailure, ensure
from frame.event import Event
from frame.origin import Origin, Root, ensure_signed
from frame.pallet import Pallet
from frame.storage import StorageValue
from pallets.sudo import weights
from primitives.extrinsic import Call
from primitives.types import U8, AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    dispatcher: Dispatcher


class Sudid(Event, frozen=True):
    """A call was run as root."""

    pallet: U8
    function: U8


class KeyChanged(Event, frozen=True):
    """Another account is sudo now."""

    old: AccountId
    new: AccountId


class RequireSudo(DispatchError):
    """The signer is not the sudo account of this chain."""


class Sudo(Pallet):
    """The account that may call as root."""

    NAME = "sudo"
    EVENTS = (Sudid, KeyChanged)
    ERRORS = (RequireSudo,)

    key = StorageValue[AccountId](AccountId)
    """Absent: nobody."""

    def __init__(self, context: Context, needs: Needs) -> None:
        """`needs.dispatcher` runs the calls."""
        super().__init__(context)
        self._needs = needs

    def build_genesis(self, key: AccountId | None) -> None:
        """The account that the chain specification names, or nobody for ever."""
        if key is not None:
            self.key.put(key)

    @call(index=0, weight=weights.SUDO)
    def sudo(self, origin: Origin, call: Call) -> None:
        """Run a call as root; if that is refused, so is this, for the same reason. Origin: the sudo account.

        `call`: any call of any pallet.
        """
        self._ensure_sudo(origin)
        failure = self._needs.dispatcher.dispatch(Root(), call)
        if failure is not None:
            raise InnerFailure(failure)
        self.deposit(Sudid(call.pallet, call.function))

    @call(index=1, weight=weights.SET_KEY)
    def set_key(self, origin: Origin, new: AccountId) -> None:
        """Hand sudo over to another account. Origin: the sudo account.

        `new`: whoever has its key is root from now on.
        """
        old = self._ensure_sudo(origin)
        self.key.put(new)
        self.deposit(KeyChanged(old, new))

    @view
    def account(self) -> AccountId | None:
        """The sudo account, if there is one."""
        return self.key.find()

    def _ensure_sudo(self, origin: Origin) -> AccountId:
        """The signer. Raises BadOrigin or RequireSudo."""
        who = ensure_signed(origin)
        ensure(who == self.key.find(), RequireSudo)
        return who
