"""What is kept when a key is stopped, and what an operator reads."""

import pytest

from node.consensus.interface import Disagreement, ForeignVote, Memory, Persist, Report, Stop, StopReason
from node.consensus.messages import Cast
from node.consensus.stop import explain, stop_of
from primitives.types import EpochIndex, View
from primitives.vote import NO_BLOCK
from tests.node.consensus.engine import EPOCH, FINALIZE, NULLIFY, Engine, not_leader, quorum, vote

ME = not_leader()


@pytest.mark.parametrize("reason", StopReason)
def test_every_stop_says_where_why_and_what_to_do(reason: StopReason) -> None:
    line = explain(Stop(reason, EpochIndex(3), View(8), bytes(32)))
    assert line.startswith("it stopped in epoch 3, view 8: ")
    assert line.endswith("rotate the session key")
    assert "\n" not in line


def test_a_fork_is_kept_although_the_key_is_stopped_for_itself() -> None:
    engine = Engine(ME)
    foreign = vote(NULLIFY, 1, NO_BLOCK, ME)
    assert Persist(stop_of(ForeignVote(foreign))) in engine.hear(Cast(foreign))
    final = quorum(FINALIZE, 9, bytes(32), without=ME)
    stop = Stop(StopReason.DISAGREEMENT, EPOCH.index, View(9), bytes(32))
    assert engine.core.disagree(final) == [Persist(stop), Report(Disagreement(final))]
    again = Engine(ME, Memory(stop=stop))
    assert again.core.disagree(final) == [Report(Disagreement(final))]
    assert [item for item in again.hear(Cast(foreign)) if isinstance(item, Persist)] == []
