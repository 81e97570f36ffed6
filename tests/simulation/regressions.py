"""Scenarios that once failed, kept as JSON in `regressions/`, and run again with every test.

Each is small, says which oracle objected, and if it was a planted bug that failed, its name: then the real
engine must pass, and the mutant still fail.
"""

from pathlib import Path
from typing import Final

import msgspec

from tests.simulation.scenario import Scenario

DIRECTORY: Final = Path(__file__).with_name("regressions")


class Regression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    oracle: str
    """Which objected."""

    error: str
    """What it said."""

    scenario: Scenario
    mutant: str = ""
    """The planted bug that it was; empty if it was a real one."""


def load(path: Path) -> Regression:
    """A stored scenario."""
    return msgspec.json.decode(path.read_bytes(), type=Regression)


def store(regression: Regression, name: str, directory: Path = DIRECTORY) -> Path:
    """Write a file for everybody to run from now on."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(regression), indent=1) + b"\n")
    return path
