"""A world whose invariants are checked when the test is over."""

from collections.abc import Iterator

import pytest

from tests.pallets.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """All pallets, checked afterwards."""
    world = World()
    yield world
    world.check_state()
