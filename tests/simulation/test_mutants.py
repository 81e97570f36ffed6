"""Planted bugs are noticed, each by an oracle that fits what it breaks."""

import json
from pathlib import Path

import pytest

from node.consensus.core import Core
from primitives.committee import Committee
from tests.simulation.mutants.__main__ import DOCUMENT, TABLES_BEGIN, TABLES_END, main
from tests.simulation.mutants.plant import Breaks, Change, Mutant
from tests.simulation.mutants.stored import read_stored
from tests.simulation.mutants.table import MUTANTS, SAFETY_ORACLES, SURVIVORS, fits, kill, read_hints
from tests.simulation.oracles import Oracle
from tests.simulation.stage import play

HINTS = read_hints()
STORED = read_stored()
WRITTEN_FOR = [(title, name) for title, stored in STORED.items() for name in stored.mutants]
SEEDS_AFTER = range(1, 41)
"""Tried where a hint has become stale: what a seed draws changes with the simulator."""


@pytest.mark.parametrize("name", HINTS)
def test_planted_bug_is_noticed(name: str) -> None:
    line = kill(name, [HINTS[name], *SEEDS_AFTER])
    assert line.oracle, f"python -m tests.simulation.mutants {name} --renew-hints"


@pytest.mark.parametrize("title", STORED)
def test_real_engine_passes_every_scenario_written_by_hand(title: str) -> None:
    assert play(STORED[title].scenario).error == ""


@pytest.mark.parametrize(("title", "name"), WRITTEN_FOR)
def test_scenario_written_by_hand_kills(title: str, name: str) -> None:
    with MUTANTS[name].planted():
        outcome = play(STORED[title].scenario)
    assert outcome.error
    assert fits(MUTANTS[name], outcome.oracle), outcome.error


def test_every_mutant_is_noticed_or_explained() -> None:
    noticed = {*HINTS, *(name for _, name in WRITTEN_FOR)}
    assert noticed | {*SURVIVORS} == {*MUTANTS}
    assert noticed.isdisjoint(SURVIVORS)
    assert len(noticed) >= 40


@pytest.mark.parametrize("name", MUTANTS)
def test_document_tells_of_every_mutant(name: str) -> None:
    words, _, rest = DOCUMENT.read_text().partition(TABLES_BEGIN)
    tables = rest.partition(TABLES_END)[0]
    assert f"| `{name}` | {MUTANTS[name].what} | {MUTANTS[name].breaks.value} |" in tables
    assert name not in SURVIVORS or f"- `{name}`: {SURVIVORS[name]}" in " ".join(words.split())


def test_what_was_planted_is_taken_out_again() -> None:
    real = vars(Core)["_cast"], vars(Committee)["is_quorum"]
    for mutant in MUTANTS.values():
        with pytest.raises(InterruptedError), mutant.planted():
            raise InterruptedError
    assert (vars(Core)["_cast"], vars(Committee)["is_quorum"]) == real


def test_all_changes_are_made_together() -> None:
    class Target:
        first, second = 1, 2

    changes = (
        Change(Target, "first", lambda real: real + 10),
        Change(Target, "second", lambda real: real + 10),
    )
    with Mutant("sums", "adds", Breaks.SAFETY, changes).planted():
        assert (Target.first, Target.second) == (11, 12)
    assert (Target.first, Target.second) == (1, 2)


def test_no_two_mutants_are_the_same() -> None:
    assert len({mutant.what for mutant in MUTANTS.values()}) == len(MUTANTS)


@pytest.mark.parametrize("oracle", Oracle)
def test_bug_of_safety_is_killed_by_an_oracle_of_safety_alone(oracle: Oracle) -> None:
    unsafe = Mutant("unsafe", "breaks", Breaks.SAFETY, ())
    slow = Mutant("slow", "breaks", Breaks.LIVENESS, ())
    assert fits(unsafe, oracle.value) == (oracle in SAFETY_ORACLES)
    assert fits(slow, oracle.value) == (oracle != Oracle.ENGINE)


def test_command_refuses_an_unknown_mutant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no_such_bug"]) == 2
    assert "no_such_bug" in capsys.readouterr().err


def test_command_fails_for_a_survivor_that_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quorum_of_half", "--seeds", "0", "--jobs", "1", "--json"]) == 1
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["name"], line["oracle"], line["seed"]) == ("quorum_of_half", "", 0)


def test_document_keeps_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "mutants.md"
    copy.write_text(f"before\n{TABLES_BEGIN}old\n{TABLES_END}after\n")
    monkeypatch.setattr("tests.simulation.mutants.__main__.DOCUMENT", copy)
    assert main(["quorum_of_half", "--seeds", "0", "--jobs", "1", "--json", "--markdown"]) == 1
    text = copy.read_text()
    assert text.startswith(f"before\n{TABLES_BEGIN}")
    assert text.endswith(f"{TABLES_END}after\n")
    assert "| `quorum_of_half` |" in text
    assert "old" not in text
