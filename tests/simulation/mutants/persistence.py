"""Bugs in what is written down, when, and read again: each step that can be forgotten."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from node.consensus.core import Core
from node.consensus.interface import Action, Commit, Persist, Send, Stop
from node.consensus.tree import Tree
from primitives.block import Block
from primitives.certificate import Certificate
from primitives.vote import Vote, VoteKind
from tests.simulation.mutants.plant import Breaks, Family, Real, instead

plant = Family("Writing down")

HANDLE = (Core, "handle")


def _forgets(name: str, what: str, is_forgotten: Callable[[Any], bool]) -> None:
    """Declare a mutant that does not persist some items."""

    def handle(real: Real, engine: Core, observed: Any) -> list[Action]:
        actions: list[Action] = real(engine, observed)
        return [act for act in actions if not (isinstance(act, Persist) and is_forgotten(act.item))]

    plant.register(name, Breaks.SAFETY, what, instead(Core, "handle", handle))


def _forgets_votes(kind: VoteKind) -> None:
    _forgets(
        f"{kind.name.lower()}_not_persisted",
        f"does not write down that it cast {kind.name}",
        lambda item: isinstance(item, Vote) and item.kind == kind,
    )


for _kind in VoteKind:
    _forgets_votes(_kind)

_forgets("block_not_persisted", "does not write blocks down", lambda item: isinstance(item, Block))
_forgets(
    "notarization_not_persisted",
    "does not write down the notarization that its FINALIZE follows from",
    lambda item: isinstance(item, Certificate) and item.kind == VoteKind.NOTARIZE,
)
_forgets(
    "nullification_not_persisted",
    "does not write down the nullification by which it left a view",
    lambda item: isinstance(item, Certificate) and item.kind == VoteKind.NULLIFY,
)
_forgets(
    "finalization_not_persisted",
    "does not write down the finalization by which it commits",
    lambda item: isinstance(item, Certificate) and item.kind == VoteKind.FINALIZE,
)

_forgets(
    "stop_not_persisted",
    "does not write down that it must never vote again",
    lambda item: isinstance(item, Stop),
)


def _reorders(name: str, what: str, rank: Callable[[Action], bool]) -> None:
    """Declare a mutant that performs its actions in another order."""

    def handle(real: Real, engine: Core, observed: Any) -> list[Action]:
        return sorted(real(engine, observed), key=rank)

    plant.register(name, Breaks.SAFETY, what, instead(Core, "handle", handle))


_reorders(
    "sent_before_durable", "sends votes before they are durable", lambda action: not isinstance(action, Send)
)
_reorders(
    "committed_before_durable",
    "commits before the finalization is durable",
    lambda action: not isinstance(action, Commit),
)
_reorders(
    "block_after_vote",
    "writes the vote down before its block",
    lambda action: isinstance(action, Persist) and isinstance(action.item, Block),
)


@plant.safety("commits the highest block first", (Tree, "path"))
def committed_backwards(real: Real, *arguments: Any) -> tuple[Block, ...]:
    return tuple(reversed(real(*arguments)))


@plant.safety("commits only the block that the certificate names", (Tree, "path"))
def ancestors_not_committed(real: Real, *arguments: Any) -> tuple[Block, ...]:
    return tuple(real(*arguments)[-1:])


@plant.safety("does not read its votes after a restart", (Core, "__init__"))
def votes_forgotten(real: Real, engine: Core, position: Any, memory: Any, **rest: Any) -> None:
    real(engine, position, replace(memory, votes=(), heard=()), **rest)


@plant.liveness("does not read its certificates after a restart", (Core, "__init__"))
def certificates_forgotten(real: Real, engine: Core, position: Any, memory: Any, **rest: Any) -> None:
    real(engine, position, replace(memory, certificates=()), **rest)


@plant.liveness("does not count its own votes after a restart", (Core, "_start"))
def own_votes_not_counted(real: Real, engine: Any) -> None:
    engine._votes_before = ()
    real(engine)


@plant.liveness("does not read the blocks that wait for finality after a restart", (Core, "__init__"))
def blocks_forgotten(real: Real, engine: Core, position: Any, memory: Any, **rest: Any) -> None:
    real(engine, replace(position, blocks=()), memory, **rest)


@plant.safety("forgets after a restart what others voted", (Core, "__init__"))
def heard_forgotten(real: Real, engine: Core, position: Any, memory: Any, **rest: Any) -> None:
    real(engine, position, replace(memory, heard=()), **rest)
