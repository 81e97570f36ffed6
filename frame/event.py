"""Events: what a block tells the outside world."""

from primitives.codec import Record


class Event(Record, frozen=True):
    """Base of a pallet's events. Class name and fields are wire format."""
