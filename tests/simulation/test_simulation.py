"""Safety holds under every fault, liveness once faults stop; what failed once does not fail again."""

import os
import subprocess
import sys

import pytest

from tests.simulation.draw import MOODS, draw
from tests.simulation.mutants.table import MUTANTS
from tests.simulation.run import main
from tests.simulation.scenario import Restore
from tests.simulation.stage import run_seed

SEEDS = 1000
PART = 50


@pytest.mark.parametrize("first", range(1, 1 + SEEDS, PART))
def test_oracles_are_content_with_every_seed(first: int) -> None:
    for seed in range(first, first + PART):
        outcome = run_seed(seed)
        assert not outcome.error, f"make sim SEEDS=1 FROM={seed}: {outcome.oracle}: {outcome.error}"


def test_same_seed_gives_the_same_run() -> None:
    assert run_seed(7, is_traced=True) == run_seed(7, is_traced=True)


def test_run_depends_on_nothing_but_its_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither on what the process did before, nor on the order of its sets."""
    command = [sys.executable, "-m", "tests.simulation.run", "--seeds", "4", "--from", "6", "--trace"]
    alone = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    ).stdout
    shown = []
    for seed in (9, 8, 7, 6):
        with MUTANTS["quorum_of_half"].planted():
            run_seed(seed)
        main(["--seeds", "1", "--from", str(seed), "--trace"])
        shown.append(capsys.readouterr().out)
    assert "".join(reversed(shown)) == alone


def test_no_disk_goes_back_that_alone_may_hold_a_final_block() -> None:
    """In that seed it would be the disk of more than two thirds of the stake."""
    scenario = draw(3017513)
    assert not any(isinstance(fault, Restore) for fault in scenario.faults)


def test_seeds_cover_what_is_to_be_tried() -> None:
    scenarios = [draw(seed) for seed in range(1, 1 + SEEDS)]
    kinds = {node.kind for scenario in scenarios for node in scenario.nodes}
    faults = {type(fault).__name__ for scenario in scenarios for fault in scenario.faults}
    sizes = {len(seats) for scenario in scenarios for seats in scenario.committees}
    assert {"follower", "relay", "replayer", "selective", "silent", "twin"} <= kinds
    assert faults == {"Crash", "PowerCut", "Restore", "ClockStep"}
    assert sizes == set(range(4, 17))
    assert sum(scenario.history is not None for scenario in scenarios) > 10
    assert sum(scenario.is_overwhelmed for scenario in scenarios) > 10
    assert sum(scenario.sync is not None for scenario in scenarios) > SEEDS // 3
    assert len(MOODS) == 6
