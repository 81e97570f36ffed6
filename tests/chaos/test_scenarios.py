"""A short selection of scenarios on real nodes, and a look at all of the shipped ones."""

from pathlib import Path

import pytest

from cli.testnet_scenario import load_scenario
from tests.chaos.run import SCENARIOS, SHORT, run_scenario


@pytest.mark.parametrize("name", SHORT)
def test_scenario_shows_what_it_must(name: str) -> None:
    found = run_scenario(name)
    assert found["failure"] is None, found
    assert found["votes"] > 20


@pytest.mark.parametrize("path", SCENARIOS.values(), ids=SCENARIOS)
def test_every_shipped_scenario_is_one(path: Path) -> None:
    assert load_scenario(path).steps
