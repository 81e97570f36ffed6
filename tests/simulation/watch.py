"""What must be true of one node, step by step: what it hears, what its engine wants done, and when.

The judge looks at the votes and certificates of all nodes together; a watch sees every input and every action
of one engine, over all lives of its process.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

from node.consensus.core import Core
from node.consensus.interface import (
    Action,
    Disagreement,
    Epoch,
    Finding,
    ForeignVote,
    Fork,
    Input,
    Memory,
    Persist,
    Received,
    Report,
    TimedOut,
    Timer,
)
from node.consensus.messages import Bundle, Cast, Message, Propose
from primitives.certificate import Verifier, verify_vote
from primitives.types import AuthorityIndex, EpochIndex, PublicKey, View
from primitives.vote import Evidence, Vote, VoteKind, conflict
from tests.simulation.oracles import Oracle, Violation

VIEWS_AHEAD = 8
EVIDENCE_VIEWS = 256
"""The window of views whose votes an engine takes in, as the specification has it."""

Place = tuple[EpochIndex, View, AuthorityIndex]


class Watch:
    """Watches one node."""

    def __init__(self, who: str, byzantine: frozenset[PublicKey], verifier: Verifier) -> None:
        self._who = who
        self._byzantine = byzantine
        self._verifier = verifier
        self._has_stopped = False
        self._convicted: set[Place] = set()
        self._seen: set[Vote] = set()
        self._own: set[Vote] = set()
        self.restart()

    def restart(self) -> None:
        """A new process: what was in memory is gone."""
        self._epoch: Epoch | None = None
        self._past: tuple[Epoch, View] | None = None
        """The epoch before and the view that it ended in, if the engine was there."""
        self._view = View(0)
        self._is_listening = True
        self._views_entered = self._entered_ms = 0
        self._skew_ms: int | None = None
        self._is_clock_even = True
        self._spoken_ms: dict[PublicKey, int] = {}
        """When each member was heard last with a vote that was new."""
        self._heard: dict[Place, set[Vote]] = defaultdict(set)

    # What happens

    def begun(
        self, actions: Sequence[Action], core: Core, now_ms: int, memory: Memory, *, has_ended: bool
    ) -> None:
        """An engine starts. `memory`: what it is given; `has_ended`: the one before it committed its epoch's
        last block."""
        self._own.update(memory.votes)
        if has_ended and self._epoch is not None:
            self._past = self._epoch, self._view
        else:
            self._past = None
            self._heard.clear()
        self._views_entered = 0
        # Messages that waited for the epoch may have moved it on already.
        first = next((action.view for action in actions if isinstance(action, Timer)), core.view)
        self._check_actions(actions, first)
        self._epoch, self._view, self._entered_ms = core.epoch, core.view, now_ms
        for vote in memory.heard:
            if core.epoch.committee.members[vote.signer].key in self._byzantine:
                self._check_conviction(vote)

    def handled(self, observed: Input, actions: Sequence[Action], core: Core, now_ms: int) -> None:
        """The engine took in an input, and wants these actions."""
        skew_ms = observed.now_ms - now_ms
        self._is_clock_even = self._is_clock_even and self._skew_ms in (None, skew_ms)
        self._skew_ms = skew_ms
        is_expiry = isinstance(observed, TimedOut) and observed.view == self._view
        self._check_nullify(actions, core, now_ms if is_expiry else None)
        self._is_listening = self._is_listening and not is_expiry
        self._check_actions(actions, self._view)
        if isinstance(observed, Received):
            self._hear(observed.message, core, now_ms)
        if core.view != self._view:
            self._view, self._entered_ms = core.view, now_ms

    def told(self, finding: Finding) -> None:
        """The host heard a finding, which is durable by then; one that a crash swallowed was never made."""
        if isinstance(finding, Fork | Disagreement | ForeignVote):
            self._has_stopped = True

    # What it wants done

    def _check_actions(self, actions: Sequence[Action], view: View) -> None:
        for action in actions:
            match action:
                case Timer() if action.view > view:
                    view = action.view
                    self._views_entered += 1
                    self._is_listening = self._is_listening and self._views_entered < 2
                case Persist(item=Vote() as vote):
                    self._own.add(vote)
                    if self._has_stopped:
                        raise Violation(Oracle.AUDIT, f"{self._who} votes although it had to stop for good")
                    if self._is_listening:
                        raise Violation(Oracle.AUDIT, f"{self._who} votes before it has listened")
                case Report(finding=Evidence(first=first)):
                    self._convicted.add((first.epoch, first.view, first.signer))
                case _:
                    pass

    def _check_nullify(self, actions: Sequence[Action], core: Core, expired_ms: int | None) -> None:
        """An honest leader has the whole period of the timer, unless it was silent for as long; its proposal
        is never a reason. `expired_ms`: now, if a timer expired that may end the view."""
        for action in actions:
            if not isinstance(action, Persist) or not isinstance(action.item, Vote):
                continue
            vote = action.item
            leader = core.epoch.committee.members[_leader(core.epoch, vote.view)].key
            if vote.kind != VoteKind.NULLIFY or leader in self._byzantine:
                continue
            if self._is_listening:
                raise Violation(Oracle.AUDIT, f"{self._who} casts NULLIFY before it has listened")
            if expired_ms is None or vote.view != self._view:
                text = f"{self._who} gives up on an honest leader without waiting"
                raise Violation(Oracle.PATIENCE, text)
            period_ms = core.epoch.settings.period_ms
            is_short = self._is_clock_even and expired_ms < self._entered_ms + period_ms
            if is_short and self._spoken_ms.get(leader, -period_ms) > self._entered_ms - period_ms:
                text = f"{self._who} gives up early on a leader that spoke lately"
                raise Violation(Oracle.PATIENCE, text)

    # What it hears

    def _hear(self, message: Message, core: Core, now_ms: int) -> None:
        if isinstance(message, Propose | Bundle):
            self._seen.update(vote for certificate in message.certs for vote in certificate.votes())
        if not isinstance(message, Cast):
            return
        vote = message.vote
        epoch = self._taking_in(vote, core)
        if epoch is None or not verify_vote(vote, epoch.committee, epoch.anchor_hash, self._verifier):
            return
        self._check_own(vote, core)
        key = epoch.committee.members[vote.signer].key
        if key in self._byzantine:
            self._check_conviction(vote)
        elif vote not in self._seen and epoch is self._epoch:
            self._spoken_ms[key] = now_ms
        self._seen.add(vote)

    def _taking_in(self, vote: Vote, core: Core) -> Epoch | None:
        """The epoch of a vote that the engine, or the one before it as a witness, may not overlook."""
        if self._epoch is not None and vote.epoch == self._epoch.index:
            epoch, view = self._epoch, self._view
            in_window = vote.view + EVIDENCE_VIEWS >= core.views.final_view
        elif self._past is not None and vote.epoch == self._past[0].index:
            epoch, view = self._past
            in_window = view <= EVIDENCE_VIEWS
        else:
            return None
        return epoch if in_window and vote.view <= view + VIEWS_AHEAD else None

    def _check_own(self, vote: Vote, core: Core) -> None:
        """A vote of the own key that this node did not cast stops it."""
        is_current = self._epoch is not None and vote.epoch == self._epoch.index
        if not is_current or vote.signer != core.ballot.me or vote in self._own or vote in self._seen:
            return
        if not core.ballot.is_muted:
            raise Violation(Oracle.AUDIT, f"{self._who} overlooks that its key votes elsewhere")

    def _check_conviction(self, vote: Vote) -> None:
        """Whoever contradicts itself in front of a node is convicted by it. Two votes of a kind are enough:
        of a third nobody takes notice."""
        place = vote.epoch, vote.view, vote.signer
        heard = self._heard[place]
        heard.add(vote)
        has_conflict = any(conflict(first, second) for first, second in combinations(heard, 2))
        if has_conflict and place not in self._convicted:
            raise Violation(Oracle.EVIDENCE, f"{self._who} overlooks an equivocation")


def _leader(epoch: Epoch, view: View) -> AuthorityIndex:
    """Who leads a view by the schedule."""
    return epoch.leaders[(view - 1) % len(epoch.leaders)]
