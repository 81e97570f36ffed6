"""What an engine wants done, in order, and what it has asked for since its timer was last set."""

from collections.abc import Iterable
from typing import Final

from node.consensus.interface import Action, Epoch, Finding, Heard, Peer, Report, Send, Timer, Wake
from node.consensus.messages import Ask, AskBlock, Bundle, Message, certificates_within
from primitives.certificate import Certificate
from primitives.types import AuthorityIndex, BlockHash, BlockNumber, TimestampMs, View
from primitives.vote import Vote

ASKED_AT_ONCE: Final = 3
"""Peers asked for what is missing; doubled with each expiry in one view."""

DOUBLINGS_MAX: Final = 5
"""Of the number of peers asked: 96 at most."""


class Outbox:
    """Actions, and the memory that keeps them from being repeated before the timer runs out."""

    def __init__(self, epoch: Epoch, me: AuthorityIndex | None) -> None:
        self._epoch = epoch
        members = range(len(epoch.committee.members))
        self._others = [epoch.peer(AuthorityIndex(index)) for index in members if index != me]
        self._turn = 0
        self._actions: list[Action] = []
        self._heard: list[Action] = []
        self._asked: set[str] = set()
        self._answered: set[Peer] = set()
        self._fetched: set[BlockHash] = set()
        self._expected: set[BlockHash] = set()
        self._wake_ms: int | None = None

    def add(self, *actions: Action) -> None:
        """Append actions."""
        self._actions += actions

    def drain(self) -> list[Action]:
        """All actions since the last call. The record of votes comes last: what is to become durable stays
        together, and no vote of this node is there before it is in the journal."""
        actions, self._actions, self._heard = [*self._actions, *self._heard], [], []
        return actions

    def hear(self, vote: Vote) -> None:
        """Have a verified vote written down."""
        self._heard.append(Heard(vote))

    def set_timer(self, view: View, delay_ms: int) -> None:
        """Set the timer; what was tried before may be tried again."""
        self._forget()
        self.add(Timer(self._epoch.index, view, delay_ms))

    def wake(self, view: View, at_ms: int) -> bool:
        """Ask to be woken; False if that was asked already."""
        if self._wake_ms == at_ms:
            return False
        self._wake_ms = at_ms
        self.add(Wake(self._epoch.index, view, TimestampMs(at_ms)))
        return True

    def woken(self) -> None:
        """The moment asked for has come."""
        self._wake_ms = None

    def send(self, message: Message, *peers: Peer) -> None:
        """Send to each of `peers`."""
        self.add(*(Send(peer, message) for peer in peers))

    def send_certificates(self, certs: Iterable[Certificate], peer: Peer) -> None:
        """Send what fits of `certs`, if there are any."""
        chosen = certificates_within(certs, 0)
        if chosen:
            self.send(Bundle(self._epoch.index, chosen), peer)

    def ask(self, start: View, attempt: int = 0) -> None:
        """Ask for certificates from `start` downwards; the longer in vain, the more peers."""
        count = ASKED_AT_ONCE << min(attempt, DOUBLINGS_MAX)
        self.send(Ask(self._epoch.index, start), *self._next_peers(count))

    def ask_once(self, purpose: str, start: View, *peers: Peer) -> None:
        """Ask, unless it was done for the same purpose; one purpose cannot spend another's question."""
        if purpose not in self._asked:
            self._asked.add(purpose)
            self.send(Ask(self._epoch.index, start), *(peers or self._next_peers()))

    def fetch(self, name: BlockHash, above: BlockNumber) -> None:
        """Ask, once, for a block and its ancestors higher than `above`."""
        if name not in self._fetched:
            self._fetched.add(name)
            self.send(AskBlock(self._epoch.index, name, above), *self._next_peers())

    def expect(self, name: BlockHash) -> None:
        """A block that was asked for has this parent, which may come with it."""
        self._expected.add(name)

    def is_welcome(self, name: BlockHash) -> bool:
        """Whether a block was asked for, or is the parent of one that was."""
        return name in self._fetched or name in self._expected

    def may_answer(self, peer: Peer) -> bool:
        """Whether `peer` is still owed an answer; true once."""
        is_first = peer not in self._answered
        self._answered.add(peer)
        return is_first

    def _next_peers(self, count: int = ASKED_AT_ONCE) -> list[Peer]:
        start, self._turn = self._turn, self._turn + count
        others = self._others
        return [others[(start + step) % len(others)] for step in range(min(count, len(others)))]

    def report(self, finding: Finding) -> None:
        """Report a finding."""
        self.add(Report(finding))

    def _forget(self) -> None:
        for tried in (self._asked, self._answered, self._fetched, self._expected):
            tried.clear()
        self._wake_ms = None
