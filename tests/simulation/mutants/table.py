"""Which oracle notices which mutant, and after how many seeds."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.simulation.draw import draw
from tests.simulation.mutants import epochs, light, pace, persistence, proposals, quorum, signing, voting
from tests.simulation.mutants.plant import Breaks, Mutant
from tests.simulation.mutants.stored import written_for
from tests.simulation.oracles import Oracle
from tests.simulation.scenario import Scenario
from tests.simulation.stage import play

SEEDS: Final = 400
"""Seeds from 1 that a mutant is given to survive."""

SAFETY_ORACLES: Final = frozenset(
    {
        Oracle.AGREEMENT,
        Oracle.CERTIFICATES,
        Oracle.DOUBLE_VOTE,
        Oracle.EVIDENCE,
        Oracle.AUDIT,
        Oracle.DURABILITY,
        Oracle.LIGHT,
    }
)
"""Who a mutant that breaks safety is to be noticed by."""

HINTS_PATH: Final = Path(__file__).with_name("hints.json")
"""For each mutant without a scenario of its own a seed in which it is noticed, by `--renew-hints`."""

FAMILIES: Final = tuple(
    module.plant for module in (quorum, signing, voting, persistence, proposals, pace, epochs, light)
)
MUTANTS: Final = {name: mutant for family in FAMILIES for name, mutant in family.mutants.items()}
"""All of them, by name."""

SURVIVORS: Final[dict[str, str]] = {
    "epoch_unsigned": (
        "equivalent, and not counted: the anchor, which is signed as well, is the hash of the last block of "
        "the epoch before, so that messages that differ in the epoch differ in the anchor too. Without both "
        "it is `epoch_and_anchor_unsigned`"
    ),
    "one_question_for_all": "costs less than a period: the next expiry asks again, whatever was asked before",
}
"""Mutants that no oracle notices, and why."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One line of the table."""

    name: str
    what: str
    breaks: str
    oracle: str
    """Which one killed the mutant; empty if none did."""

    said: str
    scenario: str
    """Written by hand, in which it did; empty if none did."""

    seed: int
    """In which it did, the first of those tried; 0 if none."""

    seconds: float
    """That the last run took, of this process's time."""


def kill(name: str, seeds: Iterable[int]) -> Kill:
    """The first run in which a mutant is noticed by an oracle that fits what it breaks: of the scenarios that
    were written for it, then of `seeds`."""
    mutant, oracle, said, found, began = MUTANTS[name], "", "", ("", 0), 0.0
    with mutant.planted():
        for where, scenario in _runs(name, seeds):
            began = time.process_time()
            outcome = play(scenario)
            if outcome.error and fits(mutant, outcome.oracle):
                oracle, said, found = outcome.oracle, outcome.error, where
                break
    return Kill(
        name=name,
        what=mutant.what,
        breaks=mutant.breaks.value,
        oracle=oracle,
        said=said,
        scenario=found[0],
        seed=found[1],
        seconds=round(time.process_time() - began, 3),
    )


def _runs(name: str, seeds: Iterable[int]) -> Iterator[tuple[tuple[str, int], Scenario]]:
    """What is played, and its name or seed."""
    yield from (((title, 0), scenario) for title, scenario in written_for(name).items())
    yield from ((("", seed), draw(seed)) for seed in seeds)


def fits(mutant: Mutant, oracle: str) -> bool:
    """Whether an oracle kills a mutant, and not by luck: one that breaks safety is killed by an oracle of
    safety, any other by all but a mere crash."""
    if mutant.breaks == Breaks.SAFETY:
        return Oracle(oracle) in SAFETY_ORACLES
    return Oracle(oracle) != Oracle.ENGINE


def kills(names: Sequence[str], seeds: Iterable[int], jobs: int) -> Iterator[Kill]:
    """A line for each mutant, as they come."""
    hunt = partial(kill, seeds=list(seeds))
    if jobs == 1:
        yield from map(hunt, names)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(hunt, names)


def read_hints() -> dict[str, int]:
    """The committed hints."""
    hints: dict[str, int] = json.loads(HINTS_PATH.read_text())
    return hints


def write_hints(lines: Iterable[Kill]) -> None:
    """Commit to the seeds of these lines; mutants that were not hunted keep theirs. For whom a scenario is
    written, no seed is kept."""
    hints = {**read_hints(), **{line.name: line.seed for line in lines if line.seed}}
    hints = {name: hints[name] for name in sorted(hints) if name in MUTANTS and not written_for(name)}
    HINTS_PATH.write_text(json.dumps(hints, indent=2) + "\n")


def as_text(line: Kill) -> str:
    """One line for a terminal."""
    end = f"{line.oracle}: {line.said}" if line.oracle else "SURVIVED"
    if not line.oracle and line.name in SURVIVORS:
        end = "survived, as explained"
    return f"{line.name:34} {line.breaks:8} {line.scenario or line.seed or '':>5} {end}"


def as_markdown(lines: Iterable[Kill]) -> str:
    """The tables of `docs/mutants.md`, one for each family."""
    by_name = {line.name: line for line in lines}
    parts = []
    for family in FAMILIES:
        rows = [_row(by_name[name]) for name in family.mutants if name in by_name]
        head = [
            "| mutant | the engine ... | breaks | noticed by | seed or scenario |",
            "|---|---|---|---|---|",
        ]
        parts.append("\n".join([f"## {family.title}", "", *head, *rows]))
    return "\n\n".join(parts) + "\n"


def _row(line: Kill) -> str:
    oracle, where = line.oracle or "nobody", f"`{line.scenario}`" if line.scenario else line.seed or "-"
    return f"| `{line.name}` | {line.what} | {line.breaks} | {oracle} | {where} |"
