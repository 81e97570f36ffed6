"""What commands print: one JSON document, or text that fits the screen; progress goes to standard error."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

_BAR: Final = 24
"""Characters of a progress bar."""

_JOINERS: Final = "\u200c\u200d"
"""Which letters flow together, or emoji make one, is harmless."""


def printable(text: str) -> str:
    """Text from elsewhere without what moves the cursor or turns the writing: spelled out instead."""
    return "".join(
        each if each.isprintable() or each in _JOINERS else each.encode("unicode_escape").decode()
        for each in text
    )


def print_json(document: Any) -> None:
    """The one JSON document of a command with `--json`."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_line(text: str) -> None:
    """One line for a person."""
    typer.echo("\n".join(map(printable, text.split("\n"))))


def warn(text: str) -> None:
    """One line on standard error that does not stop the command."""
    typer.echo(f"warning: {printable(text)}", err=True)


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values below one another; a value is never cut."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        first, *rest = str(value).splitlines() or [""]
        typer.echo(printable(f"{name:<{width}}  {first}".rstrip()))
        for line in rest:
            typer.echo(printable(" " * (width + 2) + line))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """A table with a header, or the line `empty`; long values are folded, never cut, and whole in a pipe.

    On a screen that is too narrow for any table, the fields of each row.
    """
    if not rows:
        typer.echo(empty)
        return
    from cli.tables import Column, table_lines

    made = [
        Column(
            name, tuple(printable(str(cell)) for cell in cells), any(isinstance(cell, int) for cell in cells)
        )
        for name, cells in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    table = table_lines(made, width)
    if table is None:
        for number, row in enumerate(rows):
            if number:
                typer.echo()
            print_fields({name: cell for name, cell in zip(columns, row, strict=True) if cell != ""})
        return
    headings, lines = table
    for number, line in enumerate(lines):
        typer.echo(typer.style(line, bold=True) if number < headings and _is_styled() else line)


def _is_styled() -> bool:
    """Whether letters may be bold. Source: no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


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
    with _console().status(title) as status:

        class Changing(Progress):
            def step(self, phase: str, done: int, total: int) -> None:
                filled = _BAR * done // max(total, 1)
                bar = "█" * filled + "░" * (_BAR - filled)
                self.note(f"{phase:<18} {bar} {done} of {total}")

            def _say(self, text: str) -> None:
                status.update(text)

        yield Changing()


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, color_system="auto" if _is_styled() else None)
