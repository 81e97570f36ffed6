"""Fuzz as long as you like: `python -m tests.fuzz.run --seconds 600`. Exit code 1 if something does harm."""

import argparse
import sys
import time
import tracemalloc
from pathlib import Path
from random import Random, SystemRandom
from tempfile import TemporaryDirectory

from tests.fuzz.fuzz import Harm, fuzz
from tests.fuzz.targets import journal_target, targets


def main() -> int:
    """One round after the other over all targets; the seed is told first, to have the same cases again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", default="", help="targets with this in their name")
    given = parser.parse_args()
    print(f"seed {given.seed}")
    failed = 0
    tracemalloc.start()
    with TemporaryDirectory() as directory:
        everyone = [*targets(), journal_target(Path(directory))]
        chosen = [target for target in everyone if given.only in target.name]
        for target in chosen:
            try:
                until = time.monotonic() + given.seconds / len(chosen)
                tally = fuzz(target, Random(f"{given.seed} {target.name}"), until)
                print(f"{target.name:52} {tally.cases:9} cases {tally.accepted:9} accepted", flush=True)
            except Harm as harm:
                failed += 1
                print(f"FAILED {harm}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
