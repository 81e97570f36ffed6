"""Measured delays between cities; see the head of `city_delays.csv`."""

import csv
from pathlib import Path

TABLE = Path(__file__).parent / "city_delays.csv"

WITHIN_CITY_MS = 2.0
"""Round trip between two machines of one city."""

Delays = dict[tuple[str, str], float]
"""(from, to) -> one way, in milliseconds: half of the round trip."""


def read_delays() -> Delays:
    """Every pair of cities, in the order of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))
    names = rows[0][1:]
    delays: Delays = {}
    for row in rows[1:]:
        for name, round_trip_ms in zip(names, row[1:], strict=True):
            delays[row[0], name] = (float(round_trip_ms) or WITHIN_CITY_MS) / 2
    return delays


def cities(delays: Delays) -> list[str]:
    """Their names, in the order of the table."""
    return list(dict.fromkeys(first for first, _ in delays))
