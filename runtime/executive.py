"""How a block runs: hooks, inherents, extrinsics, hooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from frame.account import Account
from frame.call import CallDeclaration
from frame.context import BlockContext, Context
from frame.error import InvalidTransaction, TransactionError, Unable
from frame.host import HostFunctions
from frame.origin import Nobody, Signed
from frame.state import Changes, Overlay, StateView
from frame.weight import CallClass, Weight
from primitives.certificate import Verifier
from primitives.committee import Committee
from primitives.extrinsic import Call, Extrinsic, signed_message
from primitives.outcome import BlockOutcome, EventRecord, Outcome
from primitives.types import Balance
from runtime.constants import FUTURE_NONCES_MAX
from runtime.meter import Meter
from runtime.pallets import Pallets


@dataclass(frozen=True, slots=True)
class Executed:
    """What a block did."""

    changes: Changes
    outcome: BlockOutcome
    weight: Weight
    next_committee: Committee | None
    """In the last block of an epoch only."""


class Checked(NamedTuple):
    """An extrinsic that may enter a block, and what it takes to run it."""

    declaration: CallDeclaration
    arguments: Sequence[Any]
    weight: Weight
    length_bytes: int
    fee: Balance
    account: Account
    """The signer's, before it paid."""


class Execution:
    """One block on top of one state."""

    def __init__(
        self, state: StateView, block: BlockContext, host: HostFunctions, verifier: Verifier
    ) -> None:
        """Nothing run yet."""
        self._overlay = Overlay(state)
        self._context = Context(self._overlay, block, host, verifier)
        self._meter = Meter()
        self._outcomes: list[Outcome] = []
        self._block_events: list[EventRecord] = []
        self.pallets = Pallets(self._context)

    def initialize(self) -> None:
        """Run the hooks before the calls. Raises InvalidBlock if the header is wrong on this state."""
        for pallet in self.pallets.by_index.values():
            pallet.on_initialize()
        self._block_events += self._context.take_events()

    def initialize_for_pool(self) -> None:
        """What `check` needs of `initialize`, for a block of which nothing but the parent is known."""
        self.pallets.system.on_initialize()

    def apply_inherent(self, call: Call, length_bytes: int) -> bool:
        """Run an inherent; False, and nothing done, if it is refused. Raises InvalidTransaction."""
        declaration, arguments = self.pallets.find(call)
        if not declaration.is_inherent:
            raise InvalidTransaction(TransactionError.UNKNOWN_CALL)
        weight = declaration.weigh(arguments)
        if not self._meter.has_room(CallClass.MANDATORY, weight, length_bytes):
            raise InvalidTransaction(TransactionError.TOO_HEAVY)
        if self.pallets.run(Nobody(), call, declaration, arguments) is not None:
            return False
        self._meter.take(CallClass.MANDATORY, weight, length_bytes)
        self._outcomes.append(Outcome(None, self._context.take_events()))
        return True

    def apply_extrinsic(self, extrinsic: Extrinsic, length_bytes: int) -> None:
        """Charge and run an extrinsic. Raises InvalidTransaction, and does nothing, if it may not be here.

        Raises Unable, and has done nothing, if this machine could not run it.
        """
        checked = self.check(extrinsic, length_bytes)
        if extrinsic.nonce != checked.account.nonce:
            raise InvalidTransaction(TransactionError.FUTURE_NONCE)
        call_class = checked.declaration.call_class
        if not self._meter.has_room(call_class, checked.weight, length_bytes):
            raise InvalidTransaction(TransactionError.TOO_HEAVY)
        signer, transaction = extrinsic.signer, self._context.begin()
        self.pallets.fees.charge(signer, checked.account, checked.fee)
        origin = Signed(signer)
        try:
            failure = self.pallets.run(origin, extrinsic.call, checked.declaration, checked.arguments)
        except Unable:
            self._context.rollback(transaction)
            self.pallets.fees.return_fee(checked.fee)
            raise
        self._meter.take(call_class, checked.weight, length_bytes)
        self._outcomes.append(Outcome(failure, self._context.take_events()))

    def check(self, extrinsic: Extrinsic, length_bytes: int) -> Checked:
        """Everything but room in the block and a nonce that is a little in the future, the signature last.

        Raises InvalidTransaction.
        """
        declaration, arguments, weight = self.pallets.find_signed(extrinsic.call)
        context = self.pallets.system.ensure_alive(extrinsic.mortality)
        account = self.pallets.system.account(extrinsic.signer)
        if account is None:
            raise InvalidTransaction(TransactionError.CANNOT_PAY)
        if extrinsic.nonce < account.nonce:
            raise InvalidTransaction(TransactionError.STALE_NONCE)
        if extrinsic.nonce > account.nonce + FUTURE_NONCES_MAX:
            raise InvalidTransaction(TransactionError.FUTURE_NONCE)
        fees = self.pallets.fees
        fee = fees.length_fee(length_bytes) + fees.weight_fee(weight) + extrinsic.tip
        if fee > self.pallets.balances.spendable_of(account):
            raise InvalidTransaction(TransactionError.CANNOT_PAY)
        if not self._context.verify(
            extrinsic.signer, signed_message(extrinsic, context), extrinsic.signature
        ):
            raise InvalidTransaction(TransactionError.BAD_SIGNATURE)
        return Checked(declaration, arguments, weight, length_bytes, Balance(fee), account)

    def finalize(self) -> Executed:
        """Run the hooks after the calls."""
        for pallet in self.pallets.by_index.values():
            pallet.on_finalize()
        events = (*self._block_events, *self._context.take_events())
        return Executed(
            changes=self._overlay.changes(),
            outcome=BlockOutcome(tuple(self._outcomes), events),
            weight=self._meter.weight,
            next_committee=self.pallets.session.next_committee,
        )
