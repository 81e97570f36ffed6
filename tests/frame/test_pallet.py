"""What the framework promises to pallets, tried on one built to break it."""

import pytest

from frame.call import call, declaration_of
from frame.error import DispatchError, Unable
from frame.event import Event
from frame.origin import BadOrigin, Nobody, Origin, Root, Signed
from frame.pallet import Pallet
from frame.weight import Weight
from primitives.outcome import Failure
from primitives.types import AccountId
from tests.frame.probe import Colour, Noted, Pair, Probe, Refused, probe

WHO = AccountId(b"\x07" * 32)
PAIR = Pair(1, "x")


def test_a_call_writes_and_reports() -> None:
    pallet = probe()
    pallet.note(Signed(WHO), PAIR, False)
    assert (pallet.count.get(), pallet.noted(WHO)) == (1, PAIR)
    (event,) = pallet.context.take_events()
    assert (event.pallet, event.event) == ("probe", "Noted")
    assert event.fields == b"\x92\xc4\x20" + WHO + b"\x92\x01\xa1x"


def test_a_refused_call_leaves_no_write_and_no_event() -> None:
    pallet = probe()
    with pytest.raises(Refused):
        pallet.note(Signed(WHO), PAIR, True)
    assert pallet.context.overlay.changes() == ()
    assert pallet.context.take_events() == ()


def test_a_refused_call_within_a_call_undoes_only_itself() -> None:
    pallet = probe()
    pallet.nest(Signed(WHO), PAIR)
    assert (pallet.count.get(), pallet.notes.find(WHO)) == (100, None)
    assert len(pallet.context.take_events()) == 1


def test_a_machine_in_trouble_leaves_no_trace_either() -> None:
    pallet = probe()
    with pytest.raises(Unable):
        pallet.tell(Nobody(), Colour.RED, False)
    assert pallet.context.overlay.changes() == ()


@pytest.mark.parametrize("origin", [Root(), Nobody()])
def test_a_signed_call_refuses_other_origins(origin: Origin) -> None:
    with pytest.raises(BadOrigin):
        probe().note(origin, PAIR, False)


@pytest.mark.parametrize("origin", [Signed(WHO), Nobody()])
def test_a_root_call_refuses_other_origins(origin: Origin) -> None:
    with pytest.raises(BadOrigin):
        probe().add(origin, 1)


@pytest.mark.parametrize("origin", [Signed(WHO), Root()])
def test_an_inherent_refuses_other_origins(origin: Origin) -> None:
    with pytest.raises(BadOrigin):
        probe().tell(origin, Colour.BLUE, True)


def test_an_error_is_named_after_its_class_and_pallet() -> None:
    assert Refused().failure() == Failure("probe", "Refused")


def test_an_undeclared_event_is_a_bug() -> None:
    class Stray(Event, frozen=True):
        """Listed nowhere."""

    with pytest.raises(KeyError):
        probe().deposit(Stray())
    assert Noted in Probe.EVENTS


def test_an_index_used_twice_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="twice"):

        class Twice(Pallet):
            """Two calls with one index."""

            NAME = "twice"

            @call(index=0, weight=Weight(0, 0))
            def one(self, origin: Origin) -> None:
                """One."""

            @call(index=0, weight=Weight(0, 0))
            def other(self, origin: Origin) -> None:
                """Other."""


def test_an_error_belongs_to_one_pallet() -> None:
    class Shared(DispatchError):
        """Listed twice."""

    class First(Pallet):
        """Lists it."""

        NAME = "first"
        ERRORS = (Shared,)

    with pytest.raises(AssertionError, match="belongs to first"):

        class Second(Pallet):
            """Lists it again."""

            NAME = "second"
            ERRORS = (Shared,)

    assert First.NAME == "first"


def test_a_weight_may_depend_on_the_arguments() -> None:
    assert Probe.calls[3].weigh((5,)) == Weight(5, 0)
    assert Probe.calls[0].weigh((PAIR, False)) == Weight(1, 2)
    assert declaration_of(Probe.note) is Probe.calls[0]
