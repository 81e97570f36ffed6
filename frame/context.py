"""What pallets share while one block runs."""

from dataclasses import dataclass

from frame.host import HostFunctions
from frame.state import Overlay
from primitives import signing
from primitives.certificate import Verifier
from primitives.outcome import EventRecord
from primitives.types import BlockHash, BlockNumber, EpochIndex, PublicKey, TimestampMs


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What a block is, before its body: the part of a header that calls may depend on."""

    epoch: EpochIndex
    height: BlockNumber
    parent: BlockHash
    timestamp_ms: TimestampMs
    author: PublicKey
    """Session key."""


class Context:
    """The state being written, the block it is written for, and the events so far."""

    def __init__(
        self, overlay: Overlay, block: BlockContext, host: HostFunctions, verify: Verifier = signing.verify
    ) -> None:
        """Without events. `verify` judges every signature, so that a node may remember verdicts."""
        self.overlay = overlay
        self.block = block
        self.host = host
        self.verify = verify
        self._events: list[EventRecord] = []

    def deposit(self, event: EventRecord) -> None:
        """Add an event, until `take_events` or a rollback."""
        self._events.append(event)

    def take_events(self) -> tuple[EventRecord, ...]:
        """The events since this was last asked."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def begin(self) -> tuple[int, int]:
        """Open a transaction over state and events; dropping the result commits it."""
        return self.overlay.begin(), len(self._events)

    def rollback(self, transaction: tuple[int, int]) -> None:
        """Undo every write and event of the transaction."""
        position, events = transaction
        self.overlay.rollback(position)
        del self._events[events:]
