"""The progress bar of a node that catches up."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from cli.sync_bar import left_text, show_bar
from node.sync.progress import Progress
from primitives.types import BlockNumber

LOGGER = logging.getLogger("node.sync.progress")


@pytest.fixture(autouse=True)
def level_restored() -> Iterator[None]:
    yield
    LOGGER.setLevel(logging.NOTSET)


def progress_after(seconds: float) -> Progress:
    """Ten blocks a second from 100 to 150, in between behind."""
    height = 100 + min(50, 10 * int(seconds))
    return Progress(
        is_syncing=height < 150,
        starting=BlockNumber(100),
        current=BlockNumber(height),
        highest=BlockNumber(150),
        blocks_per_s=10,
    )


async def shown(*, is_terminal: bool) -> str:
    """What stands on the screen after some time."""
    screen = StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=100)
    began = trio.current_time()
    with trio.move_on_after(20):
        await show_bar(lambda: progress_after(trio.current_time() - began), console)
    return screen.getvalue()


async def test_a_bar_follows_the_chain_and_goes_when_it_is_done(autojump_clock: MockClock) -> None:
    text = await shown(is_terminal=True)
    assert "catching up" in text
    assert "20/50" in text
    assert "10 blocks/s, 3 s left" in text
    assert text.endswith("\x1b[2K")
    assert LOGGER.level == logging.WARNING


async def test_a_pipe_gets_log_lines_instead(autojump_clock: MockClock) -> None:
    assert await shown(is_terminal=False) == ""
    assert LOGGER.level == logging.NOTSET


@pytest.mark.parametrize(
    ("left_s", "text"),
    [
        (None, "no end in sight"),
        (0.2, "0 s left"),
        (61, "1 min 1 s left"),
        (2 * 3600 + 60, "2 h 1 min left"),
    ],
)
def test_time_left_in_words(left_s: float | None, text: str) -> None:
    assert left_text(left_s) == text
