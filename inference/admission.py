"""Who may use which worker, and when: a bounded line, in which long work never holds up all that is short."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Final

from inference.unable import Busy, Unable

Liking = Callable[[int], bool]
"""Whether a worker suits the work better than another."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """One who waits."""

    long: bool
    likes: Liking
    worker: int | None = field(default=None)


class Admission:
    """Workers are given in the order of arrival; one of them is kept for short work, if there are two."""

    def __init__(self, workers: int, waiting_max: int) -> None:
        self._idle: Final = list(range(workers))
        """The one that worked last comes last: it has its models in the cache of the processor."""
        self._long_max: Final = max(1, workers - 1)
        self._waiting_max: Final = waiting_max
        self._changed: Final = Condition()
        self._line: Final[deque[_Ticket]] = deque()
        self._long = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @contextmanager
    def worker(self, *, long: bool, likes: Liking) -> Iterator[int]:
        """Wait for a worker, and have it. Raises Busy at once if too many wait, Unable once closed."""
        index = self._wait(_Ticket(long, likes))
        try:
            yield index
        finally:
            with self._changed:
                self._idle.append(index)
                self._long -= long
                self._give()

    def close(self) -> None:
        """Send away all who wait, and all who come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, ticket: _Ticket) -> int:
        with self._changed:
            self._line.append(ticket)
            self._give()
            if ticket.worker is None and not self._closed and len(self._line) > self._waiting_max:
                self._line.remove(ticket)
                raise Busy(f"{self._waiting_max} requests wait for a worker already")
            while ticket.worker is None:
                if self._closed:
                    self._line.remove(ticket)
                    raise Unable("the workers are closed")
                self._changed.wait()
            return ticket.worker

    def _give(self) -> None:
        """Every idle worker to the first who may have one."""
        for ticket in list(self._line):
            if not self._idle or self._closed:
                break
            if ticket.long and self._long >= self._long_max:
                continue
            ticket.worker = next((each for each in self._idle if ticket.likes(each)), self._idle[-1])
            self._idle.remove(ticket.worker)
            self._long += ticket.long
            self._line.remove(ticket)
        self._changed.notify_all()
