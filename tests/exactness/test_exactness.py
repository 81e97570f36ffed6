"""The machinery of `make exactness`, over two small models and a few settings of this environment."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.exactness.cases import SAMPLES, Case, Form, has_open_batch, prepare_self_test
from tests.exactness.machines import Machine, Missing, run
from tests.exactness.run import Evidence, Tally, collect, conclude, enter, prepared
from tests.exactness.runner import at_once, digest, results, stacked
from tests.models.load import Array, load, run_float

MODELS: Final = ("diabetes_mlp", "digits_cnn")

MACHINE: Final = Machine(
    name="here", command=(sys.executable,), threads=(1, 2), levels=("none", "all"), emulated=True
)
SETTINGS: Final = 2 * 2 * 2
"""Threads, levels and rows."""

FLIPPING: Final = """
honest = runner.session

class Session:
    def __init__(self, model, threads):
        self.model, self.threads = model, threads

    def run(self, outputs, feed):
        arrays = [array.copy() for array in self.model.run(outputs, feed)]
        if self.threads == 2:
            arrays[0].view("uint8").reshape(-1)[0] ^= 1
        return arrays

runner.session = lambda file, threads, level, entries: Session(honest(file, threads, level, entries), threads)
"""
"""A library that flips the lowest bit of one number when it has two threads."""

DYING: Final = """
honest = runner.results

def results(folder, case, plan):
    if case["name"] == "diabetes_mlp.float":
        sys.exit("a kernel crashed")
    return honest(folder, case, plan)

runner.results = results
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[tuple[Case, ...], dict[str, str]]:
    """The cases, and the hash that numpy has for each model."""
    evidence = Evidence()
    done = prepared([load(name) for name in MODELS], folder, evidence)
    by_numpy = {name: next(iter(tally.hashes[Form.EXACT])) for name, tally in evidence.models.items()}
    return tuple(case for one in done for case in one.cases), by_numpy


@pytest.fixture
def evidence(made: tuple[tuple[Case, ...], dict[str, str]]) -> Evidence:
    """With what numpy computed."""
    held = Evidence(models={name: Tally() for name in MODELS})
    for name, hashed in made[1].items():
        held.models[name].add(Form.EXACT, hashed, "numpy")
    return held


@pytest.fixture
def cases(made: tuple[tuple[Case, ...], dict[str, str]]) -> tuple[Case, ...]:
    return made[0]


def planted(folder: Path, change: str) -> Path:
    """A runner with something wrong."""
    script = folder / "planted.py"
    start = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport runner\n"
    script.write_text(f"{start}{change}\nrunner.main()\n")
    return script


