"""A float model and its exact form side by side, on every engine: do they say the same, and how fast?"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from inference.converter.calibrate import Floats, checked
from inference.converter.measure import codes_of
from inference.converter.options import Samples, Watch
from inference.converter.program import Head, Program, Sink
from inference.engines.interface import Array, EngineError, InferenceEngine, LoadedModel, from_array, to_array
from inference.prover import Proof
from inference.refusal import refuse
from inference.tensor import Tensor

SAMPLES_MAX: Final = 4096
FLOAT: Final = "float"


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """One way to run the model, over the samples."""

    name: str
    """`float` for the float model, on the default engine."""
    trouble: str
    """Why it cannot run the model; the rest then says nothing."""
    latency_us: float = 0.0
    """Median time of one run, in microseconds."""
    identical: int = 0
    """Samples whose outputs have the same bits as those of the first engine that runs the exact model."""
    matched: int = 0
    """Positions where it says what the float model says: one a sample, or one an element of a sequence or
    mask."""
    positions: int = 0
    relative_error: float = 0.0
    """Root mean square of the difference of the scores to those of the float model, by that of the latter."""
    right: int | None = None
    """Samples whose class is their label, where there are labels."""


@dataclass(slots=True)
class _Run:
    """An engine's way through the samples."""

    name: str
    model: LoadedModel
    times: list[float]
    answers: list[tuple[Tensor, ...]]


def compare(
    program: Program,
    proof: Proof,
    samples: Samples,
    labels: Sequence[int],
    engines: Mapping[str, InferenceEngine],
    watch: Watch,
) -> list[EngineFigures]:
    """Figures of the float model on the first engine, then of the exact model on each.

    `labels`: the class of each sample, or none. All run each sample in turn, so that a busy machine slows all
    alike. Raises Refused if the two models do not have the same inputs and outputs; EngineError if the first
    engine fails.
    """
    _ensure_alike(program, proof)
    found = checked(program, samples[:SAMPLES_MAX])
    default = next(iter(engines.values()))
    sinks = {sink.name: sink for sink in program.sinks}
    floats = Floats(program, sorted({sink.step for sink in program.sinks}), default)
    runs, figures = _loaded(proof, engines)
    reals: list[dict[str, Array]] = []
    float_times = []
    for index, sample in enumerate(found):
        watch("comparing", index, len(found))
        began = time.perf_counter()
        arrays = floats.run(sample)
        float_times.append(time.perf_counter() - began)
        reals.append({name: arrays[sink.step].astype(np.float64) for name, sink in sinks.items()})
        inputs = [from_array(codes_of(port, sample[port.name])[0]) for port in proof.certificate.inputs]
        for run in runs:
            began = time.perf_counter()
            run.answers.append(run.model.run(inputs))
            run.times.append(time.perf_counter() - began)
    right = _right([_says(sinks, each) for each in reals], labels)
    first = EngineFigures(FLOAT, "", median(float_times) * 1e6, right=right)
    return [first, *(_figures(run, runs[0], proof, sinks, reals, labels) for run in runs), *figures]


def _loaded(proof: Proof, engines: Mapping[str, InferenceEngine]) -> tuple[list[_Run], list[EngineFigures]]:
    """Engines that take the model, and what is wrong with the others; the first must. Raises EngineError."""
    runs, others = [], []
    for name, engine in engines.items():
        try:
            runs.append(_Run(name, engine.load(proof.canonical), [], []))
        except EngineError as error:
            if not runs:
                raise
            others.append(EngineFigures(name, str(error)))
    return runs, others


def _figures(
    run: _Run,
    reference: _Run,
    proof: Proof,
    sinks: Mapping[str, Sink],
    reals: Sequence[Mapping[str, Array]],
    labels: Sequence[int],
) -> EngineFigures:
    error = size = 0.0
    matched = positions = 0
    said = []
    for answer, real in zip(run.answers, reals, strict=True):
        exact = _exact(proof, answer, sinks)
        said.append(_says(sinks, exact))
        for name, sink in sinks.items():
            wanted = _paired(real[name], exact[name])
            error += float(np.square(exact[name] - wanted).sum())
            size += float(np.square(wanted).sum())
            same = _choice(sink, wanted) == _choice(sink, exact[name])
            matched += int(np.sum(same))
            positions += int(np.size(same))
    return EngineFigures(
        name=run.name,
        trouble="",
        latency_us=median(run.times) * 1e6,
        identical=sum(a == b for a, b in zip(run.answers, reference.answers, strict=True)),
        matched=matched,
        positions=positions,
        relative_error=float(np.sqrt(error / size)) if size else 0.0,
        right=_right(said, labels),
    )


def _ensure_alike(program: Program, proof: Proof) -> None:
    """Raises Refused."""
    certificate = proof.certificate
    takes = {(port.name, port.shape) for port in certificate.inputs}
    gives = {port.name for port in certificate.outputs}
    if takes != {(source.name, source.shape) for source in program.sources}:
        refuse("the exact model does not take what the float model takes: was it made of another?", "inputs")
    missing = sorted({sink.name for sink in program.sinks} - gives)
    if missing:
        refuse(f"the exact model does not give {missing[0]!r}: was it made of another?", "outputs")


def _exact(proof: Proof, answer: Sequence[Tensor], sinks: Mapping[str, Sink]) -> dict[str, Array]:
    """The outputs of the exact model as reals."""
    reals = {}
    for port, tensor in zip(proof.certificate.outputs, answer, strict=True):
        if port.name in sinks:
            scales = np.array([each.numerator / each.denominator for each in port.scales])
            reals[port.name] = (to_array(tensor).astype(np.float64) - np.array(port.zero_points)) * scales
    return reals


def _paired(real: Array, exact: Array) -> Array:
    """A single score of two classes as the two scores that the exact model gives: 0 and itself."""
    if real.shape == exact.shape:
        return real
    return np.concatenate([np.zeros_like(real), real], axis=-1)


def _choice(sink: Sink, scores: Array) -> Array:
    """What the scores choose, at each position; a number that is no score chooses itself, to one percent."""
    axis = sink.axis(scores.shape)
    if scores.shape[axis] > 1:
        return np.asarray(scores.argmax(axis=axis))
    if sink.head is Head.SIGMOID:
        return np.asarray(scores > 0)
    unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(scores).max(), 1e-30))) - 1)
    return np.asarray(np.rint(scores / unit))


def _says(sinks: Mapping[str, Sink], reals: Mapping[str, Array]) -> int | None:
    """The class of the first output, if it is one choice."""
    name, sink = next(iter(sinks.items()))
    scores = reals[name]
    if scores.size == 1 and sink.head is Head.SIGMOID:
        return int(scores.reshape(-1)[0] > 0)
    chosen = _choice(sink, scores)
    return int(chosen.reshape(-1)[0]) if chosen.size == 1 and scores.size > 1 else None


def _right(said: Sequence[int | None], labels: Sequence[int]) -> int | None:
    if not labels or any(each is None for each in said):
        return None
    return sum(one == other for one, other in zip(said, labels, strict=False))
