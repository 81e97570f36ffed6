"""What others are worth: scores that heal, and bans that end. Pure: time is an argument.

One ledger is kept for peers and one for the networks that they come from, so that a new key does not wipe
off what its owner did with the last one.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

SCORE_MAX: Final = 100
"""No reward buys more goodwill than one ban costs."""

BAN_SCORE: Final = -100
"""Who falls to this is banned."""

BAN_S: Final = 600.0
RECORDS_MAX: Final = 1024
"""Scores and bans that are remembered; what is no ban goes first, the oldest before the newer."""

Key = TypeVar("Key", bound=str)


class Standing(NamedTuple, Generic[Key]):
    """What one key is worth at some moment."""

    key: Key
    score: int
    ban_left_s: float
    """Seconds until its ban ends; 0 if there is none."""


@dataclass(slots=True)
class _Record:
    score: int = 0
    at: float = 0.0
    banned_until: float = 0.0


class Ledger(Generic[Key]):
    """Scores and bans by key."""

    def __init__(self, healing_per_s: float) -> None:
        """`healing_per_s`: how fast a negative score returns to 0."""
        self._healing_per_s = healing_per_s
        self._records: OrderedDict[Key, _Record] = OrderedDict()

    def score(self, key: Key, now: float) -> int:
        """From BAN_SCORE to SCORE_MAX; 0 for a stranger."""
        record = self._records.get(key)
        return self._healed(record, now) if record else 0

    def adjust(self, key: Key, change: int, now: float) -> bool:
        """Raise or lower a score; True if the key is banned by it."""
        record = self._records.setdefault(key, _Record(at=now))
        self._records.move_to_end(key)
        record.score = max(BAN_SCORE, min(SCORE_MAX, self._healed(record, now) + change))
        record.at = now
        banned = record.score <= BAN_SCORE
        if banned:
            record.score, record.banned_until = 0, now + BAN_S
        self._make_room(now)
        return banned

    def is_banned(self, key: Key, now: float) -> bool:
        """Whether the key is to be turned away now."""
        record = self._records.get(key)
        return record is not None and now < record.banned_until

    def standings(self, now: float) -> Iterator[Standing[Key]]:
        """All that is remembered, ordered by key."""
        for key in sorted(self._records):
            record = self._records[key]
            yield Standing(key, self._healed(record, now), max(0.0, record.banned_until - now))

    def restore(self, standing: Standing[Key], now: float) -> None:
        """Put back what an earlier life of this node remembered."""
        score = max(BAN_SCORE + 1, min(SCORE_MAX, standing.score))
        banned_until = now + min(BAN_S, standing.ban_left_s) if standing.ban_left_s > 0 else 0.0
        self._records[standing.key] = _Record(score, now, banned_until)
        self._make_room(now)

    def _make_room(self, now: float) -> None:
        while len(self._records) > RECORDS_MAX:
            harmless = (key for key, record in self._records.items() if record.banned_until <= now)
            del self._records[next(harmless, next(iter(self._records)))]

    def _healed(self, record: _Record, now: float) -> int:
        if record.score >= 0:
            return record.score
        return min(0, record.score + int((now - record.at) * self._healing_per_s))
