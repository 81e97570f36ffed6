"""Timestamp: the chain's clock only runs forward, and not too fast."""

import pytest

from frame.error import InvalidBlock, Rejection
from tests.pallets.world import World


def test_the_time_is_that_of_the_header(world: World) -> None:
    assert world.pallets.timestamp.now_ms() == 1500
    assert world.next_block(timestamp_ms=9_000).timestamp.now_ms() == 9_000


def test_a_block_comes_no_sooner_than_the_block_time(world: World) -> None:
    with pytest.raises(InvalidBlock) as rejected:
        world.next_block(timestamp_ms=1999)
    assert rejected.value.rejection is Rejection.TOO_EARLY


def test_a_block_may_come_exactly_after_the_block_time(world: World) -> None:
    assert world.next_block(timestamp_ms=2000).timestamp.now_ms() == 2000
