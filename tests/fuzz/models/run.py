"""Fuzz the prover and the engines: `python -m tests.fuzz.models.run --count 10000`. Exit code 1 if a model
does harm; it is then kept in `tests/fuzz/models/cases`.
"""

import argparse
import sys
import time
from random import Random, SystemRandom

from inference.supervisor import Supervisor
from tests.fuzz.models.corpus import SEED_BYTES_MAX, converted, seeds
from tests.fuzz.models.fuzz import WORKER, Harm, Tally, grown, judge, keep


def main() -> int:
    """As many models as asked for; the seed is told first, to have the same again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.models.run", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    known = [*seeds(), *(model for model in converted() if len(model) <= SEED_BYTES_MAX)]
    print(f"{len(known)} models to start from", flush=True)
    tally, failed, began = Tally(), 0, time.monotonic()
    with Supervisor(WORKER) as supervisor:
        for index in range(given.count):
            random = Random(f"{given.seed} {index}")
            data = grown(known, random)
            try:
                judge(data, supervisor, random, tally)
            except Harm as harm:
                failed += 1
                print(f"FAILED {index}: {harm}; kept in {keep(data)}", flush=True)
            if (index + 1) % 1000 == 0:
                print(_figures(tally, time.monotonic() - began), flush=True)
        print(f"workers replaced: {dict(supervisor.ended)}")
    for reason, count in tally.refusals.most_common(20):
        print(f"{count:7} {reason}")
    print(f"{failed} failed; {_figures(tally, time.monotonic() - began)}")
    return min(failed, 1)


def _figures(tally: Tally, took_s: float) -> str:
    return (
        f"{tally.cases} models, {tally.proved} proved ({tally.proved / tally.cases:.0%}), {tally.runs} runs, "
        f"slowest proof {tally.slowest_s:.2f} s, {took_s:.0f} s in all"
    )


if __name__ == "__main__":
    sys.exit(main())
