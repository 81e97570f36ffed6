"""What commands print: one JSON document, or text that fits the screen; progress goes to standard error."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

_BAR: Final = 24
"""Characters of a progress bar."""

PIPE_COLUMNS: Final = 240
"""Width of tables that no terminal shows, so that no value is broken there."""


def print_json(document: Any) -> None:
    """The one JSON document of a command with `--json`."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_line(text: str) -> None:
    """One line for a person."""
    typer.echo(text)


def warn(text: str) -> None:
    """One line on standard error that does not stop the command."""
    typer.echo(f"warning: {text}", err=True)


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values below one another; a value is never cut."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        first, *rest = str(value).splitlines() or [""]
        typer.echo(f"{name:<{width}}  {first}".rstrip())
        for line in rest:
            typer.echo(" " * (width + 2) + line)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """A table with a header, or the line `empty`; on a narrow screen long values are folded, never cut."""
    if not rows:
        typer.echo(empty)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    _console(error=False).print(table)


class Progress:
    """How far a long command is. Made by `progress`."""

    def __init__(self) -> None:
        self._last = ""

    def note(self, text: str) -> None:
        """Say what is being waited for; the same text twice is said once."""
        if text != self._last:
            self._last = text
            self._say(text)

    def step(self, phase: str, done: int, total: int) -> None:
        """How far a phase is; where nothing can be rewritten, only that it has begun."""
        self.note(phase)

    def _say(self, text: str) -> None:
        typer.echo(text, err=True)


class _Silent(Progress):
    def _say(self, text: str) -> None:
        """With --json nothing but the document is printed."""


@contextmanager
def progress(title: str, *, silent: bool = False) -> Iterator[Progress]:
    """Progress on standard error: a line that changes on a terminal, plain lines in a pipe."""
    if silent or not sys.stderr.isatty():
        report = _Silent() if silent else Progress()
        report.note(title)
        yield report
        return
    with _console(error=True).status(title) as status:

        class Changing(Progress):
            def step(self, phase: str, done: int, total: int) -> None:
                filled = _BAR * done // max(total, 1)
                bar = "█" * filled + "░" * (_BAR - filled)
                self.note(f"{phase:<18} {bar} {done} of {total}")

            def _say(self, text: str) -> None:
                status.update(text)

        yield Changing()


def _console(*, error: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_COLUMNS, highlight=False)
