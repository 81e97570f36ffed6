"""Tables that fit the screen: headings on more lines, columns closer together, long texts folded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from rich.cells import cell_len, chop_cells

NARROWEST: Final = 16
"""Characters down to which a text is folded; with less, nobody reads it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as wide as its longest line."""

    heading: str
    cells: tuple[str, ...]
    is_numeric: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, (*self.heading.split("\n"), *self.cells)), default=0)

    @property
    def least(self) -> int:
        """To which it may be made narrower without breaking a heading, a number or a short text."""
        return max(
            *map(cell_len, self.heading.split("\n")),
            *(cell_len(cell) if self.is_numeric else min(cell_len(cell), NARROWEST) for cell in self.cells),
        )


def table_lines(columns: Sequence[Column], width: int | None) -> tuple[int, list[str]] | None:
    """How many lines the headings take, and every line; nothing if no table of `width` can be read."""
    widths = [each.width for each in columns]
    if width is None or _total(widths, "  ") <= width:
        return _laid_out(columns, widths, "  ")
    narrow = [Column(each.heading.replace(" ", "\n"), each.cells, each.is_numeric) for each in columns]
    least = [each.least for each in narrow]
    for gap in ("  ", " "):
        if _total(least, gap) <= width:
            return _laid_out(narrow, _spread(narrow, least, width, gap), gap)
    return None


def _spread(columns: Sequence[Column], least: Sequence[int], width: int, gap: str) -> list[int]:
    """Widths that fit: what is missing is taken from the widest, again and again."""
    widths = [each.width for each in columns]
    while _total(widths, gap) > width:
        _, at = max((size, at) for at, size in enumerate(widths) if size > least[at])
        widths[at] -= 1
    return widths


def fold(text: str, width: int) -> list[str]:
    """The lines of a text: broken between words where there are any, and inside of longer ones."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines += chop_cells(word, width)
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def _total(widths: Sequence[int], gap: str) -> int:
    return sum(widths) + len(gap) * (len(widths) - 1)


def _laid_out(columns: Sequence[Column], widths: Sequence[int], gap: str) -> tuple[int, list[str]]:
    head = list(_row([each.heading.split("\n") for each in columns], columns, widths, gap))
    lines = list(head)
    for cells in zip(*(each.cells for each in columns), strict=True):
        folded = [fold(cell, width) for cell, width in zip(cells, widths, strict=True)]
        lines += _row(folded, columns, widths, gap)
    return len(head), lines


def _row(
    cells: Sequence[Sequence[str]], columns: Sequence[Column], widths: Sequence[int], gap: str
) -> Iterator[str]:
    for parts in zip_longest(*cells, fillvalue=""):
        padded = []
        for part, column, width in zip(parts, columns, widths, strict=True):
            space = " " * (width - cell_len(part))
            padded.append(space + part if column.is_numeric else part + space)
        yield gap.join(padded).rstrip()
