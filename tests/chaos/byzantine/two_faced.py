"""An engine that says one thing to half of the committee, and another to the rest."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import node.node
from cli.main import main
from frame.state import StateView
from node.consensus.core import Core
from node.consensus.interface import Heard, Peer, Report
from node.consensus.messages import Message
from node.consensus.service import SimplexService
from node.evidence.service import EvidenceService
from primitives.extrinsic import Call
from primitives.types import AuthorityIndex, View
from primitives.vote import Evidence, Vote, VoteKind, vote_message


class TwoFaced(SimplexService):
    """The engine of the node; what it says once to all is said in two ways. It does not accuse itself."""

    @abstractmethod
    def _other_word(self, message: Message) -> Message | None:
        """What the second half hears in the place of `message`; None: the same."""

    def _send(self, to: Peer | None, message: Message) -> None:
        other = self._other_word(message) if to is None and self.core.epoch.index == message.epoch else None
        if other is None:
            super()._send(to, message)
            return
        for word, half in zip((message, other), self._halves(), strict=True):
            for peer in half:
                super()._send(peer, word)

    def _halves(self) -> tuple[Sequence[Peer], Sequence[Peer]]:
        """The others, divided anew in each view."""
        core = self.core
        members = range(len(core.epoch.committee.members))
        others = [core.epoch.peer(AuthorityIndex(index)) for index in members if index != core.ballot.me]
        turn = core.view % len(others)
        turned = others[turn:] + others[:turn]
        return turned[: len(turned) // 2], turned[len(turned) // 2 :]

    def _sign(self, kind: VoteKind, view: View, block: bytes) -> Vote:
        """A vote of this node's key, whatever it has signed before."""
        epoch, key, me = self.core.epoch, self.core.ballot.key, self.core.ballot.me
        assert key is not None
        assert me is not None
        signature = key.sign(vote_message(epoch.anchor_hash, kind, epoch.index, view, block))
        return Vote(kind, epoch.index, view, block, me, signature)

    def _start_core(self, *arguments: Any) -> Core:
        """That a vote of its own is not in its journal does not stop it."""
        core = super()._start_core(*arguments)
        core.ballot.is_foreign = lambda vote: False  # type: ignore[method-assign]
        return core

    def _tell(self, action: Report | Heard) -> None:
        if not (isinstance(action, Report) and isinstance(action.finding, Evidence)):
            super()._tell(action)


class Concealing(EvidenceService):
    """Puts no evidence into its blocks."""

    def inherents(self, state: StateView) -> Sequence[Call]:
        """None."""
        return ()


def run(engine: type[TwoFaced]) -> None:
    """Be `consil`, with another engine."""
    node.node.SimplexService = engine  # type: ignore[attr-defined]  # what nodes are built from
    node.node.EvidenceService = Concealing  # type: ignore[attr-defined]
    main()
