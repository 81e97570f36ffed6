"""Run scenarios, the shipped ones and those of test builds: `python -m tests.chaos.run [--short] [NAME ...]`.

Prints one line of JSON for each, then a table. What the nodes said is kept of those that fail. Exits 1 if any
did.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from cli.output import print_table
from cli.testnet_processes import CONSIL

ROOT: Final = Path(__file__).parents[2]
SCENARIOS: Final = {
    path.stem: path
    for folder in (ROOT / "examples" / "scenarios", ROOT / "tests" / "chaos" / "scenarios")
    for path in sorted(folder.glob("*.toml"))
}

SHORT: Final = ("two-against-two", "journal-lost", "disk-full", "double-voter")
"""What CI has the time for."""

TIMEOUT_S: Final = 1200.0


def run_scenario(name: str, *options: str, narrate: bool = False) -> dict[str, Any]:
    """What a scenario came to, in a process of its own; `narrate`: its steps go to standard error."""
    # Test builds are modules of this repository, which the nodes find because they are started in it.
    done = subprocess.run(
        [*CONSIL, "testnet", "run", str(SCENARIOS[name]), "--json", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=None if narrate else subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if not done.stdout:
        return {"scenario": name, "ok": False, "failure": (done.stderr or "it ended without a word")[-2000:]}
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 if every scenario showed what it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--short", action="store_true", help="only what CI runs")
    parser.add_argument("--time-scale", default="1", help="of random kills")
    options = parser.parse_args(arguments)
    names: Iterable[str] = options.names or (SHORT if options.short else SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    found = []
    for name in names:
        found.append(run_scenario(name, "--time-scale", options.time_scale, narrate=True))
        print(json.dumps(found[-1]), flush=True)
    columns = ("scenario", "ok", "elapsed_s", "slowest_wait_s", "blocks", "kills", "votes", "double_votes")
    print_table(columns, [[one.get(column, "-") for column in columns] for one in found], "no scenarios")
    return 0 if all(one["ok"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
