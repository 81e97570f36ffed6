"""Bugs at the hand-over from one committee to the next, and in who leads."""

from dataclasses import replace
from typing import Any

from node.consensus import leaders
from node.consensus.core import Core
from node.consensus.doubts import Doubts
from node.consensus.epochs import Epochs
from node.consensus.interface import Action, Epoch, Received, Serve, ServeFinal
from primitives.certificate import Certificate
from primitives.committee import Committee
from primitives.types import AuthorityIndex, View
from tests.simulation.mutants.plant import Breaks, Family, Real, instead
from tests.simulation.validator import Validator

plant = Family("Epochs and leaders")


@plant.liveness("keeps no message of the next epoch", (Epochs, "_keep"))
def buffer_dropped(*_: Any) -> None:
    return None


@plant.safety("forgets the engine of the last epoch, and with it what convicts", (Epochs, "_testify"))
def witness_dropped(*_: Any) -> list[Action]:
    return []


def _begin_unmuted(real: Real, epochs: Any, *arguments: Any, **more: Any) -> list[Action]:
    if epochs.has_begun:
        epochs.core.ballot.is_muted = False
    actions: list[Action] = real(epochs, *arguments, **more)
    return actions


def _start_unmuted(real: Real, engine: Core, position: Any, memory: Any, **rest: Any) -> None:
    real(engine, position, replace(memory, stop=None), **rest)


plant.register(
    "stop_not_carried",
    Breaks.SAFETY,
    "votes again in the next epoch after it had to stop",
    instead(Epochs, "begin", _begin_unmuted),
    instead(Core, "__init__", _start_unmuted),
)


@plant.liveness("forgets at an epoch's end who is silent", (Epochs, "begin"))
def silence_not_carried(real: Real, epochs: Any, *arguments: Any, **more: Any) -> list[Action]:
    if epochs.has_begun:
        epochs.core._pace._silent.clear()
    actions: list[Action] = real(epochs, *arguments, **more)
    return actions


@plant.liveness("does not ask what ended an epoch that others have left", (Core, "overtaken"))
def overtaken_ignored(*_: Any) -> list[Action]:
    return []


@plant.liveness("does not tell what ended an epoch", (Epochs, "_route"))
def finals_not_served(real: Real, epochs: Epochs, received: Received) -> list[Action]:
    return [action for action in real(epochs, received) if not isinstance(action, ServeFinal)]


@plant.liveness("sends no block that it is asked for", (Epochs, "_route"))
def blocks_not_served(real: Real, epochs: Epochs, received: Received) -> list[Action]:
    return [action for action in real(epochs, received) if not isinstance(action, Serve)]


@plant.safety("takes answers and alarms of the old engine for the new one's", (Epochs, "handle"))
def old_alarms_heard(real: Real, epochs: Epochs, observed: Any) -> list[Action]:
    if isinstance(observed, Received):
        return list(real(epochs, observed))
    return epochs.core.handle(observed)


@plant.liveness("listens again at the start of each epoch", (Epochs, "begin"))
def listens_every_epoch(real: Real, epochs: Epochs, *arguments: Any, **more: Any) -> list[Action]:
    return list(real(epochs, *arguments, **{**more, "is_listening": True}))


@plant.liveness("takes every finalization below its own for a fork", (Doubts, "resolve"))
def doubts_too_soon(_: Real, doubts: Any, tree: Any, final_block: Any) -> Certificate | None:
    """What is not committed yet counts as contradicted."""
    conflicting = [cert for cert in doubts._waiting if cert.block not in tree.committed]
    doubts._waiting, doubts._peers = [], set()
    return conflicting[0] if conflicting else None


@plant.safety("gives every view to another leader than the schedule does", (Epoch, "leader"))
def leader_one_off(_: Real, epoch: Epoch, view: View) -> AuthorityIndex:
    return epoch.leaders[view % len(epoch.leaders)]


@plant.liveness("gives all views of an epoch to one leader", (Epoch, "leader"))
def one_leader_for_all(_: Real, epoch: Epoch, view: View) -> AuthorityIndex:
    return epoch.leaders[0]


@plant.liveness("deals turns by heads instead of stake", (leaders, "deal_turns"))
def turns_by_heads(_: Real, committee: Committee) -> list[int]:
    return [leaders.TURNS_PER_MEMBER] * len(committee.members)


@plant.liveness("goes on with its engine where it was, after sync moved the chain", (Validator, "_follow"))
def sync_not_followed(_: Real, node: Any) -> None:
    """What `advance` of the service decides."""
    node._has_moved = False


@plant.liveness("starts the engine of an epoch without hearing it out", (Core, "_start"))
def start_without_timer(real: Real, engine: Any) -> None:
    engine._set_timer = lambda _: None
    real(engine)
    del engine._set_timer
