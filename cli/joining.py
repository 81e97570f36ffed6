"""What a person sees while a node fetches its first state: a bar on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    import rich.progress

    from node.snapshot.join import Progress

LINE_S: Final = 5.0
"""Between two lines in a pipe that say the same but for numbers."""


class Joining:
    """Shows how far joining has come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Shows nothing yet."""
        self._clock = clock
        self._began: tuple[float, float, int] | None = None
        """When the first part of the state had come, its share, and the entries by then."""

        self._said: tuple[str, float] = ("", 0.0)
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def show(self, progress: "Progress") -> None:
        """Say how far it is."""
        kind, text = self._words(progress)
        if sys.stderr.isatty():
            self._draw(text, progress.share)
        elif kind != self._said[0] or self._clock() - self._said[1] >= LINE_S:
            self._said = kind, self._clock()
            typer.echo(text, err=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _words(self, progress: "Progress") -> tuple[str, str]:
        """What is happening, as a kind and as a line."""
        if progress.is_finishing:
            return "finishing", f"checking the whole state of block {progress.height}"
        if progress.height is None:
            return _waiting(progress)
        if not progress.able:
            told = f"no connected peer gives the state of block {progress.height} now: waiting for one"
            return "nobody", told
        text = f"state of block {progress.height}: {progress.share:.0%}, {progress.chunks} chunks"
        return "fetching", f"{text}{self._speed(progress)}, from {progress.able} of {progress.peers} peers"

    def _speed(self, progress: "Progress") -> str:
        now = self._clock()
        if self._began is None:
            self._began = now, progress.share, progress.entries
        since, share, entries = self._began
        if progress.share <= share or now <= since:
            return ""
        rate = (progress.entries - entries) / (now - since)
        left_s = (1 - progress.share) * (now - since) / (progress.share - share)
        return f", {rate:,.0f} rows/s, {left_s:.0f} s left"

    def _draw(self, text: str, share: float) -> None:
        if self._bar is None or self._task is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(text, total=1.0)
        self._bar.update(self._task, description=text, completed=share)


def _waiting(progress: "Progress") -> tuple[str, str]:
    """Why there is no state to fetch yet."""
    if not progress.peers:
        return "alone", "waiting for peers: none is connected; is there one at a --bootnode?"
    if progress.epochs:
        return "epochs", f"proving committees: {progress.epochs} epochs so far, from {progress.peers} peers"
    if not progress.finalized:
        return "asking", f"asking {progress.peers} peers for a state"
    told = f"{progress.peers} peers, at block {progress.finalized}, give no state yet"
    return "none", f"{told}: waiting for one that does; --sync full needs none"
