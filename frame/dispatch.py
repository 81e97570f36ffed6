"""The need to look at, or run, calls of any pallet."""

from typing import Protocol

from frame.origin import Origin
from frame.weight import Weight
from primitives.extrinsic import Call
from primitives.outcome import Failure


class CallWeights(Protocol):
    """Who knows what calls cost."""

    def weight_of(self, call: Call) -> Weight:
        """What an extrinsic with this call weighs, all included. Raises InvalidTransaction."""
        ...


class Dispatcher(Protocol):
    """Runs calls that did not come as an extrinsic: of batches, schedules, enacted proposals."""

    def dispatch(self, origin: Origin, call: Call) -> Failure | None:
        """Run `call` in its own transaction, and say how it went. Raises InvalidTransaction for no call."""
        ...
