"""The machinery of `make exactness`, over two small models and a few settings of this environment."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.exactness.cases import SAMPLES, Case, Form, Prepared, has_open_batch, prepare_self_test
from tests.exactness.evidence import Evidence, Outlook, Tally
from tests.exactness.journal import Journal
from tests.exactness.machines import Machine, Missing, run
from tests.exactness.run import admitted, attempt, collect, conclude, key
from tests.exactness.runner import at_once, digest, results, stacked
from tests.exactness.variations import VARIATIONS, shifted
from tests.models.load import Array, load, run_float

MODELS: Final = ("diabetes_mlp", "digits_cnn")

MACHINE: Final = Machine(
    name="here", command=(sys.executable,), threads=(1, 2), levels=("none", "all"), emulated=True
)
SETTINGS: Final = 2 * 2 * 2
"""Threads, levels and rows."""

PLAN: Final = {
    "library": "onnxruntime",
    "threads": [1],
    "levels": ["all"],
    "variations": [],
    "entries": {},
}

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

runner.session = lambda library, file, threads, *more: Session(honest(library, file, threads, *more), threads)
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
def made(folder: Path) -> tuple[Prepared, ...]:
    """One model of a table, and one of images: that one for bytes as well."""
    return tuple(one for name in MODELS for one in attempt(load(name), folder).prepared)


@pytest.fixture
def evidence(made: tuple[Prepared, ...]) -> Evidence:
    """With what numpy computed."""
    held = Evidence()
    for one in made:
        held.enter(one)
    return held


@pytest.fixture
def cases(made: tuple[Prepared, ...]) -> tuple[Case, ...]:
    return tuple(case for one in made for case in one.cases)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", keep=True)


def planted(folder: Path, change: str) -> Path:
    """A runner with something wrong."""
    script = folder / "planted.py"
    start = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport runner\n"
    script.write_text(f"{start}{change}\nrunner.main()\n")
    return script


def test_exact_forms_give_one_output_which_is_that_of_numpy(
    cases: tuple[Case, ...],
    folder: Path,
    evidence: Evidence,
    journal: Journal,
    capsys: pytest.CaptureFixture[str],
) -> None:
    collect(MACHINE, cases, folder, evidence, journal)
    assert evidence.exact
    assert evidence.missing == {}
    assert {
        name: (tally.settings(Form.FLOAT), tally.settings(Form.EXACT), tally.settings(Form.INT8))
        for name, tally in evidence.models.items()
    } == {
        "diabetes_mlp": (SETTINGS, 1 + SETTINGS, 0),
        "digits_cnn": (SETTINGS, 1 + SETTINGS, 0),
        "digits_cnn, int8": (0, 1 + SETTINGS, SETTINGS),
    }
    assert conclude(evidence, as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)["models"]
    assert [figures["exact_outputs"] for figures in shown.values()] == [1, 1, 1]


def test_one_flipped_bit_is_seen(
    cases: tuple[Case, ...],
    folder: Path,
    evidence: Evidence,
    journal: Journal,
    capsys: pytest.CaptureFixture[str],
) -> None:
    collect(MACHINE, cases, folder, evidence, journal, planted(folder, FLIPPING))
    assert [tally.distinct(Form.EXACT) for tally in evidence.models.values()] == [2, 2, 2]
    assert conclude(evidence, as_json=False) == 1
    assert f"differs: {MODELS[0]}.exact" in capsys.readouterr().out


def test_a_twin_that_differs_from_its_original_is_seen() -> None:
    tally = Tally()
    tally.add(Form.EXACT, "a", "here")
    assert Evidence(models={"m": tally}).exact
    tally.add(Form.INT8, "b", "here")
    assert not Evidence(models={"m": tally}).exact


def test_vectors_of_the_self_test_and_their_twins_give_what_integers_give(
    tmp_path: Path, journal: Journal
) -> None:
    evidence = Evidence()
    made = [one for one in prepare_self_test(tmp_path) if len(one.cases) == 2]
    for one in made:
        evidence.enter(one)
    few = replace(MACHINE, threads=(1,), levels=("all",))
    collect(few, [case for one in made for case in one.cases], tmp_path, evidence, journal)
    assert evidence.exact
    assert [tally.settings(Form.INT8) for tally in evidence.models.values()] == [2] * len(made)


def test_another_library_gives_the_same_bits(
    cases: tuple[Case, ...], folder: Path, evidence: Evidence, journal: Journal
) -> None:
    library = "onnx"
    other = replace(MACHINE, name=library, library=library, emulated=False, threads=(1,), levels=("all",))
    exact = [case for case in cases if case.form is Form.EXACT]
    collect(other, exact, folder, evidence, journal)
    assert evidence.outlook(library) == Outlook(same=tuple(evidence.models))
    assert evidence.exact


def seen(vector: str, model: str) -> Evidence:
    """Of a library that gives these hashes where onnxruntime gives a."""
    names = {"self-test, sums": vector, "m": model, "not run": ""}
    evidence = Evidence()
    for name, given in names.items():
        for held, hashed in ((evidence.models, "a"), (evidence.beside.setdefault("other", {}), given)):
            tally = held.setdefault(name, Tally())
            if hashed:
                tally.add(Form.EXACT, hashed, "here")
    return evidence


def test_a_library_that_fails_the_self_test_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert seen("a", "a").exact
    assert seen("a", "a").outlook("other") == Outlook(same=("m",), unable=("not run",))
    assert not seen("a", "b").exact
    evidence = seen("b", "b")
    assert evidence.outlook("other") == Outlook(
        other=("m",), failed=("self-test, sums",), unable=("not run",)
    )
    assert conclude(evidence, as_json=False) == 0
    assert "wrong in the self-test, so no validator may use it: self-test, sums" in capsys.readouterr().out


def test_no_output_is_no_evidence() -> None:
    assert not Evidence().exact
    assert not Evidence(models={"m": Tally()}).exact


def test_a_runner_that_dies_costs_one_case(
    cases: tuple[Case, ...], folder: Path, evidence: Evidence, journal: Journal
) -> None:
    collect(MACHINE, cases, folder, evidence, journal, planted(folder, DYING))
    assert evidence.missing == {"here: diabetes_mlp.float": "the runner ended with code 1: a kernel crashed"}
    assert evidence.models["diabetes_mlp"].settings(Form.FLOAT) == 0
    assert evidence.models["diabetes_mlp"].settings(Form.EXACT) == 1 + SETTINGS
    assert evidence.models["digits_cnn"].settings(Form.FLOAT) == SETTINGS


def test_an_interrupted_run_goes_on_where_it_was(
    cases: tuple[Case, ...], folder: Path, tmp_path: Path, evidence: Evidence
) -> None:
    path, few = tmp_path / "journal.jsonl", replace(MACHINE, threads=(1,), levels=("all",))
    broken = replace(few, command=(sys.executable, "-c", "raise SystemExit('it ran again')"))
    collect(few, cases[:2], folder, Evidence(), Journal(path, keep=False))
    with path.open("a") as file:
        file.write('{"key": ')
    for name in cases[:2]:
        assert key(few, name, folder) != key(broken, name, folder)
    collect(few, cases[:2], folder, evidence, Journal(path, keep=True), tmp_path / "no runner")
    assert evidence.missing == {}
    assert evidence.machines["here"]["library"].startswith("onnxruntime ")
    assert evidence.models["diabetes_mlp"].settings(Form.EXACT) == 1 + 2
    assert Journal(path, keep=False).get(key(few, cases[0], folder)) is None


def test_an_interpreter_that_does_not_start_is_said(
    cases: tuple[Case, ...], folder: Path, evidence: Evidence, journal: Journal
) -> None:
    broken = replace(MACHINE, command=(sys.executable, "-c", "raise SystemExit('no library')"))
    collect(broken, cases, folder, evidence, journal)
    assert evidence.missing["here"] == (
        "the interpreter does not start: the runner ended with code 1: no library"
    )


def test_a_model_that_does_not_convert_is_said(tmp_path: Path) -> None:
    evidence = Evidence()
    assert admitted([attempt(replace(load(MODELS[0]), model=b"no model"), tmp_path)], evidence) == []
    assert evidence.missing[MODELS[0]].startswith("it does not convert: ")
    assert not evidence.exact


@pytest.mark.parametrize("name", VARIATIONS)
def test_no_way_to_use_a_session_changes_a_bit(name: str, cases: tuple[Case, ...], folder: Path) -> None:
    case = {"name": cases[-1].name, "outputs": [], "stacked": False, "rows": [1]}
    plain, varied = results(folder, case, PLAN | {"levels": ["none"], "variations": [name]})
    assert varied == plain | {"setting": f"{name}, rows 1"}


def test_shifted_arrays_are_not_where_memory_is_aligned() -> None:
    for kind in ("uint8", "int32", "float64"):
        array = np.arange(12, dtype=kind).reshape(3, 4)
        moved = shifted(array)
        assert moved.ctypes.data % 64 == array.itemsize
        assert (moved == array).all()


def test_a_file_that_a_version_cannot_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.exact.onnx").write_bytes(b"no model")
    np.savez(tmp_path / "m.exact.npz", x=np.zeros((1, 1), np.float32))
    case = {"name": "m.exact", "outputs": [], "stacked": False, "rows": [1, 2]}
    (line,) = results(tmp_path, case, PLAN)
    assert "refused" in line


def test_a_batch_of_one_is_the_sample_alone(cases: tuple[Case, ...], folder: Path) -> None:
    model = load(MODELS[0])
    assert has_open_batch(model.model)
    case = {"name": cases[0].name, "outputs": cases[0].outputs, "stacked": cases[0].stacked, "rows": [1]}
    (line,) = results(folder, case, PLAN)
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
