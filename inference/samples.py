"""Rows of real numbers from a CSV file: what models are calibrated and measured on."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from inference.encoding import EncodingError, parse_real

SAMPLES_BYTES_MAX: Final = 64 * 1024 * 1024
LABEL: Final = "label"
"""Name of the column, if there is one, that holds the class instead of a feature."""


class SamplesError(ValueError):
    """The text is not a table of numbers."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A table with a header."""

    features: tuple[str, ...]
    rows: tuple[tuple[Fraction, ...], ...]
    labels: tuple[str, ...]
    """One per row, or none at all."""


def read_samples(text: str) -> Samples:
    """The table in a CSV text whose first line names the columns. Raises SamplesError with the line."""
    if len(text) > SAMPLES_BYTES_MAX:
        raise SamplesError(f"the samples have more than {SAMPLES_BYTES_MAX} characters")
    reader = csv.reader(text.splitlines())
    header = next(reader, [])
    if not header or len(set(header)) != len(header):
        raise SamplesError("line 1: the names of the columns are missing or not distinct")
    label_at = header.index(LABEL) if LABEL in header else len(header)
    rows, labels = [], []
    for cells in reader:
        if len(cells) != len(header):
            raise SamplesError(f"line {reader.line_num}: {len(cells)} columns, not {len(header)}")
        try:
            rows.append(_numbers(cells, label_at))
        except EncodingError as error:
            raise SamplesError(f"line {reader.line_num}: {error}") from None
        labels += cells[label_at : label_at + 1]
    if not rows:
        raise SamplesError("there are no samples below the names of the columns")
    return Samples(_without(header, label_at), tuple(rows), tuple(labels))


def _numbers(cells: Sequence[str], label_at: int) -> tuple[Fraction, ...]:
    return tuple(parse_real(cell) for cell in _without(cells, label_at))


def _without(cells: Sequence[str], label_at: int) -> tuple[str, ...]:
    return (*cells[:label_at], *cells[label_at + 1 :])
