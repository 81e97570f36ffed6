"""The own votes of one engine: all of safety is here.

Votes are cast in the current view only, the view never falls, and in one view no two votes of which the
second takes back what the first promised. NOTARIZE after NULLIFY is allowed: it promises nothing about how
the view ends.
"""

from node.consensus.interface import Epoch, Key
from primitives.types import View
from primitives.vote import Vote, VoteKind, vote_message


class Ballot:
    """What the own key has signed, and may sign."""

    def __init__(
        self,
        epoch: Epoch,
        key: Key | None,
        cast_before: tuple[Vote, ...],
        view: View,
        is_listening: bool,
    ) -> None:
        """`cast_before`: the journal's votes of the epoch. `view`: above every certificate that is held."""
        self._epoch = epoch
        self._key = key
        self._cast_before = cast_before
        self.me = epoch.committee.index_of(key.public_key) if key else None
        """The own place in the committee."""
        self.view = max([view, *(vote.view for vote in cast_before)])
        self.mine = {vote.kind: vote for vote in cast_before if vote.view == self.view}
        """Votes cast in the current view."""
        self.is_listening = is_listening
        """Sign nothing yet: another process may be using the key."""
        self.is_muted = False
        """Sign nothing more in this process."""

    @property
    def key(self) -> Key | None:
        """The own key, if there is one, whether or not it has a vote."""
        return self._key

    @property
    def is_voting(self) -> bool:
        """Whether the key is in the committee and may sign."""
        return self.me is not None and not self.is_listening and not self.is_muted

    def enter(self, view: View) -> None:
        """Leave the current view for a higher one."""
        assert view > self.view
        self.view = view
        self.mine = {}

    def may(self, kind: VoteKind) -> bool:
        """Whether a vote of this kind contradicts nothing that was signed."""
        if not self.is_voting or kind in self.mine:
            return False
        if kind == VoteKind.FINALIZE:
            return VoteKind.NULLIFY not in self.mine
        return kind != VoteKind.NULLIFY or VoteKind.FINALIZE not in self.mine

    def cast(self, kind: VoteKind, block: bytes) -> Vote:
        """Sign a vote in the current view, which `may` allows."""
        assert self._key is not None
        assert self.me is not None
        epoch = self._epoch
        message = vote_message(epoch.anchor_hash, kind, epoch.index, self.view, block)
        vote = Vote(kind, epoch.index, self.view, block, self.me, self._key.sign(message))
        self.mine[kind] = vote
        return vote

    def is_foreign(self, vote: Vote) -> bool:
        """Whether a verified vote of the own key, not heard of before, was cast by somebody else."""
        return vote.signer == self.me and vote not in (*self.mine.values(), *self._cast_before)
