"""Run the consensus simulator: `python -m tests.simulation.run --seeds 1000 --from 1`.

Prints progress, for a violation its seed and the end of its trace, and one last line of JSON. Exits 1 if any
seed failed.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import get_context

from tests.simulation.scenario import Outcome
from tests.simulation.stage import run_seed

TRACE_LINES = 120
PROGRESS_S = 10


def main(arguments: list[str]) -> int:
    """Exit code: 0 if every oracle was content in every run."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run them in")
    options = parser.parse_args(arguments)
    began = told = time.monotonic()
    outcomes: list[Outcome] = []
    for outcome in _outcomes(range(options.first, options.first + options.seeds), options.jobs):
        outcomes.append(outcome)
        if outcome.error:
            _show(outcome)
        if time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            rate = len(outcomes) / (told - began)
            print(f"{len(outcomes)} of {options.seeds} seeds, {rate:.1f} seeds/s", flush=True)
    failed = sorted(outcome.seed for outcome in outcomes if outcome.error)
    print(json.dumps(_summary(outcomes, failed, time.monotonic() - began)))
    return 1 if failed else 0


def _outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=5)


def _show(outcome: Outcome) -> None:
    """Run a failed seed again, with its trace."""
    print(f"seed {outcome.seed}: {outcome.oracle}: {outcome.error}")
    for line in run_seed(outcome.seed, is_traced=True).trace[-TRACE_LINES:]:
        print("   ", line)


def _summary(outcomes: list[Outcome], failed: list[int], elapsed_s: float) -> dict[str, object]:
    findings: dict[str, int] = {}
    for outcome in outcomes:
        for name, count in outcome.findings.items():
            findings[name] = findings.get(name, 0) + count
    settled = sorted(outcome.well_ms for outcome in outcomes)
    return {
        "ok": not failed,
        "seeds": len(outcomes),
        "failed": failed,
        "views": sum(outcome.views for outcome in outcomes),
        "blocks": sum(outcome.height for outcome in outcomes),
        "frames": sum(outcome.frames for outcome in outcomes),
        "findings": findings,
        "goal_after_ms_max": settled[-1],
        "seeds_per_s": round(len(outcomes) / elapsed_s, 2),
        "elapsed_s": round(elapsed_s, 1),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
