"""A validator that votes twice: `python -m tests.chaos.byzantine.double_voter node run ...`, like `consil`.

Where it notarizes a block, half of the others hear that it notarized another; where it finalizes one, half of
them hear that it gave the view up.
"""

from node.consensus.messages import Cast, Message
from primitives.hashing import blake2b_256
from primitives.vote import NO_BLOCK, VoteKind
from tests.chaos.byzantine.two_faced import TwoFaced, run


class DoubleVoter(TwoFaced):
    """Signs two conflicting votes in each view in which it votes and does not lead."""

    def _other_word(self, message: Message) -> Message | None:
        match message:
            case Cast(vote=vote) if vote.kind == VoteKind.NOTARIZE:
                return Cast(self._sign(VoteKind.NOTARIZE, vote.view, blake2b_256(vote.block)))
            case Cast(vote=vote) if vote.kind == VoteKind.FINALIZE:
                return Cast(self._sign(VoteKind.NULLIFY, vote.view, NO_BLOCK))
        return None


if __name__ == "__main__":
    run(DoubleVoter)
