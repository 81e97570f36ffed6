"""Planted bugs, each of which some oracle must notice: `python -m tests.simulation.mutants`.

Prints one line for each: the oracle that noticed and the seed in which it did. Exits 1 if a mutant survives.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from node.consensus.core import Core
from node.consensus.interface import Action, Heard, Input, Persist, Send, TimedOut, Verdict
from node.consensus.messages import Cast, Propose
from primitives.certificate import Certificate, Verifier
from primitives.committee import Committee
from primitives.hashing import domain
from primitives.types import BlockHash, Signature, View
from primitives.vote import Vote, VoteKind
from tests.simulation.keys import SimulatedKey
from tests.simulation.scenario import Bend, Outcome
from tests.simulation.stage import run_seed

SEEDS = range(1, 401)
"""Seeds that a mutant is given to survive."""

HINTS: dict[str, tuple[int, ...]] = {
    "DoesNotRecount": (70, 122),
    "FinalizesAtNotarization": (41,),
    "ForgetsCertificates": (21,),
    "SkipsNullifications": (331,),
    "TrustsParents": (331,),
    "UnsignedEpoch": (55, 76),
    "UnsignedKind": (287,),
    "UnsignedView": (47,),
}
"""Seeds tried first, so that the rare ones are found quickly; any seed serves."""


class HalfQuorum(Committee, frozen=True):
    """Half of the stake is enough."""

    def is_quorum(self, indices: Iterable[int]) -> bool:
        return 2 * sum(self.members[index].stake for index in set(indices)) > self.total


class HeadCount(Committee, frozen=True):
    """Heads count, not stake."""

    def is_quorum(self, indices: Iterable[int]) -> bool:
        return 3 * len(set(indices)) > 2 * len(self.members)


class ForgetsVotes(Core):
    """Votes do not survive a restart."""

    def __init__(self, position: Any, memory: Any, **rest: Any) -> None:
        super().__init__(position, replace(memory, votes=(), heard=()), **rest)


class ForgetsCertificates(Core):
    """Certificates do not survive a restart."""

    def __init__(self, position: Any, memory: Any, **rest: Any) -> None:
        super().__init__(position, replace(memory, certificates=()), **rest)


class DoesNotRecount(Core):
    """Own votes are remembered after a restart, but not counted."""

    def _start(self) -> None:
        self._votes_before = ()
        super()._start()


class FinalizesAfterNullify(Core):
    """FINALIZE although the view was given up."""

    def _cast(self, kind: VoteKind, block: bytes) -> None:
        if kind == VoteKind.FINALIZE:
            self.ballot.mine.pop(VoteKind.NULLIFY, None)
        super()._cast(kind, block)


class NotarizesTwice(Core):
    """A second proposal of a view gets a vote like the first."""

    def _proposal(self, peer: Any, message: Any) -> None:
        self._proposals.pop(message.view, None)
        super()._proposal(peer, message)

    def _judge(self) -> None:
        first = self.ballot.mine.pop(VoteKind.NOTARIZE, None)
        if first and self._proposals.get(self.view) == first.block:
            self.ballot.mine[VoteKind.NOTARIZE] = first
        super()._judge()


class FinalizesAtNotarization(Core):
    """A notarized block counts as final; at its end the epoch is switched too early."""

    def _accept(self, certificate: Certificate) -> None:
        super()._accept(certificate)
        if certificate.kind == VoteKind.NOTARIZE and certificate.view > self.views.final_view:
            self.views.add(certificate)
            self.views.final = certificate


class TrustsParents(Core):
    """Any parent will do."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.views.is_justified = lambda view, block: True  # type: ignore[method-assign]


class SkipsNullifications(Core):
    """The views between a parent and its child need not be nullified."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        views = self.views
        self.views.is_justified = (  # type: ignore[method-assign]
            lambda view, block: any(views.notarized(View(v)) == block for v in range(view))
        )


class VotesUnexecuted(Core):
    """NOTARIZE as soon as a proposal looks right."""

    def _judge(self) -> None:
        tree = self.tree
        tree.is_executed = (  # type: ignore[method-assign]
            lambda name: name == tree.tip_hash or tree.get(name) is not None
        )
        super()._judge()
        del tree.is_executed


class AcceptsInvalid(Core):
    """An invalid block passes for a valid one."""

    def _verified(self, name: BlockHash, verdict: Verdict) -> None:
        super()._verified(name, Verdict.VALID if verdict == Verdict.INVALID else verdict)


class SendsFirst(Core):
    """A vote leaves before it is durable."""

    def handle(self, observed: Input) -> list[Action]:
        actions = super().handle(observed)
        return sorted(actions, key=lambda action: not isinstance(action, Send))


class PersistsNoVotes(Core):
    """Votes are not written down at all."""

    def handle(self, observed: Input) -> list[Action]:
        return [
            action
            for action in super().handle(observed)
            if not (isinstance(action, Persist) and isinstance(action.item, Vote))
            and not isinstance(action, Heard)
        ]


class NeverRepeats(Core):
    """No vote is sent again."""

    def handle(self, observed: Input) -> list[Action]:
        actions = super().handle(observed)
        new = [action.item for action in actions if isinstance(action, Persist)]
        return [
            action
            for action in actions
            if not isinstance(action, Send)
            or not isinstance(action.message, Cast | Propose)
            or action.message.vote in new
        ]


class NeverGivesUp(Core):
    """A view whose leader is dead is waited for."""

    def handle(self, observed: Input) -> list[Action]:
        if isinstance(observed, TimedOut):
            self.ballot.mine.setdefault(VoteKind.NULLIFY, None)  # type: ignore[arg-type]
        return super().handle(observed) if not isinstance(observed, TimedOut) else []


class BuildsBeyondTheEnd(Core):
    """The epoch's last block is not proposed again: its leader goes on."""

    def _lead(self) -> None:
        parent = self.views.parent(self.view)
        header = self.tree.header(parent[1]) if parent else None
        if header is None or not self.epoch.is_last(header):
            super()._lead()
        elif self._building != self.view and self.ballot.may(VoteKind.NOTARIZE):
            self._build(header)


