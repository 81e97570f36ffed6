"""What an operator reads when a key is stopped."""

import pytest

from node.consensus.interface import Stop, StopReason
from node.consensus.stop import explain
from primitives.types import EpochIndex, View


@pytest.mark.parametrize("reason", StopReason)
def test_every_stop_says_where_why_and_what_to_do(reason: StopReason) -> None:
    line = explain(Stop(reason, EpochIndex(3), View(8), bytes(32)))
    assert line.startswith("it stopped in epoch 3, view 8: ")
    assert line.endswith("rotate the session key")
    assert "\n" not in line
