"""How much of a block is taken."""

from frame.weight import CallClass, Share, Weight
from runtime.constants import BLOCK_SHARE, SHARES


class Meter:
    """Weight and bytes taken so far, by class and in all."""

    def __init__(self) -> None:
        """An empty block."""
        self._total = _Room(BLOCK_SHARE)
        self._by_class = {call_class: _Room(share) for call_class, share in SHARES.items()}

    @property
    def weight(self) -> Weight:
        """The weight of all calls so far."""
        return Weight(
            BLOCK_SHARE.weight.reference_time_ps - self._total.reference_time_ps,
            BLOCK_SHARE.weight.proof_size_bytes - self._total.proof_size_bytes,
        )

    def has_room(self, call_class: CallClass, weight: Weight, length_bytes: int) -> bool:
        """Whether one more call fits."""
        mine = self._by_class[call_class]
        return mine.holds(weight, length_bytes) and self._total.holds(weight, length_bytes)

    def take(self, call_class: CallClass, weight: Weight, length_bytes: int) -> None:
        """Take room for one more call, which fits."""
        self._by_class[call_class].take(weight, length_bytes)
        self._total.take(weight, length_bytes)


class _Room:
    """What is left of a share."""

    __slots__ = ("length_bytes", "proof_size_bytes", "reference_time_ps")

    def __init__(self, share: Share) -> None:
        self.reference_time_ps = share.weight.reference_time_ps
        self.proof_size_bytes = share.weight.proof_size_bytes
        self.length_bytes = share.length_bytes

    def holds(self, weight: Weight, length_bytes: int) -> bool:
        return (
            weight.reference_time_ps <= self.reference_time_ps
            and weight.proof_size_bytes <= self.proof_size_bytes
            and length_bytes <= self.length_bytes
        )

    def take(self, weight: Weight, length_bytes: int) -> None:
        self.reference_time_ps -= weight.reference_time_ps
        self.proof_size_bytes -= weight.proof_size_bytes
        self.length_bytes -= length_bytes
