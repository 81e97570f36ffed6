"""What failed once passes now; if it failed by a planted bug, that bug still fails."""

from pathlib import Path

import pytest

from tests.simulation.mutants.table import MUTANTS
from tests.simulation.regressions import DIRECTORY, Regression, load, store
from tests.simulation.scenario import Crash, Node, Partition, Scenario, Seat, Sync, Weather
from tests.simulation.stage import play

FILES = sorted(DIRECTORY.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_real_engine_passes(path: Path) -> None:
    outcome = play(load(path).scenario)
    assert outcome.error == "", f"python -m tests.simulation.run --replay {path}"


PLANTED = [path for path in FILES if load(path).mutant]


@pytest.mark.parametrize("path", PLANTED, ids=lambda path: path.stem)
def test_planted_bug_still_fails(path: Path) -> None:
    regression = load(path)
    with MUTANTS[regression.mutant].planted():
        assert play(regression.scenario).oracle == regression.oracle


def test_what_is_stored_is_what_is_loaded(tmp_path: Path) -> None:
    scenario = Scenario(
        seed=3,
        nodes=(Node("n0", 0), Node("n1", 1, "silent", skew_ms=-5)),
        committees=((Seat(0, 3), Seat(1)),),
        epoch_length=2,
        weather=Weather(well_from_ms=10, partitions=(Partition(0, 5, ("n0",)),)),
        faults=(Crash("n0", 1, 2),),
        sync=Sync(50, 1),
    )
    regression = Regression("audit", "what it said", scenario, "quorum_of_half")
    assert load(store(regression, "name", tmp_path)) == regression
