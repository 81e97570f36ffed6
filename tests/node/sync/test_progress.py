"""Speed and time left, as they are shown."""

from node.sync.progress import WINDOW_S, Meter, Progress
from primitives.types import BlockNumber


def meter_at(*heights: int, target: int = 1000) -> Meter:
    """A height each second from 0 on, of a node that is behind."""
    meter = Meter(BlockNumber(heights[0]))
    for second, height in enumerate(heights):
        meter.note(BlockNumber(height), BlockNumber(target), second, is_syncing=True)
    return meter


def test_speed_and_time_left() -> None:
    progress = meter_at(100, 150, 200).progress(2)
    assert progress == Progress(
        is_syncing=True,
        starting=BlockNumber(100),
        current=BlockNumber(200),
        highest=BlockNumber(1000),
        blocks_per_s=50.0,
    )
    assert progress.left_s == 16
    assert str(progress) == "block 200 of 1000, 50 blocks/s, 16 s left"


def test_who_stands_still_is_never_there() -> None:
    progress = meter_at(100, 100, 100).progress(2)
    assert progress.left_s is None
    assert str(progress) == "block 100 of 1000, 0 blocks/s, no end in sight"


def test_only_the_last_seconds_count() -> None:
    heights = [*range(0, 1000, 100), *([900] * int(WINDOW_S + 1))]
    assert meter_at(*heights).progress(len(heights) - 1).blocks_per_s == 0


def test_who_follows_has_nothing_left() -> None:
    meter = meter_at(100, 150)
    meter.note(BlockNumber(1000), BlockNumber(1000), 2, is_syncing=False)
    progress = meter.progress(3)
    assert (progress.is_syncing, progress.starting, progress.blocks_per_s, progress.left_s) == (
        False,
        100,
        0,
        0,
    )


def test_falling_behind_again_starts_anew() -> None:
    meter = meter_at(100, 150)
    meter.note(BlockNumber(1000), BlockNumber(1000), 2, is_syncing=False)
    meter.note(BlockNumber(1000), BlockNumber(2000), 50, is_syncing=True)
    meter.note(BlockNumber(1040), BlockNumber(2000), 54, is_syncing=True)
    progress = meter.progress(54)
    assert (progress.starting, progress.blocks_per_s) == (1000, 10)
