"""Prepares the test models for `runner.py`: the float original, exact forms, and the int8 twins of these."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from inference.certificate import ExactnessCertificate
from inference.converter.exact import make_exact
from inference.converter.measure import codes_of
from inference.converter.options import Method, Options, unwatched
from inference.converter.program import Convolution
from inference.converter.understanding import understand
from inference.engines.interface import from_array, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.graph import read
from inference.operators.registry import EXACT
from inference.selftest.trial import vectors
from inference.twin.derive import twin
from inference.twin.proof import ensure_equal
from tests.exactness.runner import digest
from tests.models.load import Sample, TestModel, large_names

Array = NDArray[Any]

SAMPLES: Final = 4
"""Held-out samples whose outputs are hashed together."""

ROWS: Final = (1, 2, 8)
"""Rows of a batch; or runs of one session at the same time, where the batch is fixed at one."""

LARGE_SAMPLES: Final = 2
LARGE_ROWS: Final = (1, 2)
"""For the models that `make models` makes beside the others."""

SMALL_MACS: Final = 2_000_000
"""A model of at most so many multiply-adds is small: it is run by numpy and on emulated processors too."""

SELF_TEST: Final = "self-test"
"""The name for all of its vectors."""


class Form(StrEnum):
    """What of a model a case holds."""

    FLOAT = "float"
    EXACT = "exact"
    INT8 = "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file and its inputs, ready for the runner."""

    model: str
    form: Form
    outputs: tuple[str, ...] = ()
    """Which are hashed; all if there is none."""
    stacked: bool = False
    """The file leaves the batch open: rows are put together in one run."""
    rows: tuple[int, ...] = ROWS

    @property
    def name(self) -> str:
        return f"{self.model}.{self.form}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One model's cases."""

    cases: tuple[Case, ...]
    macs: int
    reference: str | None
    """The hash of the exact form's outputs as numpy or integers give them; None if the model is not small."""

    @property
    def model(self) -> str:
        return self.cases[0].model

    @property
    def small(self) -> bool:
        return self.macs <= SMALL_MACS


def prepare(model: TestModel, folder: Path) -> Iterator[Prepared]:
    """Convert, prove, derive the twin, and write them; what has convolutions is converted for bytes as well.

    Raises Refused if it cannot be converted.
    """
    large = model.name in large_names()
    chosen, rows = model.held_out[: LARGE_SAMPLES if large else SAMPLES], LARGE_ROWS if large else ROWS
    program = understand(model.model, {name: array.shape for name, array in chosen[0].items()})
    original = Case(
        model=model.name,
        form=Form.FLOAT,
        outputs=(model.output,),
        stacked=has_open_batch(model.model),
        rows=rows,
    )
    write(folder, original, model.model, chosen)
    ways = {model.name: Options()}
    if any(isinstance(step, Convolution) for step in program.steps):
        ways[f"{model.name}, int8"] = Options(int8=True, method=Method.ERROR)
    for name, options in ways.items():
        done = make_exact(program, model.samples, chosen, options, OnnxRuntimeEngine(threads=1), unwatched)
        codes = encoded(done.certificate, chosen)
        cases = exact_cases(name, done.model, codes, rows, folder)
        macs = done.certificate.macs
        by_numpy = reference(done.model, codes) if macs <= SMALL_MACS else None
        first = (original,) if name == model.name else ()
        yield Prepared(cases=(*first, *cases), macs=macs, reference=by_numpy)


def exact_cases(
    name: str, file: bytes, samples: Sequence[Mapping[str, Array]], rows: tuple[int, ...], folder: Path
) -> tuple[Case, ...]:
    """The exact form and, if it has one, its twin; both written."""
    forms = {Form.EXACT: file}
    derived = twin(file)
    if derived is not None:
        ensure_equal(file, derived)
        forms[Form.INT8] = derived
    for form, data in forms.items():
        write(folder, Case(model=name, form=form), data, samples)
    return tuple(Case(model=name, form=form, rows=rows) for form in forms)


def prepare_self_test(folder: Path) -> Iterator[Prepared]:
    """Every vector, and the twins of those that have one; the reference is what integers give."""
    for vector in vectors():
        ports = [port.name for port in read(vector.model, EXACT).inputs]
        inputs = [dict(zip(ports, map(to_array, each), strict=True)) for each, _ in vector.cases]
        expected = digest([[to_array(tensor) for tensor in outputs] for _, outputs in vector.cases])
        cases = exact_cases(f"{SELF_TEST}, {vector.name}", vector.model, inputs, ROWS, folder)
        yield Prepared(cases=cases, macs=0, reference=expected)


def has_open_batch(file: bytes) -> bool:
    """Whether every input leaves its first dimension open."""
    model = onnx.load_model_from_string(file)
    constants = {each.name for each in model.graph.initializer}
    inputs = [each.type.tensor_type for each in model.graph.input if each.name not in constants]
    return all(each.shape.dim and not each.shape.dim[0].HasField("dim_value") for each in inputs)


def encoded(certificate: ExactnessCertificate, samples: Sequence[Sample]) -> list[dict[str, Array]]:
    """The integers that stand for each sample."""
    return [
        {port.name: codes_of(port, np.asarray(sample[port.name]))[0] for port in certificate.inputs}
        for sample in samples
    ]


def reference(canonical: bytes, samples: Sequence[Mapping[str, Array]]) -> str:
    """The runner's hash, of what numpy computes."""
    loaded = NumpyEngine().load(canonical)
    runs = [loaded.run([from_array(array) for array in sample.values()]) for sample in samples]
    return digest([[to_array(tensor) for tensor in outputs] for outputs in runs])


def write(folder: Path, case: Case, file: bytes, samples: Sequence[Mapping[str, Array]]) -> None:
    (folder / f"{case.name}.onnx").write_bytes(file)
    stored: dict[str, Any] = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    np.savez(folder / f"{case.name}.npz", **stored)
