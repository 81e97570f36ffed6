"""Plant each bug in the engine and see which oracle notices: `python -m tests.simulation.mutants`.

Prints a line for each mutant as soon as it is killed: what it breaks, the first seed in which a fitting
oracle objects, and that oracle with what it said. A mutant that breaks safety is killed only by an oracle of
safety. Exits 1 if one survives whose survival is not explained in `docs/mutants.md`.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.simulation.mutants.table import (
    MUTANTS,
    SEEDS,
    SURVIVORS,
    Kill,
    as_markdown,
    as_text,
    kills,
    write_hints,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "mutants.md"
TABLES_BEGIN, TABLES_END = "<!-- tables -->\n", "<!-- end of tables -->\n"


def main(arguments: list[str]) -> int:
    """Exit code: 0 if every mutant was killed, or survived as explained."""
    options = _parser().parse_args(arguments)
    names = options.names or list(MUTANTS)
    unknown = [name for name in names if name not in MUTANTS]
    if unknown:
        print(f"no such mutant: {', '.join(unknown)}; --list shows all", file=sys.stderr)
        return 2
    if options.list:
        print(
            "\n".join(
                f"{mutant.name:34} {mutant.breaks.value:8} {mutant.what}" for mutant in MUTANTS.values()
            )
        )
        return 0
    seeds = range(options.first, options.first + options.seeds)
    lines = _show(kills(names, seeds, options.jobs), len(names), is_quiet=options.json)
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
    if options.renew_hints:
        write_hints(lines)
    if options.markdown:
        write_document(lines)
    return 1 if any(not line.oracle and line.name not in SURVIVORS for line in lines) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants to hunt; all if none is given")
    parser.add_argument("--list", action="store_true", help="name all mutants and stop")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds to survive; {SEEDS} if not given")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to hunt in")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of lines")
    parser.add_argument("--renew-hints", action="store_true", help="keep the seeds for the tests")
    parser.add_argument("--markdown", action="store_true", help="write the tables of docs/mutants.md")
    return parser


def _show(found: Iterable[Kill], count: int, *, is_quiet: bool) -> list[Kill]:
    lines = []
    for line in found:
        lines.append(line)
        if not is_quiet:
            print(f"{len(lines):3}/{count} {as_text(line)}", flush=True)
    return sorted(lines, key=lambda line: list(MUTANTS).index(line.name))


def write_document(lines: list[Kill]) -> None:
    """Put the tables into the document, and leave its words."""
    before, _, rest = DOCUMENT.read_text().partition(TABLES_BEGIN)
    after = rest.partition(TABLES_END)[2]
    DOCUMENT.write_text(before + TABLES_BEGIN + "\n" + as_markdown(lines) + "\n" + TABLES_END + after)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
