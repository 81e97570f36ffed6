"""The models of `tests/models`: real ones, as exporters wrote them, with samples and held-out data."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).parent
LARGE: Final = ROOT / "large"
"""What `make models` makes beside them: over 1 MB each, never committed."""
LISTS: Final = ROOT / "models.toml"
LABELS: Final = "labels"
"""The one array of the data files that is no input."""

Array = NDArray[Any]
Sample = Mapping[str, Array]
"""One array per input of the model, as the float model takes it, batch 1."""


class Task(StrEnum):
    """What the scores mean, and so how they are measured."""

    CLASSIFY = "classify"
    """scores[1, class], label: the class. Measured: the share of classes that are right."""
    REGRESS = "regress"
    """scores[1, 1], label: the number. Measured: the share of the variance that is explained (R squared)."""
    MASK = "mask"
    """scores[1, class, row, column], label: the class of each pixel; or scores[1, 1, row, column], label: is
    it above a half? Measured: intersection over union of what is not 0."""
    SEQUENCE = "sequence"
    """scores[1, step, class], label: the class of each step. Measured: the share of steps that are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestModel:
    """A float model and its data."""

    __test__ = False

    name: str
    summary: str
    task: Task
    model: bytes
    """ONNX, as the exporter wrote it: dimensions may be open, metadata are still there."""
    samples: tuple[Sample, ...]
    """For calibration."""
    held_out: tuple[Sample, ...]
    labels: Array
    """What is right for each of `held_out`."""
    output: str
    """The output that holds the scores."""
    scales: Mapping[str, Fraction]
    """Inputs whose values are all integer multiples of this."""
    score: float
    """Of the float model on `held_out`, as `measure` gives it."""


def names() -> tuple[str, ...]:
    """Of every committed model."""
    return tuple(_entries(LISTS))


def large_names() -> tuple[str, ...]:
    """Of the large models; none before `make models`."""
    return tuple(_entries(LARGE / "models.toml"))


@cache
def load(name: str) -> TestModel:
    """The model of that name, large ones too. Raises KeyError."""
    root = ROOT if name in _entries(LISTS) else LARGE
    entry = _entries(root / "models.toml")[name]
    scales = {key: Fraction(value) for key, value in entry["scales"].items()}
    samples, _ = _data(root / name / "samples.npz", scales)
    held_out, labels = _data(root / name / "test.npz", scales)
    return TestModel(
        name=name,
        summary=entry["summary"],
        task=Task(entry["task"]),
        model=(root / name / "model.onnx").read_bytes(),
        samples=samples,
        held_out=held_out,
        labels=labels,
        output=entry["output"],
        scales=scales,
        score=entry["score"],
    )


def run_float(model: TestModel, samples: Sequence[Sample]) -> list[Array]:
    """The scores that onnxruntime computes in floats for each sample, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.model, options, providers=["CPUExecutionProvider"])
    return [session.run([model.output], dict(sample))[0] for sample in samples]


def choices(task: Task, scores: Sequence[Array]) -> Array:
    """What the scores of each sample say, shaped as the labels are."""
    every: Array = np.concatenate(scores)
    match task:
        case Task.MASK if every.shape[1] == 1:
            return (every[:, 0] > 0.5).astype(np.int64)
        case Task.CLASSIFY | Task.MASK:
            return np.asarray(every.argmax(axis=1))
        case Task.SEQUENCE:
            return np.asarray(every.argmax(axis=2))
        case Task.REGRESS:
            return every.reshape(len(scores))


def score(task: Task, scores: Sequence[Array], labels: Array) -> float:
    """How right the scores are, 1 being best; `labels` may as well be the choices of another model."""
    chosen = choices(task, scores)
    match task:
        case Task.CLASSIFY | Task.SEQUENCE:
            return float((chosen == labels).mean())
        case Task.MASK:
            return float(((chosen == labels) & (labels > 0)).sum() / ((chosen > 0) | (labels > 0)).sum())
        case Task.REGRESS:
            return float(1 - ((chosen - labels) ** 2).sum() / ((labels - labels.mean()) ** 2).sum())


def measure(model: TestModel) -> float:
    """The score of the float model on its held-out data."""
    return score(model.task, run_float(model, model.held_out), model.labels)


def _entries(listed: Path) -> dict[str, dict[str, Any]]:
    return tomllib.loads(listed.read_text()) if listed.exists() else {}


def _data(path: Path, scales: Mapping[str, Fraction]) -> tuple[tuple[Sample, ...], Array]:
    with np.load(path, allow_pickle=False) as stored:
        held = {name: stored[name] for name in stored.files}
    labels = held.pop(LABELS)
    inputs = {name: _reals(array, scales[name]) if name in scales else array for name, array in held.items()}
    samples = tuple({name: array[at : at + 1] for name, array in inputs.items()} for at in range(len(labels)))
    return samples, labels


def _reals(stored: Array, scale: Fraction) -> Array:
    """The float32 nearest to each stored integer times the scale."""
    product = stored.astype(np.float64) * scale.numerator / scale.denominator
    return product.astype(np.float32)
