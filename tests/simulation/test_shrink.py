"""Shrinking keeps what fails and leaves out the rest."""

from dataclasses import replace as changed

import pytest
from msgspec.structs import replace

from tests.simulation.draw import draw
from tests.simulation.scenario import Outcome, Scenario
from tests.simulation.shrink import is_playable, shrink, simpler, size
from tests.simulation.stage import play

BIG = next(draw(seed) for seed in range(1, 100) if len(draw(seed).faults) > 3 and draw(seed).bad_keys)
CONTENT = Outcome(0, "", "", 0, 0, 0, 0, 0, {})


def fails_with_a_silent_node(scenario: Scenario) -> Outcome:
    """An oracle that objects to one kind of node, whatever else happens."""
    is_there = any(not node.is_honest for node in scenario.nodes)
    return changed(CONTENT, oracle="audit", error="no") if is_there else CONTENT


def test_only_what_matters_is_left() -> None:
    shrunk = shrink(BIG, fails_with_a_silent_node).scenario
    nodes, faults, committees, well_ms = size(shrunk)
    assert (faults, committees, well_ms) == (0, 1, 0)
    assert nodes < len(BIG.nodes)
    assert fails_with_a_silent_node(shrunk).error


def test_same_scenario_shrinks_in_the_same_way() -> None:
    assert shrink(BIG, fails_with_a_silent_node) == shrink(BIG, fails_with_a_silent_node)


def test_candidates_are_as_fair_as_the_original_and_differ() -> None:
    candidates = list(simpler(BIG))
    assert candidates
    assert BIG not in candidates
    assert all(is_playable(candidate) for candidate in candidates)
    assert {candidate.is_overwhelmed for candidate in candidates} == {BIG.is_overwhelmed}


def test_search_stops_in_time() -> None:
    assert shrink(BIG, fails_with_a_silent_node, tries_max=5).tries == 5


def test_what_passes_is_not_shrunk() -> None:
    with pytest.raises(AssertionError):
        shrink(BIG, lambda _: CONTENT)


def test_real_failure_keeps_its_oracle() -> None:
    hopeless = next(
        draw(seed) for seed in range(1, 50) if draw(seed).goal_blocks and len(draw(seed).nodes) < 6
    )
    hopeless = replace(hopeless, patience_ms=1)
    assert play(hopeless).oracle == "liveness"
    assert shrink(hopeless, play, tries_max=20).outcome.oracle == "liveness"
