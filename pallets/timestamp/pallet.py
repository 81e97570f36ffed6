"""Timestamp: the time on the chain, which is that of its headers. There is no timestamp call."""

from frame.call import view
from frame.clock import Pace
from frame.context import Context
from frame.error import InvalidBlock, Rejection
from frame.pallet import Pallet
from frame.storage import StorageValue
from primitives.types import TimestampMs


class Timestamp(Pallet):
    """Implements frame.clock.Clock."""

    NAME = "timestamp"

    now = StorageValue[TimestampMs](TimestampMs, default=TimestampMs(0))

    def __init__(self, context: Context, pace: Pace) -> None:
        """`pace` gives the block time."""
        super().__init__(context)
        self._pace = pace

    def build_genesis(self, now_ms: TimestampMs) -> None:
        """Start the clock at the timestamp of block 0."""
        self.now.put(now_ms)

    def on_initialize(self) -> None:
        """Advance. Raises InvalidBlock if the block comes less than the block time after its parent."""
        timestamp_ms = self.context.block.timestamp_ms
        if timestamp_ms < self.now.get() + self._pace.block_time_ms():
            raise InvalidBlock(Rejection.TOO_EARLY)
        self.now.put(timestamp_ms)

    @view
    def now_ms(self) -> TimestampMs:
        """The timestamp of the newest block, in milliseconds since the Unix epoch."""
        return self.now.get()
