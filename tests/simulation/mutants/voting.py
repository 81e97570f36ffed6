"""Bugs in casting and hearing votes: all of safety is there."""

from typing import Any

from node.consensus import core, tally
from node.consensus.ballot import Ballot
from node.consensus.core import Core
from node.consensus.interface import Disagreement, Persist, Send, Verdict
from node.consensus.messages import Cast
from node.consensus.tally import Tally
from node.consensus.views import Views
from primitives.certificate import Certificate
from primitives.types import BlockHash, View
from primitives.vote import NO_BLOCK, Evidence, Vote, VoteKind, vote_message
from tests.simulation.mutants.plant import Breaks, Family, Real, instead, value

plant = Family("Voting")


@plant.safety("casts FINALIZE in a view that it nullified", (Ballot, "may"))
def finalize_after_nullify(real: Real, ballot: Ballot, kind: VoteKind) -> bool:
    if kind == VoteKind.FINALIZE:
        return ballot.is_voting and kind not in ballot.mine
    return bool(real(ballot, kind))


def _nullifies_still(real: Real, ballot: Ballot, kind: VoteKind) -> bool:
    if kind == VoteKind.NULLIFY:
        return ballot.is_voting and kind not in ballot.mine
    return bool(real(ballot, kind))


def _stays_until_final(real: Real, engine: Any, view: View) -> None:
    if [certificate.kind for certificate in engine.views.at(View(view - 1))] != [VoteKind.NOTARIZE]:
        real(engine, view)


plant.register(
    "nullify_after_finalize",
    Breaks.SAFETY,
    "stays in a notarized view, and casts NULLIFY there after FINALIZE",
    instead(Ballot, "may", _nullifies_still),
    instead(Core, "_enter", _stays_until_final),
)


def _finalize_past(engine: Any, certificate: Certificate) -> None:
    epoch, view, block = engine.epoch, certificate.view, certificate.block
    message = vote_message(epoch.anchor_hash, VoteKind.FINALIZE, epoch.index, view, block)
    signature = engine.ballot._key.sign(message)
    vote = Vote(VoteKind.FINALIZE, epoch.index, view, block, engine.ballot.me, signature)
    engine.ballot._cast_before = (*engine.ballot._cast_before, vote)
    engine._out.add(Persist(vote), Send(None, Cast(vote)))


@plant.safety("casts FINALIZE for a past view on a late notarization", (Core, "_accept"))
def late_finalize(real: Real, engine: Any, certificate: Certificate) -> None:
    if certificate.kind == VoteKind.NOTARIZE and certificate.view < engine.view and engine.ballot.is_voting:
        _finalize_past(engine, certificate)
    real(engine, certificate)


@plant.safety("casts FINALIZE together with NOTARIZE", (Core, "_cast"))
def finalize_unnotarized(real: Real, engine: Any, kind: VoteKind, block: bytes) -> None:
    real(engine, kind, block)
    if kind == VoteKind.NOTARIZE:
        real(engine, VoteKind.FINALIZE, block)


def _forget_proposal(real: Real, engine: Any, peer: Any, message: Any) -> None:
    engine._proposals.pop(message.view, None)
    real(engine, peer, message)


def _judge_again(real: Real, engine: Any) -> None:
    mine = engine.ballot.mine
    first = mine.pop(VoteKind.NOTARIZE, None)
    if first and engine._proposals.get(engine.view) == first.block:
        mine[VoteKind.NOTARIZE] = first
    real(engine)
    if first and engine.ballot.mine is mine:
        mine.setdefault(VoteKind.NOTARIZE, first)


plant.register(
    "notarize_twice",
    Breaks.SAFETY,
    "votes for a second proposal of a view as for the first",
    instead(Core, "_proposal", _forget_proposal),
    instead(Core, "_judge", _judge_again),
)


@plant.safety("goes back to an earlier view on a late notarization", (Core, "_accept"))
def view_falls(real: Real, engine: Any, certificate: Certificate) -> None:
    if certificate.kind == VoteKind.NOTARIZE and certificate.view < engine.view:
        engine.ballot.view, engine.ballot.mine = certificate.view, {}
    real(engine, certificate)


