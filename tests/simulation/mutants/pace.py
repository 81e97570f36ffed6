"""Bugs in time: when a view is given up, and who is thought to be dead."""

from typing import Any

from node.consensus import core
from node.consensus.core import Core
from node.consensus.interface import Action, TimedOut, Timer
from node.consensus.pace import Pace
from primitives.types import View
from primitives.vote import NO_BLOCK, VoteKind
from tests.simulation.mutants.plant import Family, Real

plant = Family("Time")


@plant.liveness("waits for ever for a leader that is dead", (core, "expiries_before_nullify"))
def never_gives_up(*_: Any) -> int:
    return 1 << 60


@plant.liveness("doubles its patience with every view that fails", (core, "expiries_before_nullify"))
def patience_doubles(_: Real, view: View, final_view: View) -> int:
    return 1 << min(40, max(0, view - final_view - 2))


@plant.liveness("never grows more patient", (core, "expiries_before_nullify"))
def patience_never_grows(*_: Any) -> int:
    return 1


@plant.liveness("finds a leader silent after one view without a word", (Pace, "enter"))
def silent_too_soon(_: Real, pace: Any, view: View, now_ms: Any, *, is_jump: bool) -> None:
    for index, (heard_view, _at) in enumerate(pace._heard):
        if view - heard_view >= 1:
            pace._silent.add(index)


@plant.liveness("lets a jump count as views in which nobody spoke", (Pace, "enter"))
def jump_held_against_all(real: Real, pace: Any, view: View, now_ms: Any, *, is_jump: bool) -> None:
    if is_jump:
        pace._silent |= set(range(len(pace._heard)))
    real(pace, view, now_ms, is_jump=False)


@plant.liveness("never believes again in a leader that was silent", (Pace, "hear"))
def silent_for_ever(real: Real, pace: Any, signer: Any, view: View, now_ms: Any) -> None:
    was_silent = signer in pace._silent
    real(pace, signer, view, now_ms)
    if was_silent:
        pace._silent.add(signer)


@plant.liveness("lets a leader that speaks at last have only the time of a silent one", (Pace, "rest_ms"))
def rest_withheld(*_: Any) -> int:
    return 0


@plant.liveness("gives every leader only the time of a silent one", (Pace, "is_silent"))
def everybody_silent(*_: Any) -> bool:
    return True


@plant.liveness("gives a view up as soon as it begins", (Core, "_enter"))
def nullify_at_once(real: Real, engine: Any, view: View) -> None:
    real(engine, view)
    engine._cast(VoteKind.NULLIFY, NO_BLOCK)


@plant.liveness("sets its timer once in a view", (Core, "handle"))
def timer_not_repeated(real: Real, engine: Any, observed: Any) -> list[Action]:
    actions: list[Action] = real(engine, observed)
    if isinstance(observed, TimedOut):
        return [act for act in actions if not (isinstance(act, Timer) and act.view == observed.view)]
    return actions
