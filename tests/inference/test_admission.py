"""Who gets a worker, and who waits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

import pytest

from inference.admission import Admission
from inference.unable import Busy, Unable


def any_worker(index: int) -> bool:
    return False


class Guest:
    """Takes a worker in a thread of its own, and gives it back when told."""

    def __init__(self, admission: Admission, long: bool = False) -> None:
        self._admission, self._long = admission, long
        self.outcome: int | Unable | None = None
        self.stack = ExitStack()
        self.thread = Thread(target=self._enter, daemon=True)
        self.thread.start()

    def _enter(self) -> None:
        try:
            self.outcome = self.stack.enter_context(self._admission.worker(long=self._long, likes=any_worker))
        except Unable as unable:
            self.outcome = unable

    def served(self) -> int | Unable | None:
        """What became of it, once it waits no more."""
        self.thread.join(30)
        return self.outcome


def queued(admission: Admission, long: bool = False) -> Guest:
    """A guest who certainly waits."""
    before = admission.waiting
    guest = Guest(admission, long)
    while admission.waiting == before:
        assert guest.outcome is None, "it was served at once"
    return guest


@contextmanager
def taken(admission: Admission, *long: bool) -> Iterator[list[ExitStack]]:
    """Workers in use, one for each argument."""
    stacks = [ExitStack() for _ in long]
    for stack, each in zip(stacks, long, strict=True):
        stack.enter_context(admission.worker(long=each, likes=any_worker))
    try:
        yield stacks
    finally:
        for stack in stacks:
            stack.close()


def test_workers_are_given_until_none_is_left() -> None:
    admission = Admission(2, 8)
    with (
        admission.worker(long=False, likes=any_worker) as first,
        admission.worker(long=False, likes=any_worker) as second,
    ):
        assert {first, second} == {0, 1}
        assert admission.idle == 0
    assert admission.idle == 2


def test_a_worker_that_suits_is_preferred() -> None:
    admission = Admission(3, 8)
    for index in (2, 0, 1):
        with admission.worker(long=False, likes=index.__eq__) as given:
            assert given == index


def test_without_a_preference_the_last_one_works_again() -> None:
    admission = Admission(3, 8)
    with admission.worker(long=False, likes=lambda each: each == 0):
        pass
    with admission.worker(long=False, likes=any_worker) as given:
        assert given == 0


def test_those_who_wait_are_served_in_their_order() -> None:
    admission = Admission(1, 8)
    with taken(admission, False) as (held,):
        first, second = queued(admission), queued(admission)
        held.close()
        assert first.served() == 0
        assert second.outcome is None
        first.stack.close()
        assert second.served() == 0
        second.stack.close()


def test_a_full_line_refuses_at_once() -> None:
    admission = Admission(1, 1)
    with taken(admission, False) as (held,):
        waiting = queued(admission)
        with pytest.raises(Busy, match="1 requests wait"):
            admission.worker(long=False, likes=any_worker).__enter__()
        assert admission.waiting == 1
        held.close()
        assert waiting.served() == 0
        waiting.stack.close()


def test_a_line_of_no_length_still_gives_idle_workers() -> None:
    admission = Admission(1, 0)
    with (
        admission.worker(long=False, likes=any_worker),
        pytest.raises(Busy),
        admission.worker(long=False, likes=any_worker),
    ):
        pass


def test_long_work_leaves_one_worker_to_the_rest() -> None:
    admission = Admission(3, 8)
    with taken(admission, True, True) as (held, _):
        long = queued(admission, long=True)
        with admission.worker(long=False, likes=any_worker):
            assert long.outcome is None
        assert long.outcome is None
        held.close()
        assert isinstance(long.served(), int)
        long.stack.close()


def test_short_work_does_not_hold_up_long_work_for_ever() -> None:
    admission = Admission(2, 8)
    with taken(admission, False, False) as (held, _):
        long, short = queued(admission, long=True), queued(admission)
        held.close()
        assert isinstance(long.served(), int)
        assert short.outcome is None
        long.stack.close()
        assert isinstance(short.served(), int)
        short.stack.close()


def test_a_single_worker_does_long_work_too() -> None:
    with Admission(1, 0).worker(long=True, likes=any_worker) as given:
        assert given == 0


def test_closing_sends_away_those_who_wait_and_those_who_come() -> None:
    admission = Admission(1, 8)
    with taken(admission, False):
        waiting = queued(admission)
        admission.close()
        assert isinstance(waiting.served(), Unable)
        assert admission.waiting == 0
    with pytest.raises(Unable, match="closed"):
        admission.worker(long=False, likes=any_worker).__enter__()