@plant.safety("takes a notarized block for final, and switches epochs by it", (Core, "_accept"))
def final_at_notarization(real: Real, engine: Any, certificate: Certificate) -> None:
    real(engine, certificate)
    if certificate.kind == VoteKind.NOTARIZE and certificate.view > engine.views.final_view:
        engine.views.add(certificate)
        engine.views.final = certificate


@plant.safety("extends any parent, notarized or not", (Views, "is_justified"))
def parent_unnotarized(*_: Any) -> bool:
    return True


@plant.safety(
    "leaves views between a parent and its child that nobody nullified",
    (Views, "is_justified"),
)
def gap_without_nullifications(_: Real, views: Views, view: View, block: bytes) -> bool:
    return any(views.notarized(View(below)) == block for below in range(view))


@plant.safety("proposes on the highest notarized block, whatever it lacks above", (Views, "parent"))
def parent_over_gap(_: Real, views: Views, view: View) -> tuple[View, BlockHash] | None:
    """The gap on the leader's side."""
    for below in range(view - 1, views.final_view - 1, -1):
        block = views.notarized(View(below))
        if block is not None:
            return View(below), block
    return None


@plant.safety("casts NOTARIZE before the block is executed", (Core, "_judge"))
def vote_unexecuted(real: Real, engine: Any) -> None:
    tree = engine.tree
    tree.is_executed = lambda name: name == tree.tip_hash or tree.get(name) is not None
    real(engine)
    del tree.is_executed


@plant.safety("takes an invalid block for a valid one", (Core, "_verified"))
def invalid_accepted(real: Real, engine: Core, name: bytes, verdict: Verdict) -> None:
    real(engine, name, Verdict.VALID if verdict == Verdict.INVALID else verdict)


@plant.safety("does not look at the time of a proposed block's parent", (core, "misfits_parent"))
def timestamp_unchecked(*_: Any) -> bool:
    return False


@plant.safety("takes a proposal of the wrong author, height or epoch", (core, "is_misshapen"))
def shape_unchecked(*_: Any) -> bool:
    return False


@plant.safety("keeps a signer's newest vote in place of the first", (Tally, "add"))
def second_vote_replaces_first(real: Real, kept: Any, vote: Vote) -> list[Vote]:
    for (kind, block), votes in kept._views.get(vote.view, {}).items():
        if kind == vote.kind and block != vote.block:
            votes.pop(vote.signer, None)
    return list(real(kept, vote))


@plant.safety("takes NULLIFY with FINALIZE for no equivocation", (Tally, "add"))
def nullify_with_finalize_forgiven(real: Real, votes: Tally, vote: Vote) -> list[Vote]:
    return [other for other in real(votes, vote) if other.kind == vote.kind]


def _convicts_also_late(real: Real, first: Vote, second: Vote) -> bool:
    is_both = {first.kind, second.kind} == {VoteKind.NULLIFY, VoteKind.NOTARIZE}
    return is_both or bool(real(first, second))


plant.register(
    "notarize_after_nullify_convicted",
    Breaks.SAFETY,
    "takes NULLIFY with NOTARIZE for an equivocation",
    instead(tally, "conflict", _convicts_also_late),
    instead(core, "evidence_of", lambda _, first, second: Evidence(first, second)),
)


plant.register(
    "old_votes_dropped",
    Breaks.SAFETY,
    "does not compare votes below the last final view",
    value(core, "EVIDENCE_VIEWS", 0),
)


@plant.safety("goes on voting although somebody else signs with its key", (Ballot, "is_foreign"))
def foreign_vote_ignored(*_: Any) -> bool:
    return False


@plant.safety("signs from the first moment of a process", (Core, "__init__"))
def not_listening(real: Real, engine: Core, *arguments: Any, **more: Any) -> None:
    real(engine, *arguments, **{**more, "is_listening": False})


@plant.safety("casts NULLIFY at the expiry until which it should listen", (Core, "_expire"))
def nullify_while_listening(real: Real, engine: Core) -> None:
    engine.ballot.is_listening = False
    real(engine)


@plant.liveness("stops for good whenever a certificate names an unknown block", (Core, "_accept"))
def unknown_block_disagreed(real: Real, engine: Any, certificate: Certificate) -> None:
    if certificate.block != NO_BLOCK and engine.tree.header(certificate.block) is None:
        engine._mute(Disagreement(certificate))
    real(engine, certificate)
