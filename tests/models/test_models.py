"""The committed models are what `models.toml` says, and small."""

import hashlib
import tomllib
from typing import Any, Final

import numpy as np
import pytest

from tests.models.load import LISTS, ROOT, Task, choices, load, measure, names, score

FILE_BYTES_MAX: Final = 1_000_000
ALL_BYTES_MAX: Final = 20_000_000

ENTRIES: Final[dict[str, dict[str, Any]]] = tomllib.loads(LISTS.read_text())


@pytest.mark.parametrize("name", names())
def test_files_are_those_that_were_made(name: str) -> None:
    held = {path.name: path.read_bytes() for path in (ROOT / name).iterdir() if path.name != "LICENSE"}
    assert ENTRIES[name]["sha256"] == {file: hashlib.sha256(held[file]).hexdigest() for file in sorted(held)}
    assert all(len(content) <= FILE_BYTES_MAX for content in held.values())


def test_every_folder_is_listed_and_all_are_small_together() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/model.onnx")}
    assert folders == set(names())
    files = [path for name in names() for path in (ROOT / name).iterdir()]
    assert sum(path.stat().st_size for path in files) <= ALL_BYTES_MAX


@pytest.mark.parametrize("name", names())
def test_entry_says_where_the_model_is_from(name: str) -> None:
    entry = ENTRIES[name]
    assert (ROOT / entry["script"]).is_file()
    assert all(entry[key] for key in ("summary", "exporter", "versions", "licence", "data", "data_licence"))


@pytest.mark.parametrize("name", names())
def test_float_model_scores_what_is_stated(name: str) -> None:
    """Half a percent is more than float arithmetic differs between machines."""
    model = load(name)
    assert measure(model) == pytest.approx(model.score, abs=0.005)


@pytest.mark.parametrize("name", names())
def test_samples_and_held_out_data_share_no_row(name: str) -> None:
    model = load(name)
    first, second = ({_bytes(sample) for sample in part} for part in (model.samples, model.held_out))
    assert len(model.held_out) == len(model.labels)
    assert not first & second


def _bytes(sample: Any) -> bytes:
    return b"".join(sample[key].tobytes() for key in sorted(sample))


def test_scaled_input_is_the_nearest_real_to_its_integer() -> None:
    image = load("text_direction").held_out[0]["x"]
    assert image.dtype == np.float32
    assert image.shape == (1, 3, 48, 192)
    assert np.array_equal(image, np.rint(image * 255).astype(np.float32) / np.float32(255))


def test_scores_of_each_task() -> None:
    scores = [np.array([[0.1, 0.9]]), np.array([[0.8, 0.2]])]
    assert choices(Task.CLASSIFY, scores).tolist() == [1, 0]
    assert score(Task.CLASSIFY, scores, np.array([1, 1])) == 0.5
    pixels = np.array([[[[0.0, 0.9]], [[1.0, 0.1]]]])
    assert choices(Task.MASK, [pixels]).tolist() == [[[1, 0]]]
    assert score(Task.MASK, [pixels], np.array([[[1, 1]]])) == 0.5
    assert choices(Task.MASK, [np.array([[[[0.2, 0.6]]]])]).tolist() == [[[0, 1]]]
    steps = np.array([[[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]])
    assert score(Task.SEQUENCE, [steps], np.array([[0, 1, 1, 1]])) == 0.75
    numbers = [np.array([[1.0]]), np.array([[3.0]])]
    assert score(Task.REGRESS, numbers, np.array([1.0, 3.0])) == 1.0
    assert score(Task.REGRESS, numbers, np.array([3.0, 1.0])) == -3.0
