"""Safety holds under every fault, liveness once faults stop."""

import pytest

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
