"""Scenarios written by hand, each for bugs that chance hardly ever meets: `scenarios/*.json`.

The real engine passes each of them, and each planted bug that it names fails. Where chance still decides (the
delays of single messages), there are many occasions in one run.
"""

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from tests.simulation.scenario import Scenario

DIRECTORY: Final = Path(__file__).with_name("scenarios")


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file."""

    about: str
    """What happens, and what the mutants would do about it."""

    mutants: tuple[str, ...]
    """Who fails."""

    scenario: Scenario


@cache
def read_stored() -> dict[str, Stored]:
    """All of them, by name."""
    files = sorted(DIRECTORY.glob("*.json"))
    return {path.stem: msgspec.json.decode(path.read_bytes(), type=Stored) for path in files}


def written_for(mutant: str) -> dict[str, Scenario]:
    """The scenarios that a mutant fails, by name."""
    return {name: stored.scenario for name, stored in read_stored().items() if mutant in stored.mutants}
