"""Byzantine nodes that each try one thing, at every occasion: for scenarios written by hand."""

from itertools import cycle
from typing import Any

from msgspec.structs import replace

from node.consensus.interface import Action, Build, Input, Peer
from node.consensus.messages import Bundle, Cast, Message, Propose
from primitives.block import Header, block_hash
from primitives.certificate import certificate_of
from primitives.types import AuthorityIndex, TimestampMs, View
from primitives.vote import NO_BLOCK, Vote, VoteKind
from tests.simulation.byzantine import Byzantine, Equivocator


class Impostor(Byzantine):
    """Tells everybody its votes in the name of everybody else too; none of those signatures is theirs."""

    def _say(self, to: Peer | None, message: Message) -> None:
        self._send(to, message)
        if isinstance(message, Cast | Propose):
            members = range(len(self._epoch.committee.members))
            peers = [(AuthorityIndex(index), self._epoch.peer(AuthorityIndex(index))) for index in members]
            for signer, _ in peers:
                for other, peer in peers:
                    if signer != other:
                        self._send(peer, Cast(replace(message.vote, signer=signer)))


class Orphaner(Byzantine):
    """Proposes a block whose parent is valid, and known to nobody but itself: no one ever voted for it."""

    def _say(self, to: Peer | None, message: Message) -> None:
        if to is None and isinstance(message, Propose):
            message = self._orphaned(message) or message
        self._send(to, message)

    def _orphaned(self, message: Propose) -> Propose | None:
        """Another proposal, one block higher."""
        parent = message.block.header
        if parent.view != message.view or self._epoch.is_last(parent):
            return None
        timestamp_ms = TimestampMs(parent.timestamp_ms + self._epoch.settings.block_time_ms)
        request = Build(message.epoch, message.view, parent, timestamp_ms, is_empty=True)
        block = self.chain.build(request, parent.author, b"orphan")
        self._judge.on_block(block)
        vote = self._sign(VoteKind.NOTARIZE, message.view, block_hash(block.header))
        return replace(message, block=block, vote=vote) if vote else None


class Bypasser(Byzantine):
    """Proposes next to the block of the view before, as soon as it leads and before that block is final.

    It finalizes nothing, and hears and is heard at once.
    """

    is_fast = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._bypassed: set[tuple[int, View]] = set()

    def _say(self, to: Peer | None, message: Message) -> None:
        if isinstance(message, Propose) or (
            isinstance(message, Cast) and message.vote.kind == VoteKind.FINALIZE
        ):
            return
        self._send(to, message)

    def _on_handled(self, observed: Input, actions: list[Action]) -> None:
        core, epoch = self._epochs.core, self._epoch
        parent = core.views.parent(core.view)
        is_mine = core.ballot.me is not None and core.ballot.me == epoch.leader(core.view)
        if not is_mine or parent is None or (epoch.index, core.view) in self._bypassed:
            return
        bypassed = core.tree.header(parent[1])
        below = core.tree.header(bypassed.parent) if bypassed is not None else None
        if bypassed is not None and below is not None and parent[0] == core.view - 1:
            self._bypassed.add((epoch.index, core.view))
            self._bypass(bypassed, below)

    def _bypass(self, bypassed: Header, below: Header) -> None:
        view, epoch = self._epochs.core.view, self._epoch
        request = Build(epoch.index, view, below, bypassed.timestamp_ms, is_empty=True)
        block = self.chain.build(request, epoch.committee.members[epoch.leader(view)].key, b"bypass")
        self._judge.on_block(block)
        vote = self._sign(VoteKind.NOTARIZE, view, block_hash(block.header))
        assert vote is not None
        self._send(None, Propose(epoch.index, view, block, vote, tuple(self._epochs.core.views.proof(view))))


class Withholder(Byzantine):
    """Proposes nothing and finalizes nothing, and votes otherwise: it keeps others from a quorum late."""

    def _say(self, to: Peer | None, message: Message) -> None:
        is_final = isinstance(message, Cast) and message.vote.kind == VoteKind.FINALIZE
        if not is_final and not isinstance(message, Propose):
            self._send(to, message)


class Overclaimer(Byzantine):
    """Takes its own vote for a certificate: beside every vote, and in its proposals."""

    def _say(self, to: Peer | None, message: Message) -> None:
        vote = self._sign(VoteKind.NULLIFY, self._epochs.core.view, NO_BLOCK)
        thin = (certificate_of([vote]),) if vote else ()
        if isinstance(message, Propose):
            message = replace(message, certs=thin)
        elif isinstance(message, Cast):
            self._send(to, Bundle(message.epoch, (*thin, certificate_of([message.vote]))))
        self._send(to, message)


class Relabeller(Byzantine):
    """Tells everybody else of each NOTARIZE as if it were a FINALIZE, before its signer is heard."""

    is_fast = True

    def deliver(self, sender: Peer, message: Message) -> None:
        """Speak before listening."""
        if isinstance(message, Cast | Propose) and message.vote.epoch == self._epoch.index:
            self._relabel(message.vote)
        super().deliver(sender, message)

    def _say(self, to: Peer | None, message: Message) -> None:
        if isinstance(message, Cast | Propose) and message.vote.kind == VoteKind.NOTARIZE:
            vote = self._sign(VoteKind.FINALIZE, message.vote.view, message.vote.block)
            assert vote is not None
            self._send(to, Cast(vote))
        self._send(to, message)

    def _relabel(self, vote: Vote) -> None:
        if vote.kind == VoteKind.NOTARIZE:
            for index in range(len(self._epoch.committee.members)):
                if index != vote.signer:
                    peer = self._epoch.peer(AuthorityIndex(index))
                    self._send(peer, Cast(replace(vote, kind=VoteKind.FINALIZE)))


class DoubleProposer(Equivocator):
    """Sends everybody a second proposal before its true one: by turns a good one, and one of each sort that
    is not."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._faults = cycle(("none", "author", "time", "state"))

    def _say(self, to: Peer | None, message: Message) -> None:
        if isinstance(message, Propose):
            second = self._spoilt(message, next(self._faults))
            if second is not None:
                self._send(to, second)
        self._send(to, message)
