"""Fees: what an extrinsic costs, and who gets it.

Fee = length + weight + tip, paid before the call is run and kept if the call is refused. What a block
collects is shared out once, after its calls: 80 % to the treasury, 20 % to the author.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from frame.account import Account, Accounts
from frame.call import view
from frame.context import Context
from frame.currency import Currency
from frame.dispatch import CallWeights
from frame.event import Event
from frame.pallet import Pallet
from frame.validators import Authorship
from frame.weight import Weight
from primitives.codec import Record
from primitives.extrinsic import EXTRINSIC_BYTES_MAX, decode_extrinsic
from primitives.types import PARTS_PER_BILLION, U32, AccountId, Balance, Nonce

EncodedExtrinsic = Annotated[bytes, msgspec.Meta(max_length=EXTRINSIC_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    per_byte: Balance
    """Price of a byte of the encoded extrinsic: every node stores it."""

    per_nanosecond: Balance
    """Price of a nanosecond of reference time."""

    per_proof_byte: Balance
    """Price of a byte of proof size."""

    author_share: U32
    """Part of the fees, in parts per billion, that the author gets."""

    treasury: AccountId
    """Who gets the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What this pallet needs of others."""

    accounts: Accounts
    currency: Currency
    authorship: Authorship
    call_weights: CallWeights


class Quote(Record, frozen=True):
    """The parts of a fee."""

    length_fee: Balance
    weight_fee: Balance
    tip: Balance
    weight: Weight

    @property
    def total(self) -> int:
        """All of it."""
        return self.length_fee + self.weight_fee + self.tip


class FeePaid(Event, frozen=True):
    """An extrinsic was paid for."""

    who: AccountId
    fee: Balance
    """Tip included."""


class Fees(Pallet):
    """Charges signers, pays author and treasury."""

    NAME = "fees"
    EVENTS = (FeePaid,)

    def __init__(self, context: Context, config: Config, needs: Needs) -> None:
        """Nothing collected yet."""
        super().__init__(context)
        self.config = config
        self._needs = needs
        self._collected = 0

    @view
    def quote(self, extrinsic: EncodedExtrinsic) -> Quote:
        """What an extrinsic would cost; its signature is not looked at."""
        decoded = decode_extrinsic(extrinsic)
        weight = self._needs.call_weights.weight_of(decoded.call)
        return Quote(
            Balance(self.length_fee(len(extrinsic))), Balance(self.weight_fee(weight)), decoded.tip, weight
        )

    def length_fee(self, length_bytes: int) -> int:
        """The fee for an extrinsic's length."""
        return self.config.per_byte * length_bytes

    def weight_fee(self, weight: Weight) -> int:
        """The fee for a weight; the multiplier is one."""
        time_fee = self.config.per_nanosecond * weight.reference_time_ps // 1000
        return time_fee + self.config.per_proof_byte * weight.proof_size_bytes

    def charge(self, who: AccountId, account: Account, fee: Balance) -> None:
        """Count an extrinsic of `who` and collect its fee, which the account can pay: one write for both."""
        paid = Account(
            nonce=Nonce(account.nonce + 1),
            references=account.references,
            free=Balance(account.free - fee),
            held=account.held,
            frozen=account.frozen,
        )
        self._needs.accounts.update(who, paid)
        self._collected += fee
        self.deposit(FeePaid(who, fee))

    def return_fee(self, fee: Balance) -> None:
        """Collect a fee no longer whose charge was rolled back."""
        self._collected -= fee

    def on_finalize(self) -> None:
        """Share out what the block collected."""
        if self._collected:
            reward = self._collected * self.config.author_share // PARTS_PER_BILLION
            self._needs.currency.settle(self._needs.authorship.author(), Balance(reward))
            self._needs.currency.settle(self.config.treasury, Balance(self._collected - reward))
            self._collected = 0
