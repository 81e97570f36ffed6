"""What a call costs the machines that run and prove it, and which share of a block it may take."""

from enum import IntEnum

from primitives.codec import Record
from primitives.types import U63


class Weight(Record, frozen=True):
    """A cost in two dimensions."""

    reference_time_ps: U63
    """Time on the reference machine, in picoseconds."""

    proof_size_bytes: U63
    """How much state a proof of the execution would carry."""

    def __add__(self, other: "Weight") -> "Weight":
        """The cost of both."""
        return Weight(
            self.reference_time_ps + other.reference_time_ps, self.proof_size_bytes + other.proof_size_bytes
        )

    def times(self, count: int) -> "Weight":
        """The cost of `count` repetitions."""
        return Weight(self.reference_time_ps * count, self.proof_size_bytes * count)

    def fits(self, limit: "Weight") -> bool:
        """Whether neither dimension is above `limit`."""
        return (
            self.reference_time_ps <= limit.reference_time_ps
            and self.proof_size_bytes <= limit.proof_size_bytes
        )


class CallClass(IntEnum):
    """What a call is to the chain; each class has limits of its own."""

    NORMAL = 0
    """What users do."""

    OPERATIONAL = 1
    """What keeps the chain running; finds room where normal calls do not."""

    MANDATORY = 2
    """What has to be in the block: inherents."""


class Share(Record, frozen=True):
    """How much of a block one class may take."""

    weight: Weight
    length_bytes: U63