class ForgetsSelfJustification(Core):
    """The epoch's last block is not its own parent, so that proposing it again convinces nobody."""

    def _judge(self) -> None:
        name = self._proposals.get(self.view)
        block = self.tree.get(name) if name else None
        if block is None or block.header.view == self.view:
            super()._judge()


class FallsBack(Core):
    """A late notarization takes the view back."""

    def _accept(self, certificate: Certificate) -> None:
        if certificate.kind == VoteKind.NOTARIZE and certificate.view < self.view:
            self.ballot.view, self.ballot.mine = certificate.view, {}
        super()._accept(certificate)


class Blind:
    """A key that overlooks some bytes of what it signs."""

    def __init__(self, key: SimulatedKey, blank: "Blank") -> None:
        self._key, self._blank = key, blank
        self.public_key = key.public_key

    def sign(self, message: bytes) -> Signature:
        """The same signature for messages that differ in those bytes only."""
        return self._key.sign(self._blank(message))


Blank = Callable[[bytes], bytes]


def leaves_out(*fields: str) -> Bend:
    """Signatures do not cover some fields of a vote."""
    offset = len(domain("vote/1"))
    spans = {"kind": (32, 40), "anchor": (0, 32), "epoch": (40, 48), "view": (48, 56), "block": (56, 88)}

    def blank(message: bytes) -> bytes:
        for field in fields:
            start, stop = (offset + edge for edge in spans[field])
            stop = min(stop, len(message))
            message = message[:start] + bytes(max(0, stop - start)) + message[stop:]
        return message

    def blind_verifier(verifier: Verifier) -> Verifier:
        return lambda key, message, signature: verifier(key, blank(message), signature)

    return Bend(key=lambda key: Blind(key, blank), verifier=blind_verifier)


def trusts_signatures(_: Verifier) -> Verifier:
    """Any 64 bytes pass for a signature."""
    return lambda key, message, signature: True


CORES: tuple[type[Core], ...] = (
    ForgetsVotes,
    ForgetsCertificates,
    DoesNotRecount,
    FinalizesAfterNullify,
    NotarizesTwice,
    FinalizesAtNotarization,
    TrustsParents,
    SkipsNullifications,
    VotesUnexecuted,
    AcceptsInvalid,
    SendsFirst,
    PersistsNoVotes,
    NeverRepeats,
    NeverGivesUp,
    BuildsBeyondTheEnd,
    ForgetsSelfJustification,
    FallsBack,
)

MUTANTS: dict[str, Bend] = {
    **{core.__name__: Bend(core=core) for core in CORES},
    "HalfQuorum": Bend(committee=HalfQuorum),
    "HeadCount": Bend(committee=HeadCount),
    "TrustsSignatures": Bend(verifier=trusts_signatures),
    "UnsignedKind": leaves_out("kind"),
    "UnsignedView": leaves_out("view"),
    "UnsignedBlock": leaves_out("block"),
    "UnsignedEpoch": leaves_out("epoch", "anchor"),
}
"""An anchor belongs to one epoch, so that within one chain either of the two tells epochs apart."""


def hunt(name: str, seeds: Iterable[int] = SEEDS) -> tuple[str, Outcome | None]:
    """The first run in which an oracle notices a mutant."""
    outcomes = (run_seed(seed, MUTANTS[name]) for seed in (*HINTS.get(name, ()), *seeds))
    return name, next((outcome for outcome in outcomes if outcome.error), None)


def main(arguments: list[str]) -> int:
    """Exit code: 0 if every mutant was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants to hunt; all if none is given")
    parser.add_argument("--jobs", type=int, default=1, help="processes to hunt in")
    options = parser.parse_args(arguments)
    survivors = 0
    with get_context("spawn").Pool(options.jobs) as pool:
        for name, outcome in pool.imap_unordered(hunt, options.names or MUTANTS):
            survivors += outcome is None
            verdict = f"seed {outcome.seed:4}  {outcome.oracle}: {outcome.error}" if outcome else "SURVIVED"
            sys.stdout.write(f"{name:26} {verdict}\n")
            sys.stdout.flush()
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
