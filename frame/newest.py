"""The newest records of a pallet: a new one takes the place of the oldest once there are enough."""

from dataclasses import dataclass
from typing import Any

from frame.storage import StorageMap, StorageValue
from primitives.types import Hash


@dataclass(frozen=True, slots=True)
class Newest:
    """The storage items that hold them, and how many; others stay provable in older states."""

    records: StorageMap[Hash, Any]
    """By identity."""

    sequence: StorageMap[int, Hash]
    """Identities in the order in which the records were made, counted from 0."""

    count: StorageValue[int]
    """Records ever made."""

    most: int

    def keep(self, id_: Hash, record: object) -> None:
        """Store a new record, in the place of the oldest if there is no room."""
        count = self.count.get()
        self.records.put(id_, record)
        self.sequence.put(count, id_)
        self.count.put(count + 1)
        oldest = count - self.most
        if oldest >= 0:
            self.records.remove(self.sequence.get(oldest))
            self.sequence.remove(oldest)

    def check_state(self) -> None:
        """Raises AssertionError unless just the newest are kept, each once."""
        count, sequence = self.count.get(), dict(self.sequence.items())
        assert sorted(sequence) == list(range(max(0, count - self.most), count))
        assert sorted(sequence.values()) == [id_ for id_, _ in self.records.items()]
