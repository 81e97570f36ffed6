"""Which epoch's engine runs, and what becomes of messages of other epochs.

Committing an epoch's last block is the last action of its engine. The host then calls `begin` with the next
epoch, and performs what that returns; timers and answers that the old engine asked for carry its epoch and
are dropped here.
"""

from collections.abc import Callable
from typing import Final

from node.consensus.core import Core
from node.consensus.interface import (
    Action,
    Input,
    Peer,
    Persist,
    Position,
    Received,
    Serve,
    ServeFinal,
    Started,
    Stop,
)
from node.consensus.messages import MESSAGE, MESSAGE_BYTES_MAX, Ask, AskBlock
from node.consensus.stop import is_of_one_key
from primitives.certificate import Certificate
from primitives.types import PublicKey, TimestampMs

BUFFERED_PER_PEER: Final = 16
"""Messages of the next epoch that are kept of each peer, as long as they fit MESSAGE_BYTES_MAX together."""

PEERS_MAX: Final = 256
"""Peers that are kept account of at a time; more than a node has connections."""

ANSWERS_PER_PERIOD: Final = 8
"""Block requests of one peer that are answered in one period of the view timer, each with up to 1 MiB."""

StartCore = Callable[[Position, frozenset[PublicKey], bool], Core]
"""(position, silent members, whether the process just started) -> engine."""


class Allowance:
    """So many answers for each peer and period."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since_ms = TimestampMs(0)
        self._taken: dict[Peer, int] = {}

    def take(self, peer: Peer, now_ms: TimestampMs, period_ms: int) -> bool:
        """Whether `peer` may have one more."""
        if not 0 <= now_ms - self._since_ms < period_ms:
            self._since_ms, self._taken = now_ms, {}
        taken = self._taken.get(peer, 0)
        if taken >= self._limit or (taken == 0 and len(self._taken) >= PEERS_MAX):
            return False
        self._taken[peer] = taken + 1
        return True


class Epochs:
    """The running engine, and the one before it as a witness."""

    def __init__(self, start_core: StartCore) -> None:
        self._start_core = start_core
        self._core: Core | None = None
        self._witness: Core | None = None
        self._buffer: dict[Peer, list[Received]] = {}
        self._blocks = Allowance(ANSWERS_PER_PERIOD)
        self._finals = Allowance(1)

    @property
    def has_begun(self) -> bool:
        """Whether there is an engine yet."""
        return self._core is not None

    @property
    def core(self) -> Core:
        """The engine of the current epoch, after `begin`."""
        assert self._core is not None
        return self._core

    def begin(self, position: Position, now_ms: TimestampMs, *, is_listening: bool = False) -> list[Action]:
        """Drop the running engine and start one at `position`: the next epoch, or this one after the
        finalized chain moved by other means."""
        old = self._core
        is_listening = is_listening or (old is not None and old.ballot.is_listening)
        self._core = self._start_core(position, old.silent if old else frozenset(), is_listening)
        if old and old.ballot.is_muted and _name(old) == _name(self._core):
            self._core.ballot.is_muted = True
        if old and old.ended:
            self._witness = old
        if self._witness and self._witness.epoch.index < position.epoch.index - 1:
            self._witness = None  # sync went past an epoch: whose key voted in the older one is forgotten
        buffered, self._buffer = self._buffer, {}
        actions = self._core.handle(Started(now_ms))
        for received in (received for messages in buffered.values() for received in messages):
            actions += self.handle(Received(now_ms, received.peer, received.message))
        return actions

    def disagree(self, certificate: Certificate) -> list[Action]:
        """The host found a block invalid that `certificate` makes final, in whatever epoch."""
        return self.core.disagree(certificate)

    def handle(self, observed: Input) -> list[Action]:
        """The actions that one input calls for."""
        assert not isinstance(observed, Started), "engines are started by `begin`"
        if isinstance(observed, Received):
            return self._route(observed)
        return self.core.handle(observed) if observed.epoch == self.core.epoch.index else []

    def _route(self, received: Received) -> list[Action]:
        peer, message, period_ms = received.peer, received.message, self.core.epoch.settings.period_ms
        ahead = message.epoch - self.core.epoch.index
        if isinstance(message, AskBlock):
            may = self._blocks.take(peer, received.now_ms, period_ms)
            return [Serve(peer, message)] if may else []
        if ahead == 0:
            return self.core.handle(received)
        if ahead > 0:
            if ahead == 1:
                self._keep(received)
            return self.core.overtaken(peer)
        if isinstance(message, Ask):
            may = self._finals.take(peer, received.now_ms, period_ms)
            return [ServeFinal(peer, message.epoch)] if may else []
        return self._testify(received)

    def _keep(self, received: Received) -> None:
        if received.peer in self._buffer or len(self._buffer) < PEERS_MAX:
            kept = self._buffer.setdefault(received.peer, [])
            if len(kept) < BUFFERED_PER_PEER and _size(*kept, received) <= MESSAGE_BYTES_MAX:
                kept.append(received)

    def _testify(self, received: Received) -> list[Action]:
        """Late votes and certificates of the last epoch still convict."""
        if self._witness is None or received.message.epoch != self._witness.epoch.index:
            return []
        reports = self._witness.handle(received)
        stops = [each.item for each in reports if isinstance(each, Persist) and isinstance(each.item, Stop)]
        is_same_key = _name(self._witness) == _name(self.core)
        if any(is_same_key or not is_of_one_key(stop.reason) for stop in stops):
            self.core.ballot.is_muted = True
        return reports


def _name(core: Core) -> PublicKey | None:
    """Whose votes an engine casts: another key is not bound by what stopped this one."""
    return core.ballot.key.public_key if core.ballot.key else None


def _size(*received: Received) -> int:
    """Bytes that messages take up on the wire."""
    return sum(len(MESSAGE.encode(each.message)) for each in received)
