"""The list of tests that run in turn names what is there (docs/decisions/0048)."""

from pathlib import Path

import pytest

from tests.scheduling import REAL
from tests.tidy.sources import ROOT


@pytest.mark.parametrize("start", REAL)
def test_what_runs_in_turn_is_there(start: str) -> None:
    assert any((ROOT / start).parent.glob(f"{Path(start).name}*"))
