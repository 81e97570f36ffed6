"""A pallet with one of everything, some of it built to break."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

import msgspec

from frame.call import call, inherent, view
from frame.context import BlockContext, Context
from frame.error import DispatchError, Unable, ensure
from frame.event import Event
from frame.origin import Origin, ensure_none, ensure_root, ensure_signed
from frame.pallet import Pallet
from frame.state import DictState, Overlay
from frame.storage import StorageDoubleMap, StorageMap, StorageValue
from frame.weight import CallClass, Weight
from primitives.codec import Record
from primitives.types import (
    U8,
    U63,
    AccountId,
    Balance,
    BlockHash,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    TimestampMs,
)

Text = Annotated[str, msgspec.Meta(max_length=8)]


class Colour(IntEnum):
    """Two of them."""

    RED = 0
    BLUE = 7


class Pair(Record, frozen=True):
    """Two parts."""

    left: U8
    right: Text | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Constants."""

    limit: Balance


class Noted(Event, frozen=True):
    """Something was noted."""

    who: AccountId
    pair: Pair


class Refused(DispatchError):
    """Always."""


class Probe(Pallet):
    """One of everything."""

    NAME = "probe"
    EVENTS = (Noted,)
    ERRORS = (Refused,)

    count = StorageValue[int](U63, default=0)
    pair = StorageValue[Pair](Pair)
    notes = StorageMap[AccountId, Pair](AccountId, Pair)
    grid = StorageDoubleMap[int, str, int](U8, Text, U63, default=0)

    @call(index=0, weight=Weight(1, 2))
    def note(self, origin: Origin, pair: Pair, refuse: bool) -> None:
        """Note a pair. Origin: Signed.

        `pair`: what to note,
            on more than one line.
        `refuse`: whether to write and then refuse.
        """
        who = ensure_signed(origin)
        self.count.put(self.count.get() + 1)
        self.notes.put(who, pair)
        self.deposit(Noted(who, pair))
        ensure(not refuse, Refused)

    @call(index=3, weight=lambda amount: Weight(amount, 0), call_class=CallClass.OPERATIONAL)
    def add(self, origin: Origin, amount: U63) -> None:
        """Count up. Origin: Root."""
        ensure_root(origin)
        self.count.put(self.count.get() + amount)

    @call(index=4, weight=Weight(1, 2))
    def nest(self, origin: Origin, pair: Pair) -> None:
        """Write, call what refuses, go on. Origin: Signed."""
        self.count.put(100)
        try:
            self.note(origin, pair, True)
        except Refused:
            self.deposit(Noted(ensure_signed(origin), pair))

    @inherent(index=5, weight=Weight(1, 2))
    def tell(self, origin: Origin, colour: Colour, is_able: bool) -> None:
        """Put in by the author."""
        ensure_none(origin)
        if not is_able:
            raise Unable("no")
        self.count.put(int(colour))

    @view
    def noted(self, who: AccountId) -> Pair | None:
        """What was noted.

        `who`: by whom.
        """
        return self.notes.find(who)

    def check_state(self) -> None:
        """At least as many counted as noted."""
        assert self.count.get() >= len(list(self.notes.items()))


def probe(state: DictState | None = None) -> Probe:
    """The pallet over a state of its own."""
    block = BlockContext(
        EpochIndex(1), BlockNumber(1), BlockHash(bytes(32)), TimestampMs(0), PublicKey(bytes(32))
    )
    return Probe(Context(Overlay(state or DictState()), block, NoModels()))


class NoModels:
    """A host that cannot run models."""

    def run_model(self, blob: Hash, certificate: bytes, inputs: bytes) -> bytes:
        """Raises Unable."""
        raise Unable("no models")
