"""Gas: what a unit of the work that models cost is worth.

The price is a parameter of the chain: it holds for what is ordered from the next call on, and what was
ordered before is paid at the price of its time.
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
from primitives.types import U63, U63_MAX, Balance

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the runtime decides for this pallet."""

    per_million_initial: Balance
    """Price of a million units of gas until root sets another one."""

    per_million_max: Balance
    """Highest price: the most gas that validators take at a time must cost less than a balance can count."""


class PriceChanged(Event, frozen=True):
    """A million units of gas cost something else from now on."""

    per_million: Balance


class PriceOutOfRange(DispatchError):
    """The price is nothing, or more than the highest that the chain allows."""


class Gas(Pallet):
    """The price of gas, as root decides. Implements frame.gas.GasPrice."""

    NAME = "gas"
    EVENTS = (PriceChanged,)
    ERRORS = (PriceOutOfRange,)

    per_million = StorageValue[Balance](Balance)
    """Price of a million units; absent: the initial one."""

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

    def price_of(self, gas: int) -> Balance:
        """As in GasPrice."""
        return Balance(min(-(-gas * self.price() // _MILLION), U63_MAX))

    def check_state(self) -> None:
        """The price is one that could be set."""
        assert 0 < self.price() <= self.config.per_million_max
