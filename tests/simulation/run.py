"""Run the consensus simulator: `make sim SEEDS=1000 FROM=1`, or one seed, stored scenario or planted bug.

Prints progress, and one last line of JSON. For a violation it prints the seed and the end of its trace, makes
the scenario as small as it can, and stores that among the regressions, which every test run repeats. Exits 1
if any seed failed.

Examples:
  python -m tests.simulation.run --seeds 1000 --from 1 --jobs 2
  python -m tests.simulation.run --seeds 1 --from 4711 --trace
  python -m tests.simulation.run --replay tests/simulation/regressions/seed-4711.json
  python -m tests.simulation.run --seeds 50 --mutant quorum_of_half
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.draw import draw
from tests.simulation.mutants.table import MUTANTS
from tests.simulation.regressions import DIRECTORY, Regression, load, store
from tests.simulation.scenario import Outcome, Scenario
from tests.simulation.shrink import shrink, size
from tests.simulation.stage import play, run_seed

TRACE_LINES = 120
PROGRESS_S = 10

SHRUNK_MAX = 3
"""Failures that are made smaller and stored; the others are listed by seed."""


def main(arguments: list[str]) -> int:
    """Exit code: 0 if every oracle was content in every run."""
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        if options.mutant:
            stack.enter_context(MUTANTS[options.mutant].planted())
        if options.replay:
            return 1 if _show(load(options.replay).scenario).error else 0
        seeds = range(options.first, options.first + options.seeds)
        if options.trace:
            return max(1 if _show(draw(seed)).error else 0 for seed in seeds)
        return _campaign(seeds, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run them in")
    parser.add_argument("--trace", action="store_true", help="show the trace of each seed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run a stored scenario, with its trace")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), metavar="NAME", help="plant a bug first")
    parser.add_argument("--store", type=Path, default=DIRECTORY, help="where failures are stored")
    return parser


def _campaign(seeds: range, options: argparse.Namespace) -> int:
    began = told = time.monotonic()
    outcomes: list[Outcome] = []
    failed: list[int] = []
    for outcome in _outcomes(seeds, options.jobs, options.mutant):
        outcomes.append(outcome)
        if outcome.error:
            failed.append(outcome.seed)
            if len(failed) <= SHRUNK_MAX:
                _keep(outcome.seed, options.mutant or "", options.store)
        if time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            rate = len(outcomes) / (told - began)
            left_s = (len(seeds) - len(outcomes)) / rate
            done = f"{len(outcomes)} of {len(seeds)} seeds, {rate:.1f} seeds/s"
            print(f"{done}, {left_s:.0f} s left, {len(failed)} failed", flush=True)
    print(json.dumps(_summary(outcomes, sorted(failed), time.monotonic() - began)))
    return 1 if failed else 0


def _outcomes(seeds: Iterable[int], jobs: int, mutant: str | None) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(partial(_run, mutant), seeds, chunksize=5)


def _run(mutant: str | None, seed: int) -> Outcome:
    """One seed in a process of its own, where nothing is planted yet."""
    if mutant is None:
        return run_seed(seed)
    with MUTANTS[mutant].planted():
        return run_seed(seed)


def _show(scenario: Scenario) -> Outcome:
    """Run a scenario and print the end of its trace."""
    outcome = play(scenario, is_traced=True)
    for line in outcome.trace[-TRACE_LINES:]:
        print("   ", line)
    verdict = f"{outcome.oracle}: {outcome.error}" if outcome.error else "every oracle is content"
    print(f"seed {outcome.seed}: {verdict}", flush=True)
    return outcome


def _keep(seed: int, mutant: str, directory: Path) -> None:
    """Show what a seed fails of, make it smaller, store that."""
    scenario = draw(seed)
    _show(scenario)
    shrunk = shrink(scenario, play)
    regression = Regression(shrunk.outcome.oracle, shrunk.outcome.error, shrunk.scenario, mutant)
    path = store(regression, mutant.replace("_", "-") or f"seed-{seed}", directory)
    print(f"made smaller in {shrunk.tries} runs: {size(scenario)} -> {size(shrunk.scenario)}")
    print(f"stored as {path}: python -m tests.simulation.run --replay {path}", flush=True)


def _summary(outcomes: list[Outcome], failed: list[int], elapsed_s: float) -> dict[str, object]:
    findings: dict[str, int] = {}
    for outcome in outcomes:
        for name, count in outcome.findings.items():
            findings[name] = findings.get(name, 0) + count
    return {
        "ok": not failed,
        "seeds": len(outcomes),
        "failed": failed,
        "views": sum(outcome.views for outcome in outcomes),
        "blocks": sum(outcome.height for outcome in outcomes),
        "frames": sum(outcome.frames for outcome in outcomes),
        "findings": findings,
        "goal_after_ms_max": max((outcome.well_ms for outcome in outcomes), default=0),
        "seeds_per_s": round(len(outcomes) / elapsed_s, 2),
        "elapsed_s": round(elapsed_s, 1),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
