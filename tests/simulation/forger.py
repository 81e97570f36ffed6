"""A relay that makes true signatures say something else: it is why every field of a vote is signed."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from node.consensus.interface import Peer
from node.consensus.messages import Bundle, Cast, Message, Propose
from primitives.certificate import certificate_of
from primitives.hashing import blake2b_256
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, PublicKey, Signature, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, vote_message
from tests.simulation.byzantine import Byzantine

ELSEWHERE = BlockHash(blake2b_256(b"the last block of an epoch on a fork of this chain"))
REMEMBERED = 400
"""Votes that it remembers."""


class Forger(Byzantine):
    """Turns what it hears into other votes, and those into certificates."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._votes: dict[Vote, None] = {}

    def deliver(self, sender: Peer, message: Message) -> None:
        """Remember every vote; every now and then send what can be made of them. Not because of another of
        its kind, or four of them would never come to an end."""
        if isinstance(message, Cast | Propose):
            self._votes[message.vote] = None
        if isinstance(message, Propose | Bundle):
            self._votes.update((vote, None) for cert in message.certs for vote in cert.votes())
        while len(self._votes) > REMEMBERED:
            del self._votes[next(iter(self._votes))]
        super().deliver(sender, message)
        if not self.is_up or not self._epochs.has_begun or not self._votes:
            return
        if self._chance.random() < 0.1 and PublicKey(sender) not in self._judge.byzantine:
            self._forge_something()

    def _forge_something(self) -> None:
        forged = self._chance.choice(
            (self._altered, self._altered, self._thinned, self._padded, self._elsewhere)
        )()
        if not forged:
            return
        messages: list[Message] = [Cast(vote) for vote in forged]
        messages.append(Bundle(forged[0].epoch, (certificate_of(forged),)))
        for peer in self._some():
            for message in messages:
                self._send(peer, message)

    def _alike(self) -> list[Vote]:
        """All remembered votes for what one of them is for."""
        one = self._chance.choice([*self._votes])
        subject = (one.kind, one.epoch, one.view, one.block)
        alike = {
            vote.signer: vote
            for vote in self._votes
            if (vote.kind, vote.epoch, vote.view, vote.block) == subject
        }
        return [*alike.values()]

    def _altered(self) -> list[Vote]:
        """The votes under another kind, view, block or epoch."""
        votes, view = self._alike(), self._epochs.core.view
        one = votes[0]
        match self._chance.choice(("kind", "view", "block", "epoch")):
            case "kind" if one.block:
                kind = VoteKind.FINALIZE if one.kind == VoteKind.NOTARIZE else VoteKind.NOTARIZE
                return [replace(vote, kind=kind) for vote in votes]
            case "view":
                other = View(max(1, view + self._chance.randint(-2, 2)))
                return [replace(vote, view=other) for vote in votes]
            case "block" if one.block:
                block = self._chance.choice([vote.block for vote in self._votes if vote.block])
                return [replace(vote, block=block) for vote in votes]
            case "epoch":
                return self._transplanted(votes)
        return []

    def _transplanted(self, votes: Iterable[Vote]) -> list[Vote]:
        """The votes in the engine's epoch, under the places that their signers have there."""
        here = self._epoch.committee
        moved: dict[AuthorityIndex, Vote] = {}  # a replayer's votes may have places that nobody has
        for vote in votes:
            there = self.chain.committee(EpochIndex(vote.epoch)).members
            signer = here.index_of(there[vote.signer % len(there)].key)
            if signer is not None and vote.epoch != here.epoch:
                moved[signer] = replace(vote, epoch=here.epoch, signer=signer)
        return [*moved.values()]

    def _thinned(self) -> list[Vote]:
        """Too few votes."""
        votes = self._alike()
        return votes[: max(1, len(votes) // 2)]

    def _padded(self) -> list[Vote]:
        """A few true votes, and what is no vote of anybody else for the same."""
        own = self._own_vote()
        true = self._thinned() if own is None or self._chance.random() < 0.5 else [own]
        signed = {vote.signer for vote in true}
        fakes = (Signature(bytes(64)), true[0].signature)
        members = range(len(self.chain.committee(true[0].epoch).members))
        padding = [
            replace(true[0], signer=AuthorityIndex(index), signature=self._chance.choice(fakes))
            for index in members
            if index not in signed
        ]
        return sorted([*true, *padding], key=lambda vote: vote.signer)

    def _own_vote(self) -> Vote | None:
        view = View(max(1, self._epochs.core.view + self._chance.randint(-1, 1)))
        kind = self._chance.choice([*VoteKind])
        blocks = [vote.block for vote in self._votes if vote.block and vote.epoch == self._epoch.index]
        if kind == VoteKind.NULLIFY or not blocks:
            return self._sign(VoteKind.NULLIFY, view, NO_BLOCK)
        return self._sign(kind, view, self._chance.choice(blocks))

    def _elsewhere(self) -> list[Vote]:
        """What somebody voted on a fork of this chain, where the epoch began with another block."""
        epoch = self._epoch
        keys = {node.address: node.key for node in self._world.endpoints if hasattr(node, "key")}
        signer = AuthorityIndex(self._chance.randrange(len(epoch.committee.members)))
        key = keys.get(epoch.peer(signer))
        if key is None:
            return []
        view = self._epochs.core.view
        block = BlockHash(blake2b_256(ELSEWHERE + view.to_bytes(8, "big")))
        message = vote_message(ELSEWHERE, VoteKind.NOTARIZE, epoch.index, view, block)
        return [Vote(VoteKind.NOTARIZE, epoch.index, view, block, signer, key.sign(message))]
