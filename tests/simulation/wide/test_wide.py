"""The engine on a world-wide network: simulated time, so that the figures are the same on every machine."""

from tests.simulation.wide.cities import cities, read_delays
from tests.simulation.wide.run import Plan, measure


def test_every_pair_of_cities_has_a_plausible_delay() -> None:
    delays = read_delays()
    names = cities(delays)
    assert len(names) == 25
    assert delays.keys() == {(one, other) for one in names for other in names}
    for one in names:
        for other in names:
            assert 0.5 < delays[one, other] < 200
            assert abs(delays[one, other] - delays[other, one]) <= 25


def test_finality_takes_three_delays_and_the_pace_is_kept() -> None:
    figures = measure(Plan(nodes=7, blocks=6, real_keys=False))
    assert figures["finality_ms_p99"] < 600
    assert 1900 < figures["interval_ms_p50"] < 2100


def test_almost_a_third_may_be_silent() -> None:
    figures = measure(Plan(nodes=10, blocks=6, scenario="silent", real_keys=False))
    assert figures["blocks"] >= 6


def test_a_region_that_was_cut_off_comes_back() -> None:
    figures = measure(Plan(nodes=25, blocks=30, scenario="region", real_keys=False))
    assert figures["blocks"] >= 30


def test_large_blocks_wait_for_the_uplink_of_their_leader() -> None:
    small = measure(Plan(nodes=10, blocks=4, real_keys=False))
    large = measure(Plan(nodes=10, blocks=4, transfers=1_000, real_keys=False))
    sending_ms = 9 * large["block_kb"] * 8 / 100
    assert large["finality_ms_p50"] > small["finality_ms_p50"] + sending_ms / 2
