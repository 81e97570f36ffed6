"""Bugs in proposing, judging and catching up."""

from collections.abc import Iterator
from typing import Any

from node.consensus import core
from node.consensus.core import Core
from node.consensus.execution import Execution
from node.consensus.interface import Action, Build, Peer, Persist, Send, TimedOut, Verdict
from node.consensus.messages import Ask, AskBlock, Cast, Propose
from node.consensus.outbox import Outbox
from node.consensus.views import Views
from primitives.block import Block, Header
from primitives.certificate import Certificate
from primitives.types import TimestampMs, View
from primitives.vote import NO_BLOCK, VoteKind
from tests.simulation.mutants.plant import Breaks, Family, Real, instead, value

plant = Family("Proposing, judging and catching up")


def _believe(real: Real, engine: Any, peer: Peer, message: Propose) -> None:
    """What comes with a proposal is taken for the leader's word."""
    for certificate in message.certs:
        if engine.views.wants(certificate.kind, certificate.view) and certificate.epoch == engine.epoch.index:
            engine._accept(certificate)
    real(engine, peer, message)


plant.register(
    "proposal_certificates_believed",
    Breaks.SAFETY,
    "believes the certificates in a proposal, which any relay can alter",
    instead(Core, "_proposal", _believe),
)


@plant.liveness("takes the body of a proposal as it comes", (Core, "_is_whole"))
def body_unchecked(*_: Any) -> bool:
    return True


@plant.liveness("nullifies a proposal that it cannot justify yet", (Core, "_judge"))
def unjustified_nullified(real: Real, engine: Any) -> None:
    name = engine._proposals.get(engine.view)
    block = engine.tree.get(name) if name else None
    if block is not None and name is not None:
        base = block.header.parent if block.header.view == engine.view else name
        if not engine.views.is_justified(engine.view, base):
            engine._cast(VoteKind.NULLIFY, NO_BLOCK)
    real(engine)


@plant.liveness("nullifies a proposal that its clock finds early", (Core, "_is_early"))
def early_nullified(real: Real, engine: Any, header: Header) -> bool:
    is_early = bool(real(engine, header))
    if is_early:
        engine._cast(VoteKind.NULLIFY, NO_BLOCK)
    return is_early


def _note_clock(real: Real, engine: Any, observed: Any) -> list[Action]:
    engine._execution.now_ms = observed.now_ms
    return list(real(engine, observed))


def _await_clock(real: Real, execution: Any, name: Any) -> bool:
    header = execution._tree.header(name)
    now_ms = getattr(execution, "now_ms", header.timestamp_ms if header else 0)
    if header is not None and header.timestamp_ms > now_ms + execution._epoch.settings.delta_ms:
        return False
    return bool(real(execution, name))


plant.register(
    "notarized_judged_by_clock",
    Breaks.LIVENESS,
    "executes nothing that its clock finds early, notarized or not",
    instead(Core, "handle", _note_clock),
    instead(Execution, "is_ready", _await_clock),
)


@plant.liveness("takes a block that it is unable to execute for an invalid one", (Core, "_verified"))
def unable_is_invalid(real: Real, engine: Core, name: Any, verdict: Verdict) -> None:
    real(engine, name, Verdict.INVALID if verdict == Verdict.UNABLE else verdict)


@plant.liveness("never retries a block that it was unable to execute", (Core, "_set_timer"))
def unable_never_retried(real: Real, engine: Any, delay_ms: int) -> None:
    unable = set(engine._execution._unable)
    real(engine, delay_ms)
    engine._execution._unable |= unable


@plant.liveness("proposes blocks by its clock alone, too soon after their parent", (Core, "_build"))
def built_too_soon(_: Real, engine: Any, parent: Header) -> None:
    engine._building = engine.view
    now_ms = TimestampMs(max(engine._now, parent.timestamp_ms + 1))
    engine._out.add(Build(engine.epoch.index, engine.view, parent, now_ms, is_empty=False))


@plant.liveness("goes on above the epoch's last block instead of proposing it again", (Core, "_lead"))
def built_beyond_the_end(real: Real, engine: Any) -> None:
    parent = engine.views.parent(engine.view)
    header = engine.tree.header(parent[1]) if parent else None
    if header is None or not engine.epoch.is_last(header):
        real(engine)
    elif engine._building != engine.view and engine.ballot.may(VoteKind.NOTARIZE):
        engine._build(header)


