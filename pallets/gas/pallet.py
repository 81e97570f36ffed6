"""Gas: what a unit of the work that models cost is worth, and a place among the open jobs.

Prices are parameters of the chain: they hold for what is ordered from the next call on, and what was ordered
before is paid at the prices of its time. Work that is not done is refunded; a place is not, for others were
kept out of it.
"""

from dataclasses import dataclass
from typing import Final

from frame.call import call, view
from frame.context import Context
from frame.error import DispatchError, ensure
from frame.event import Event
from frame.origin import Origin, ensure_root
from frame.pallet import Pallet
from frame.storage import StorageValue
from pallets.gas import weights
from primitives.codec import Record
from primitives.types import U63, U63_MAX, Balance

_MILLION: Final = 1_000_000


class SlotPrices(Record, frozen=True):
    """What a place among the open jobs costs, whatever becomes of the job."""

    per_job: Balance
    per_byte: Balance
    """For every byte of the input besides: nodes keep it for this job alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    per_million_initial: Balance
    """Price of a million units of gas until root sets another one."""

    per_million_max: Balance
    """Highest price: the most gas that validators take at a time must cost less than a balance can count."""

    slot_initial: SlotPrices
    """Prices of a place until root sets others."""

    slot_max: SlotPrices
    """Highest prices, likewise."""


class PriceChanged(Event, frozen=True):
    """A million units of gas cost something else from now on."""

    per_million: Balance


class SlotPricesChanged(Event, frozen=True):
    """A place among the open jobs costs something else from now on."""

    prices: SlotPrices


class PriceOutOfRange(DispatchError):
    """The price is nothing, or more than the highest that the chain allows."""


class Gas(Pallet):
    """The prices, as root decides. Implements frame.gas.GasPrice."""

    NAME = "gas"
    EVENTS = (PriceChanged, SlotPricesChanged)
    ERRORS = (PriceOutOfRange,)

    per_million = StorageValue[Balance](Balance)
    """Price of a million units; absent: the initial one."""

    slots = StorageValue[SlotPrices](SlotPrices)
    """Prices of a place; absent: the initial ones."""

    def __init__(self, context: Context, config: Config) -> None:
        """Needs nobody."""
        super().__init__(context)
        self.config = config

    @call(index=0, weight=weights.SET_PRICE)
    def set_price(self, origin: Origin, per_million: Balance) -> None:
        """Let gas cost something else from now on. Origin: Root.

        `per_million`: price of a million units, about 18 microseconds of reference time; above 0.
        """
        ensure_root(origin)
        ensure(0 < per_million <= self.config.per_million_max, PriceOutOfRange)
        self.per_million.put(per_million)
        self.deposit(PriceChanged(per_million))

    @call(index=1, weight=weights.SET_SLOT_PRICES)
    def set_slot_prices(self, origin: Origin, per_job: Balance, per_byte: Balance) -> None:
        """Let a place among the open jobs cost something else from now on. Origin: Root.

        `per_job`: for the place itself; above 0, so that nobody keeps others out for nothing.
        `per_byte`: for every byte of the input of the job besides.
        """
        ensure_root(origin)
        most = self.config.slot_max
        ensure(0 < per_job <= most.per_job and per_byte <= most.per_byte, PriceOutOfRange)
        prices = SlotPrices(per_job, per_byte)
        self.slots.put(prices)
        self.deposit(SlotPricesChanged(prices))

    @view
    def price(self) -> Balance:
        """Price of a million units of gas."""
        found = self.per_million.find()
        return self.config.per_million_initial if found is None else found

    @view
    def cost(self, gas: U63) -> Balance:
        """Price of some gas, rounded up; never more than a balance can count, which nobody has.

        `gas`: how many units.
        """
        return self.price_of(gas)

    @view
    def slot_prices(self) -> SlotPrices:
        """What a place among the open jobs costs; it is never given back."""
        found = self.slots.find()
        return self.config.slot_initial if found is None else found

    def slot_fee(self, input_bytes: int) -> Balance:
        """As in GasPrice."""
        prices = self.slot_prices()
        return Balance(min(prices.per_job + input_bytes * prices.per_byte, U63_MAX))

    def price_of(self, gas: int) -> Balance:
        """As in GasPrice."""
        return Balance(min(-(-gas * self.price() // _MILLION), U63_MAX))

    def check_state(self) -> None:
        """The prices are some that could be set."""
        assert 0 < self.price() <= self.config.per_million_max
        prices, most = self.slot_prices(), self.config.slot_max
        assert 0 < prices.per_job <= most.per_job
        assert prices.per_byte <= most.per_byte
