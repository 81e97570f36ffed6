"""Writes a made model, its samples and its held-out data, and its entry in `models.toml`."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.models.load import LARGE, LISTS, ROOT, Task, load, measure

Array = NDArray[Any]

CC_BY: Final = "CC-BY-4.0"
OURS: Final = "Apache-2.0"
"""Weights that these scripts trained are the project's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Stored inputs by name, first dimension the samples, and what is right for each of them."""

    inputs: Mapping[str, Array]
    labels: Array

    def take(self, count: int) -> "Data":
        """The first `count` of them."""
        return Data(
            inputs={name: held[:count] for name, held in self.inputs.items()}, labels=self.labels[:count]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One model with everything that is written about it."""

    name: str
    task: Task
    summary: str
    """What it does and what its graph is good for as a test, in one line."""
    model: bytes
    output: str
    """The output that carries the scores."""
    samples: Data
    """For calibration: from the training set."""
    held_out: Data
    """Seen by neither training nor calibration."""
    exporter: str
    packages: tuple[str, ...]
    """Distributions whose versions matter."""
    data: str
    """Where the data are from."""
    data_licence: str
    licence: str = OURS
    scales: Mapping[str, Fraction] = field(default_factory=dict)
    """Of inputs stored as integers: the real value of 1."""
    large: bool = False
    """Not committed."""


def write(made: Made, script: str) -> None:
    """Write the folder of the model and its entry, with the score that onnxruntime gives the float model."""
    root, listed = (LARGE, LARGE / "models.toml") if made.large else (ROOT, LISTS)
    folder = root / made.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(made.model)
    for file, data in (("samples.npz", made.samples), ("test.npz", made.held_out)):
        np.savez_compressed(folder / file, allow_pickle=False, labels=data.labels, **data.inputs)
    entries = tomllib.loads(listed.read_text()) if listed.exists() else {}
    entries[made.name] = _entry(made, script, folder)
    listed.write_text(_toml(entries))
    entries[made.name]["score"] = round(measure(load(made.name)), 4)
    listed.write_text(_toml(entries))
    sizes = {path.name: path.stat().st_size for path in _files(folder)}
    print(json.dumps({"model": made.name, "score": entries[made.name]["score"], **sizes}), flush=True)


def _entry(made: Made, script: str, folder: Path) -> dict[str, Any]:
    return {
        "summary": made.summary,
        "task": made.task.value,
        "output": made.output,
        "score": 0.0,
        "exporter": made.exporter,
        "script": f"make/{script}.py",
        "versions": [f"{package} {version(package)}" for package in made.packages],
        "licence": made.licence,
        "data": made.data,
        "data_licence": made.data_licence,
        "scales": {name: str(scale) for name, scale in made.scales.items()},
        "sha256": {path.name: _hash(path) for path in _files(folder)},
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix in {".onnx", ".npz"}]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _toml(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of models, in the order of their names. Strings, numbers and lists are written as in JSON."""
    blocks = []
    for name, entry in sorted(entries.items()):
        lines = [f"[{name}]"]
        for key, value in entry.items():
            if isinstance(value, dict):
                inner = ", ".join(f"{json.dumps(each)} = {json.dumps(held)}" for each, held in value.items())
                lines.append(f"{key} = {{ {inner} }}" if inner else f"{key} = {{}}")
            else:
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        blocks.append("\n".join(lines))
    header = "# Written by `make models`; README.md says what the fields mean.\n\n"
    return header + "\n\n".join(blocks) + "\n"