@plant.liveness("refuses the epoch's last block when it is proposed again", (Core, "_judge"))
def last_block_not_justified_by_itself(real: Real, engine: Any) -> None:
    name = engine._proposals.get(engine.view)
    block = engine.tree.get(name) if name else None
    if block is None or block.header.view == engine.view:
        real(engine)


@plant.liveness("sends nothing again", (Core, "handle"))
def never_resent(real: Real, engine: Core, observed: Any) -> list[Action]:
    actions: list[Action] = real(engine, observed)
    if not isinstance(observed, TimedOut):
        return actions
    new = [act.item for act in actions if isinstance(act, Persist)]
    return [
        act
        for act in actions
        if not isinstance(act, Send) or not isinstance(act.message, Cast | Propose) or act.message.vote in new
    ]


@plant.liveness("sends a vote again without the block that it is for", (Core, "_expire"))
def proposal_not_resent(real: Real, engine: Any) -> None:
    utterance = engine._utterance
    engine._utterance = Cast
    real(engine)
    engine._utterance = utterance


@plant.liveness("does not answer whoever asks for certificates", (Outbox, "may_answer"))
def asks_unanswered(*_: Any) -> bool:
    return False


@plant.liveness("asks for no certificates", (Outbox, "send"))
def never_asks(real: Real, outbox: Outbox, message: Any, *peers: Peer) -> None:
    if not isinstance(message, Ask):
        real(outbox, message, *peers)


@plant.liveness("asks for no blocks", (Outbox, "send"))
def never_fetches(real: Real, outbox: Outbox, message: Any, *peers: Peer) -> None:
    if not isinstance(message, AskBlock):
        real(outbox, message, *peers)


@plant.liveness(
    "answers with what was asked for, and not with what brings the asker on",
    (Views, "answer"),
)
def answer_does_not_advance(_: Real, views: Views, __: View, start: View) -> Iterator[Certificate]:
    for below in range(min(start, views.newest), views.final_view, -1):
        yield from views.at(View(below))


@plant.liveness("asks from a place that no answer moves", (Outbox, "ask"), (Outbox, "ask_once"))
def cursor_stands_still(real: Real, outbox: Any, *arguments: Any) -> None:
    """It only rises; what an answer was too small for is never asked for."""
    start = next(argument for argument in arguments if isinstance(argument, int))
    outbox._highest = max(getattr(outbox, "_highest", start), start)
    real(outbox, *(outbox._highest if argument is start else argument for argument in arguments))


@plant.liveness("follows a certificate only from its own view on, and never jumps", (Core, "_accept"))
def jump_ignored(real: Real, engine: Any, certificate: Certificate) -> None:
    if certificate.view <= engine.view:
        real(engine, certificate)


@plant.liveness("stays in a nullified view although it is notarized late", (Core, "_accept"))
def late_notarization_ignored(real: Real, engine: Any, certificate: Certificate) -> None:
    is_late = certificate.view == engine.view and VoteKind.NULLIFY in engine.ballot.mine
    if not (is_late and certificate.kind == VoteKind.NOTARIZE):
        real(engine, certificate)


@plant.liveness("leaves a notarized view only when its block is final", (Core, "_enter"))
def waits_for_finality(real: Real, engine: Any, view: View) -> None:
    held = [certificate.kind for certificate in engine.views.at(View(view - 1))]
    if held != [VoteKind.NOTARIZE]:
        real(engine, view)


@plant.liveness(
    "sends proposals without their proof, and certificates to no new leader",
    (Outbox, "send_certificates"),
)
def leader_not_told(real: Real, outbox: Outbox, certs: Any, peer: Peer) -> None:
    return None


@plant.liveness("sends proposals without their proof", (Views, "proof"))
def proposals_without_proof(*_: Any) -> list[Certificate]:
    return []


@plant.liveness("asks once in a view, whatever for", (Outbox, "ask_once"))
def one_question_for_all(real: Real, outbox: Outbox, _: str, *rest: Any) -> None:
    real(outbox, "anything", *rest)


plant.register(
    "ahead_dropped",
    Breaks.LIVENESS,
    "takes in nothing that is ahead of its own view",
    value(core, "VIEWS_AHEAD", 0),
)


@plant.liveness(
    "takes blocks only from the leader, and no ancestors of what it fetched",
    (Core, "_block"),
)
def ancestors_refused(real: Real, engine: Any, peer: Peer, block: Block) -> None:
    real(engine, peer, block)
    engine._out._expected.clear()
