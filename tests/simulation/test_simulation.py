"""Safety holds under every fault, liveness once faults stop; planted bugs are noticed."""

import pytest

from tests.simulation.mutants import MUTANTS, hunt
from tests.simulation.stage import run_seed

SEEDS = 200
SLICES = 10


@pytest.mark.parametrize("part", range(SLICES))
def test_oracles_are_content_with_every_seed(part: int) -> None:
    for seed in range(1 + part, 1 + SEEDS, SLICES):
        outcome = run_seed(seed)
        assert outcome.error == "", f"python -m tests.simulation.run --seeds 1 --from {seed}"


def test_same_seed_gives_the_same_run() -> None:
    assert run_seed(7) == run_seed(7)


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_bug_is_noticed(name: str) -> None:
    assert hunt(name)[1] is not None
