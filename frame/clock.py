"""The need for time, which on a chain is what its headers say."""

from typing import Protocol

from primitives.types import TimestampMs


class Clock(Protocol):
    """Who knows the time."""

    def now_ms(self) -> TimestampMs:
        """The timestamp of the block that runs."""
        ...


class Pace(Protocol):
    """Who knows how fast the chain goes."""

    def block_time_ms(self) -> int:
        """Least time from a block's timestamp to the next one's."""
        ...
