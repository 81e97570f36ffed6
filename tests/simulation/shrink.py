"""From a scenario that fails to the smallest that was found to fail in the same way.

A greedy search without chance: the candidates that differ by one simplification are tried in a fixed order,
the boldest first; the first that makes the same oracle object becomes the scenario, and the search begins
anew, until none does. A candidate may have another seed: with a node less, chance falls differently, and what
matters is that so little can fail at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from tests.simulation.scenario import HONEST_KIND, Outcome, PowerCut, Restore, Scenario, Seat, Weather

TRIES_MAX = 1000
"""Runs that a search may take."""

LUCK = 3
"""Other seeds tried for each candidate."""

Play = Callable[[Scenario], Outcome]


@dataclass(frozen=True)
class Shrunk:
    """What a search came to."""

    scenario: Scenario
    outcome: Outcome
    tries: int


def shrink(scenario: Scenario, play: Play, tries_max: int = TRIES_MAX) -> Shrunk:
    """The smallest scenario found in which `play` meets the same oracle. The given one must fail."""
    outcome = play(scenario)
    assert outcome.oracle, "a scenario that fails"
    tries, is_smaller = 1, True
    while is_smaller:
        is_smaller = False
        for candidate in _candidates(scenario):
            if tries >= tries_max:
                break
            tries += 1
            tried = play(candidate)
            if tried.oracle == outcome.oracle:
                scenario, outcome, is_smaller = candidate, tried, True
                break
    return Shrunk(scenario, outcome, tries)


def _candidates(scenario: Scenario) -> Iterator[Scenario]:
    """First as chance falls now, then with other luck."""
    yield from simpler(scenario)
    for seed in range(LUCK):
        yield from (
            replace(candidate, seed=seed) for candidate in simpler(scenario) if seed != candidate.seed
        )


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios that differ by one simplification, and are as fair as the given one."""
    for candidate in _simpler(scenario):
        is_as_fair = candidate.is_overwhelmed == scenario.is_overwhelmed
        if candidate != scenario and is_playable(candidate) and is_as_fair:
            yield candidate


def is_playable(scenario: Scenario) -> bool:
    """Whether there is somebody honest, and in each committee less than two thirds of the stake that is not:
    beyond, nothing is promised."""
    bad = scenario.bad_keys
    return any(node.kind == HONEST_KIND for node in scenario.nodes) and all(
        3 * sum(seat.stake for seat in seats if seat.key in bad) < 2 * sum(seat.stake for seat in seats)
        for seats in scenario.committees
    )


def size(scenario: Scenario) -> tuple[int, int, int, int]:
    """Nodes, faults, committees and simulated time before stabilisation: what shrinking makes smaller."""
    weather = scenario.weather
    faults = len(scenario.faults) + len(weather.partitions) + (weather.blackout is not None)
    return len(scenario.nodes), faults, len(scenario.committees), weather.well_from_ms


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    yield replace(scenario, committees=scenario.committees[:1])
    yield replace(scenario, faults=())
    yield from _shorter(scenario)
    yield replace(scenario, weather=Weather(well_from_ms=scenario.weather.well_from_ms))
    yield from (_without(scenario, node.name) for node in scenario.nodes)
    yield from (
        replace(scenario, faults=(*scenario.faults[:index], *scenario.faults[index + 1 :]))
        for index in range(len(scenario.faults))
    )
    yield from (replace(scenario, weather=weather) for weather in _calmer(scenario.weather))
    yield from _plainer(scenario)
    yield from _plainer_nodes(scenario)
    yield from (
        replace(scenario, committees=scenario.committees[:count])
        for count in range(len(scenario.committees) - 1, 1, -1)
    )


def _without(scenario: Scenario, name: str) -> Scenario:
    """The scenario without a node, its faults, and its seats if nobody else has its key."""
    nodes = tuple(node for node in scenario.nodes if node.name != name)
    keys = {node.key for node in nodes}
    weather, history = scenario.weather, scenario.history
    cuts = tuple(
        replace(cut, side=tuple(other for other in cut.side if other != name)) for cut in weather.partitions
    )
    if history is not None:
        history = replace(history, absent=tuple(other for other in history.absent if other != name))
    return replace(
        scenario,
        nodes=nodes,
        committees=tuple(tuple(seat for seat in seats if seat.key in keys) for seats in scenario.committees),
        faults=tuple(fault for fault in scenario.faults if isinstance(fault, PowerCut) or fault.node != name),
        weather=replace(weather, partitions=cuts),
        history=history,
    )


def _calmer(weather: Weather) -> Iterator[Weather]:
    cuts = weather.partitions
    yield from (
        replace(weather, partitions=(*cuts[:index], *cuts[index + 1 :])) for index in range(len(cuts))
    )
    yield replace(weather, blackout=None)
    yield replace(weather, loss_percent=0)
    yield replace(weather, duplication_percent=0)
    yield replace(weather, storm_delay_ms=min(20, weather.storm_delay_ms))
    yield replace(weather, delay_ms=min(20, weather.delay_ms))


def _plainer(scenario: Scenario) -> Iterator[Scenario]:
    yield replace(scenario, sync=None)
    yield replace(scenario, history=None)
    yield replace(scenario, unable_percent=0)
    yield replace(scenario, disk_ms=0)
    yield replace(scenario, are_keys_real=False)
    yield replace(scenario, is_journal_forgetful=False)
    yield replace(scenario, are_dead_in_a_row=False)
    yield replace(
        scenario,
        committees=tuple(tuple(Seat(seat.key) for seat in seats) for seats in scenario.committees),
    )
    faults = tuple(
        replace(fault, copied_ms=0) if isinstance(fault, Restore) else fault for fault in scenario.faults
    )
    yield replace(scenario, faults=faults)


def _plainer_nodes(scenario: Scenario) -> Iterator[Scenario]:
    yield replace(scenario, nodes=tuple(replace(node, skew_ms=0, start_ms=0) for node in scenario.nodes))
    for index, node in enumerate(scenario.nodes):
        for plain in (replace(node, kind=HONEST_KIND), replace(node, skew_ms=0), replace(node, start_ms=0)):
            is_alone = sum(other.key == node.key for other in scenario.nodes) == 1
            if is_alone or plain.kind == node.kind:
                yield replace(scenario, nodes=(*scenario.nodes[:index], plain, *scenario.nodes[index + 1 :]))


def _shorter(scenario: Scenario) -> Iterator[Scenario]:
    weather = scenario.weather
    for well_ms in (0, weather.well_from_ms // 2):
        yield replace(
            scenario,
            weather=replace(weather, well_from_ms=well_ms),
            faults=tuple(fault for fault in scenario.faults if fault.at_ms <= well_ms),
        )
    if scenario.goal_blocks > 1:
        yield replace(scenario, goal_blocks=scenario.goal_blocks // 2)
    if scenario.epoch_length > 2:
        yield replace(scenario, epoch_length=scenario.epoch_length - 1)
    if scenario.history is not None and scenario.history.views > 1:
        yield replace(scenario, history=replace(scenario.history, views=scenario.history.views // 2))
