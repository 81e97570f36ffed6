"""The progress bar of a node that catches up."""

import logging
from collections.abc import Callable

import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from node.sync import progress as sync

REFRESH_S = 0.5


async def show_bar(progress: Callable[[], sync.Progress], console: Console | None = None) -> None:
    """Show a bar on standard error, if that is a terminal, whenever the node is behind. Until cancelled.

    In a pipe the node's own log lines say the same.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        return
    logging.getLogger("node.sync.progress").setLevel(logging.WARNING)
    while True:
        if progress().is_syncing:
            await _follow(progress, console)
        await trio.sleep(REFRESH_S)


async def _follow(progress: Callable[[], sync.Progress], console: Console) -> None:
    """One bar, from falling behind to having caught up; it leaves nothing behind."""
    columns = (
        TextColumn("catching up"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]} blocks/s, {task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", speed=0, left="")
        while (now := progress()).is_syncing:
            bar.update(
                task,
                completed=now.current - now.starting,
                total=now.highest - now.starting,
                speed=round(now.blocks_per_s),
                left=left_text(now.left_s),
                refresh=True,
            )
            await trio.sleep(REFRESH_S)


def left_text(left_s: float | None) -> str:
    """Time left, in words."""
    if left_s is None:
        return "no end in sight"
    minutes, seconds = divmod(round(left_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left"
