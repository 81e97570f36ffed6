"""Why a session key signs nothing more, ever: a record that outlives the process."""

from typing import Final

from node.consensus.interface import Disagreement, ForeignVote, Fork, Stop, StopReason

_WHY: Final = {
    StopReason.FORK: "two blocks are final there, so that a third of the stake is Byzantine",
    StopReason.DISAGREEMENT: "the network certified a block there that is invalid on this node",
    StopReason.FOREIGN_VOTE: "the key voted there on another machine, or from another copy of its journal",
}
_WHAT_TO_DO: Final = {
    StopReason.FORK: "agree with the other operators on the chain to follow, then rotate the session key",
    StopReason.DISAGREEMENT: "upgrade the node or report this, then rotate the session key",
    StopReason.FOREIGN_VOTE: "find the other copy and remove it, then rotate the session key",
}


def stop_of(finding: Fork | Disagreement | ForeignVote) -> Stop:
    """What the journal keeps of a finding that stops the key."""
    match finding:
        case Fork(theirs=certificate):
            return Stop(StopReason.FORK, certificate.epoch, certificate.view, certificate.block)
        case Disagreement(certificate=certificate):
            return Stop(StopReason.DISAGREEMENT, certificate.epoch, certificate.view, certificate.block)
        case ForeignVote(vote=vote):
            return Stop(StopReason.FOREIGN_VOTE, vote.epoch, vote.view, vote.block)


def is_of_one_key(reason: StopReason) -> bool:
    """Whether the reason stops the key that it was found of, and no other key of the node."""
    return reason is StopReason.FOREIGN_VOTE


def outranks(stop: Stop, known: Stop | None) -> bool:
    """Whether a reason stops more keys than the one that is on record, if there is one."""
    return known is None or (is_of_one_key(known.reason) and not is_of_one_key(stop.reason))


def explain(stop: Stop) -> str:
    """One line for the operator: when, why, and what to do."""
    where = f"epoch {stop.epoch}, view {stop.view}"
    return f"it stopped in {where}: {_WHY[stop.reason]}; {_WHAT_TO_DO[stop.reason]}"
