"""Votes that were heard: which of them agree, and which convict their signer."""

from typing import Final

from primitives.certificate import Certificate, certificate_of
from primitives.committee import Committee
from primitives.types import AuthorityIndex, View
from primitives.vote import Vote, VoteKind, conflict, is_conflict

BLOCKS_PER_SIGNER_MAX: Final = 2
"""Blocks for which one signer's votes of one kind and view are kept: two convict, a third adds nothing."""

_Subject = tuple[VoteKind, bytes]


class Tally:
    """Verified votes by view, kind and block. A second vote never replaces a first."""

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        self._views: dict[View, dict[_Subject, dict[AuthorityIndex, Vote]]] = {}

    def holds(self, vote: Vote) -> bool:
        """Whether the same word of the same signer is here already."""
        return vote.signer in self._views.get(vote.view, {}).get((vote.kind, vote.block), {})

    def has_room(self, vote: Vote) -> bool:
        """Whether the signer may add another block of this kind in this view."""
        spoken = [
            subject
            for subject, votes in self._views.get(vote.view, {}).items()
            if subject[0] == vote.kind and vote.signer in votes
        ]
        return len(spoken) < BLOCKS_PER_SIGNER_MAX

    def add(self, vote: Vote) -> list[Vote]:
        """Remember a verified vote; returns those of the same signer that it conflicts with."""
        subjects = self._views.setdefault(vote.view, {})
        earlier = [votes[vote.signer] for votes in subjects.values() if vote.signer in votes]
        subjects.setdefault((vote.kind, vote.block), {})[vote.signer] = vote
        return [other for other in earlier if conflict(other, vote)]

    def convicts(self, certificate: Certificate) -> bool:
        """Whether the votes in `certificate` would convict anybody who is not convicted of them yet."""
        subjects = self._views.get(certificate.view, {})
        subject = certificate.kind, certificate.block
        spoken = subjects.get(subject, {})
        suspects = {
            signer
            for other, votes in subjects.items()
            if is_conflict(subject, other)
            for signer in votes
            if signer not in spoken
        }
        return not suspects.isdisjoint(certificate.signers())

    def certificate(self, vote: Vote) -> Certificate | None:
        """The certificate of all votes equal to `vote`, once they are a quorum."""
        equal = self._views[vote.view][vote.kind, vote.block]
        return certificate_of(equal.values()) if self._committee.is_quorum(equal) else None

    def prune(self, floor: View) -> None:
        """Forget views below `floor`."""
        for view in [view for view in self._views if view < floor]:
            del self._views[view]
