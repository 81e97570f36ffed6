"""Weights in a file beside the model: only there, only what the model says, and no more than a model has."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from inference.converter.gate import FLOAT
from inference.graph import read
from inference.preparation import weights
from inference.preparation.errors import PreparationError
from inference.preparation.weights import with_weights
from inference.refusal import Refused
from tests.inference.converter.floats import model, node

WEIGHTS = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A model that has its weights beside it."""
    whole = onnx.load_from_string(model([node("MatMul", ["x", "w"], ["y"])], {"w": WEIGHTS}, x=(1, 4)))
    convert_model_to_external_data(whole, location="m.onnx.data", size_threshold=0)
    onnx.save(whole, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def changed(file: Path, **entries: str) -> bytes:
    """The model with other words about where its weights are."""
    split = onnx.load(file, load_external_data=False)
    for entry in split.graph.initializer[0].external_data:
        entry.value = entries.get(entry.key, entry.value)
    return bytes(split.SerializeToString())


def test_weights_from_beside_the_model_are_put_into_it(split: Path) -> None:
    with pytest.raises(Refused, match="external data"):
        read(split.read_bytes(), FLOAT)
    graph = read(with_weights(split, split.read_bytes()), FLOAT)
    assert graph.constants["w"].data == WEIGHTS.tobytes()
    assert [each.operator for each in graph.nodes] == ["MatMul"]
    assert [port.shape for port in graph.inputs] == [(1, 4)]


def test_a_model_that_has_its_weights_stays_as_it_is(tmp_path: Path) -> None:
    data = model([node("MatMul", ["x", "w"], ["y"])], {"w": WEIGHTS}, x=(1, 4))
    assert with_weights(tmp_path / "m.onnx", data) is data


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"location": "../m.onnx.data"}, "no such file beside it"),
        ({"location": "/etc/passwd"}, "no such file beside it"),
        ({"location": ".."}, "no such file beside it"),
        ({"location": "gone"}, "no such file beside it"),
        ({"location": "link"}, "no such file beside it"),
        ({"offset": "4"}, "is shorter than"),
        ({"offset": "9" * 30}, "cannot read"),
        ({"offset": "-4"}, "does not say which bytes"),
        ({"length": "9" * 12}, "have more than"),
        ({"length": "x"}, "does not say which bytes"),
        ({"length": "9" * 5000}, "does not say which bytes"),
    ],
)
def test_other_files_and_other_bytes_are_refused(split: Path, entries: dict[str, Any], reason: str) -> None:
    (split.parent / "link").symlink_to(split.parent / "m.onnx.data")
    with pytest.raises(PreparationError, match=reason):
        with_weights(split, changed(split, **entries))


def test_many_tensors_together_are_no_more_than_a_model(split: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = split.read_bytes()
    monkeypatch.setattr(weights, "MODEL_BYTES_MAX", len(data) + WEIGHTS.nbytes)
    with_weights(split, data)
    monkeypatch.setattr(weights, "MODEL_BYTES_MAX", len(data) + WEIGHTS.nbytes - 1)
    with pytest.raises(PreparationError, match="have more than"):
        with_weights(split, data)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        with_weights(tmp_path / "m.onnx", b"\xff" * 40)
