"""`consil model` on float models as exporters leave them: weights beside the file, sizes left open."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from cli.errors import UserError
from cli.files import write_whole
from cli.model_exact import _conversion_document, _print_conversion
from tests.inference.converter.floats import model, node
from tests.inference.converter.programs import Draft, random
from tests.inference.converter.programs import exact as convert

Document = Callable[..., Any]
Refusal = Callable[..., str]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A model that takes x[batch, length, 4], with its weights in a second file."""
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])]
    whole = onnx.load_from_string(model(nodes, {"w": weights}, x=("batch", "length", 4)))
    convert_model_to_external_data(whole, location="m.onnx.data", size_threshold=0)
    onnx.save(whole, tmp_path / "m.onnx")
    samples = np.random.default_rng(5).normal(size=(40, 6, 4)).astype(np.float32)
    np.savez(tmp_path / "s.npz", x=samples)
    return tmp_path / "m.onnx"


def test_open_sizes_are_those_of_the_samples_and_weights_are_found(
    document: Document, exported: Path
) -> None:
    exact, samples = exported.with_name("exact.onnx"), exported.with_name("s.npz")
    made = document("model", "convert", exported, "--samples", samples, "--out", exact)
    assert made["inputs"][0].startswith("x: ")
    assert "[1, 6, 4]" in made["inputs"][0]
    assert made["agreement"]["matched"] == made["agreement"]["total"]
    found = document("model", "compare", exported, exact, "--samples", samples)
    assert [each["name"] for each in found["engines"]] == ["float", "float32", "int8", "numpy"]


def test_sizes_that_nothing_says_are_asked_for(refusal: Refusal, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,b\n1,2\n")
    options = ["--samples", tmp_path / "s.csv", "--out", tmp_path / "exact.onnx"]
    assert "--shape x=1x64x4" in refusal("model", "convert", exported, *options)
    assert "no input 'z'" in refusal("model", "convert", exported, *options, "--shape", "z=1x2")
    both = ["--shape", "x=1x6x4", "--constant", "x=0"]
    assert "leave out one of x" in refusal("model", "convert", exported, *options, *both)
    open_constant = refusal("model", "convert", exported, *options, "--constant", "x=0")
    assert "--shape x=1x64x4" in open_constant


def test_weights_that_are_gone_are_one_line(refusal: Refusal, exported: Path, tmp_path: Path) -> None:
    exported.with_name("m.onnx.data").unlink()
    options = ["--samples", exported.with_name("s.npz"), "--out", tmp_path / "exact.onnx"]
    assert "external_data=False" in refusal("model", "convert", exported, *options)


def test_the_float_model_is_not_overwritten(refusal: Refusal, exported: Path, tmp_path: Path) -> None:
    before = exported.read_bytes()
    options = ["--samples", exported.with_name("s.npz"), "--out"]
    assert "would overwrite" in refusal("model", "convert", exported, *options, exported)
    assert "cannot write" in refusal("model", "convert", exported, *options, tmp_path)
    assert "cannot write" in refusal("model", "convert", exported, *options, tmp_path / "no" / "x.onnx")
    assert exported.read_bytes() == before


@pytest.mark.parametrize(
    "place", ["/dev/null", "/proc/exact.onnx", "no/such/exact.onnx", "e" * 251 + ".onnx"]
)
def test_where_nothing_can_be_written_is_told_before_the_work(
    refusal: Refusal, exported: Path, tmp_path: Path, place: str
) -> None:
    options = ["--samples", tmp_path / "not-looked-at.npz", "--out", tmp_path / place]
    assert f"cannot write {tmp_path / place}: " in refusal("model", "convert", exported, *options)
    assert {file.name for file in tmp_path.iterdir()} == {"m.onnx", "m.onnx.data", "s.npz"}


def test_a_card_that_cannot_be_written_is_told_before_the_work(
    refusal: Refusal, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "exact.card.json").mkdir()
    options = ["--samples", tmp_path / "not-looked-at.npz", "--out", tmp_path / "exact.onnx"]
    assert "exact.card.json: it is no regular file" in refusal("model", "convert", exported, *options)


def test_what_is_there_is_replaced_whole_or_not_at_all(
    consil: Callable[..., Any], exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, samples = tmp_path / "exact.onnx", exported.with_name("s.npz")
    exact.write_bytes(b"of before")
    (tmp_path / "exact.card.json").write_text("{}")

    def full(_: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", full)
        with pytest.raises(UserError, match="No space left"):
            write_whole(exact, b"of now")
    assert exact.read_bytes() == b"of before"
    made = consil("model", "convert", exported, "--samples", samples, "--out", exact)
    assert made.exit_code == 0
    assert exact.read_bytes() != b"of before"
    assert "exact.card.json was there before" in made.stderr
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"m.onnx", "m.onnx.data", "s.npz", "exact.onnx", "exact.card.json"}
    again = consil("model", "convert", exact, "--samples", samples, "--out", tmp_path / "again.onnx")
    assert f"{exact} is exact already; convert the float model" in again.stderr


def test_too_few_samples_to_keep_some_apart(refusal: Refusal, exported: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", x=np.ones((4, 6, 4), dtype=np.float32))
    options = ["--samples", tmp_path / "few.npz", "--out", tmp_path / "exact.onnx"]
    assert "has too few samples to keep some apart; give at least 5" in refusal(
        "model", "convert", exported, *options
    )


def test_the_report_names_the_protections_that_the_platform_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    draft = Draft((1, 3))
    program = draft.program(draft.matrix("x", random(3, 2), random(2)))
    done = convert(replace(program, unprotected=("files", "calls")), count=40)
    document = _conversion_document(done, Path("exact.onnx"), [str(at) for at in range(40)])
    _print_conversion(done, document)
    assert "the float model was read without: files, calls" in capsys.readouterr().out
    assert document["unprotected"] == ("files", "calls")