def test_exact_forms_give_one_output_which_is_that_of_numpy(
    cases: tuple[Case, ...], folder: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(MACHINE, cases, folder, evidence)
    assert evidence.exact
    assert evidence.missing == {}
    for tally in evidence.models.values():
        assert tally.settings(Form.FLOAT) == SETTINGS
        assert tally.settings(Form.EXACT) == 1 + SETTINGS
    assert conclude(evidence, as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {name: figures["exact_outputs"] for name, figures in shown["models"].items()} == dict.fromkeys(
        MODELS, 1
    )


def test_one_flipped_bit_is_seen(
    cases: tuple[Case, ...], folder: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(MACHINE, cases, folder, evidence, planted(folder, FLIPPING))
    assert [tally.distinct(Form.EXACT) for tally in evidence.models.values()] == [2, 2]
    assert conclude(evidence, as_json=False) == 1
    assert f"differs: {MODELS[0]}.exact" in capsys.readouterr().out


def test_a_twin_that_differs_from_its_original_is_seen() -> None:
    tally = Tally()
    tally.add(Form.EXACT, "a", "here")
    assert Evidence(models={"m": tally}).exact
    tally.add(Form.INT8, "b", "here")
    assert not Evidence(models={"m": tally}).exact


def test_vectors_of_the_self_test_and_their_twins_give_what_integers_give(tmp_path: Path) -> None:
    evidence = Evidence()
    ways: list[Case] = []
    for one in prepare_self_test(tmp_path):
        enter(one, evidence)
        ways.extend(one.cases)
    collect(replace(MACHINE, threads=(1,), levels=("all",)), ways, tmp_path, evidence)
    assert evidence.exact
    assert [tally.settings(Form.INT8) for tally in evidence.models.values()] == [2] * len(ways[::2])


def test_no_output_is_no_evidence() -> None:
    assert not Evidence().exact
    assert not Evidence(models={"m": Tally()}).exact


def test_a_runner_that_dies_costs_one_case(cases: tuple[Case, ...], folder: Path, evidence: Evidence) -> None:
    collect(MACHINE, cases, folder, evidence, planted(folder, DYING))
    assert evidence.missing == {"here: diabetes_mlp.float": "the runner ended with code 1: a kernel crashed"}
    assert evidence.models["diabetes_mlp"].settings(Form.FLOAT) == 0
    assert evidence.models["diabetes_mlp"].settings(Form.EXACT) == 1 + SETTINGS
    assert evidence.models["digits_cnn"].settings(Form.FLOAT) == SETTINGS


def test_an_interpreter_that_does_not_start_is_said(
    cases: tuple[Case, ...], folder: Path, evidence: Evidence
) -> None:
    broken = replace(MACHINE, command=(sys.executable, "-c", "raise SystemExit('no library')"))
    collect(broken, cases, folder, evidence)
    assert evidence.missing["here"] == (
        "the interpreter does not start: the runner ended with code 1: no library"
    )


def test_a_model_that_does_not_convert_is_said(tmp_path: Path) -> None:
    evidence = Evidence()
    assert prepared([replace(load(MODELS[0]), model=b"no model")], tmp_path, evidence) == []
    assert evidence.missing[MODELS[0]].startswith("it does not convert: ")
    assert not evidence.exact


def test_a_file_that_a_version_cannot_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.exact.onnx").write_bytes(b"no model")
    np.savez(tmp_path / "m.exact.npz", x=np.zeros((1, 1), np.float32))
    case = {"name": "m.exact", "outputs": [], "stacked": False, "rows": [1, 2]}
    (line,) = results(tmp_path, case, {"threads": [1], "levels": ["all"], "entries": {}})
    assert "refused" in line


def test_a_batch_of_one_is_the_sample_alone(cases: tuple[Case, ...], folder: Path) -> None:
    model = load(MODELS[0])
    assert has_open_batch(model.model)
    case = {"name": cases[0].name, "outputs": cases[0].outputs, "stacked": cases[0].stacked, "rows": [1]}
    (line,) = results(folder, case, {"threads": [1], "levels": ["all"], "entries": {}})
    assert line["hash"] == digest([[scores] for scores in run_float(model, model.held_out[:SAMPLES])])


class Doubling:
    """Stands for a session."""

    def run(self, _outputs: object, feed: dict[str, Array]) -> list[Array]:
        return [2 * feed["x"]]


class Summing:
    """Its output has no row for each row of the input."""

    def run(self, _outputs: object, feed: dict[str, Array]) -> list[Array]:
        return [feed["x"].sum(axis=0, keepdims=True)]


def test_only_the_first_row_of_a_batch_counts() -> None:
    samples = [{"x": np.full((1, 3), value, np.float32)} for value in range(4)]
    alone = digest([[2 * sample["x"]] for sample in samples])
    assert [stacked(Doubling(), (), samples, rows) for rows in (1, 2, 8)] == [alone] * 3
    assert at_once(Doubling(), (), samples, 8) == alone
    with pytest.raises(ValueError, match="no row"):
        stacked(Summing(), (), samples, 2)


def test_what_cannot_be_fetched_says_why() -> None:
    with pytest.raises(Missing, match="no such package"):
        run(sys.executable, "-c", "raise SystemExit('no such package')")
