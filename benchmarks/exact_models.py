"""What exactness costs: every test model against its exact form, same engine, one thread.

    python -m benchmarks.exact_models [NAME...]

Prints one JSON line. For each model of `tests/models`, and the large ones that `make models` has made:
how long the conversion and the proof took; the median time of a run of the float model, of its exact
form and of the int8 twin of a conversion for bytes, in microseconds of the thread's processor time, and the
ratios, the three taking turns; how right the float and the exact models are on held-out data
(`tests/models/load.py` says how that is measured, 1 being best); and the share of decisions that are the
same, of all and of those of which the float model is sure (its score is at least one half). Models with
convolutions are converted for bytes as well.
"""

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from inference.converter.calibrate import with_outputs
from inference.converter.exact import make_exact
from inference.converter.measure import codes_of
from inference.converter.options import Options, unwatched
from inference.converter.program import Convolution
from inference.converter.understanding import understand
from inference.engines.int8 import TwinEngine
from inference.engines.interface import LoadedModel, from_array, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.prover import Proof, prove
from inference.tensor import Tensor
from tests.models.load import Array, Task, TestModel, large_names, load, names, run_float, score

SECONDS: Final = 1.5
"""For the three ways to run one model, together."""

RUNS: Final = range(20, 2_000)
HELD_OUT_MAX: Final = 400


def main() -> None:
    chosen = sys.argv[1:] or [*names(), *large_names()]
    print(
        json.dumps({"benchmark": "exact_models", "models": {name: measured(load(name)) for name in chosen}})
    )


def measured(model: TestModel) -> dict[str, Any]:
    """Every figure of one model."""
    engine = OnnxRuntimeEngine(threads=1)
    held_out = model.held_out[:HELD_OUT_MAX]
    began = time.perf_counter()
    program = understand(model.model, {name: array.shape for name, array in held_out[0].items()})
    done = make_exact(program, model.samples, held_out, Options(), engine, unwatched)
    converted_s = time.perf_counter() - began
    began = time.perf_counter()
    proof = prove(done.model)
    proved_s = time.perf_counter() - began
    steps = sorted({sink.step for sink in program.sinks})
    (report,) = (each for each in done.report.outputs if each.name == model.output)
    ways: dict[str, tuple[LoadedModel, list[Tensor]]] = {
        "float": (engine.load(with_outputs(program.folded, steps)), real(model.held_out[0])),
        "exact": (engine.load(proof.canonical), encoded(proof, model.held_out[0])),
    }
    scores = {
        "score_float": scored(model, run_float(model, held_out)),
        "score_exact": scored(model, exact_scores(model, proof, engine)),
    }
    if any(isinstance(step, Convolution) for step in program.steps):
        options = Options(int8=True)
        bytewise = make_exact(program, model.samples, held_out, options, engine, unwatched)
        int8 = prove(bytewise.model)
        ways["int8"] = (TwinEngine(threads=1).load(int8.canonical), encoded(int8, model.held_out[0]))
        scores["score_int8"] = scored(model, exact_scores(model, int8, engine))
        (same,) = (each for each in bytewise.report.outputs if each.name == model.output)
        scores["agree_int8"] = same.matched / same.total
    return {
        "bytes": len(model.model),
        "macs": proof.certificate.macs,
        "nodes": proof.certificate.nodes,
        "convert_s": round(converted_s, 2),
        "prove_s": round(proved_s, 2),
        **latencies(ways),
        **{name: round(each, 4) for name, each in scores.items()},
        "agree": round(report.matched / report.total, 4),
        "agree_sure": round(report.sure_matched / max(report.sure_total, 1), 4),
    }


def latencies(ways: Mapping[str, tuple[LoadedModel, Sequence[Tensor]]]) -> dict[str, Any]:
    """Medians over runs of the first sample."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    ends = time.perf_counter() + SECONDS
    while len(times["float"]) < RUNS.start or (
        len(times["float"]) < RUNS.stop and time.perf_counter() < ends
    ):
        for name, (loaded, inputs) in ways.items():
            times[name].append(seconds(loaded, inputs))
    medians = {name: statistics.median(each) for name, each in times.items()}
    figures = {f"{name}_us": round(each * 1e6, 1) for name, each in medians.items()}
    ratios = {
        f"{name}_ratio": round(each / medians["float"], 3)
        for name, each in medians.items()
        if name != "float"
    }
    return figures | ratios


def seconds(model: LoadedModel, inputs: Sequence[Tensor]) -> float:
    start = time.thread_time()
    model.run(inputs)
    return time.thread_time() - start


def real(sample: Any) -> list[Tensor]:
    """A sample as the float model takes it."""
    return [from_array(np.asarray(array)) for array in sample.values()]


def encoded(proof: Proof, sample: Any) -> list[Tensor]:
    """The integers of a sample."""
    return [from_array(codes_of(port, sample[port.name])[0]) for port in proof.certificate.inputs]


def exact_scores(model: TestModel, proof: Proof, engine: OnnxRuntimeEngine) -> list[Array]:
    """The scores of the exact model for each held-out sample, as reals."""
    loaded = engine.load(proof.canonical)
    names = [port.name for port in proof.certificate.outputs]
    at = names.index(model.output)
    scale = proof.certificate.outputs[at].scales[0]
    scores = []
    for sample in model.held_out[:HELD_OUT_MAX]:
        integers = to_array(loaded.run(encoded(proof, sample))[at])
        reals = integers.astype(np.float64) * scale.numerator / scale.denominator
        if model.task is Task.MASK and reals.shape[1] == 1:
            reals = np.tanh(reals / 2) / 2 + 0.5  # the sigmoid that the exact model leaves out
        scores.append(reals)
    return scores


def scored(model: TestModel, scores: list[Array]) -> float:
    """As the test models say how right they are; of a mask, as an intersection over union."""
    wide = [each if model.task is not Task.REGRESS else each.reshape(1, -1)[:, -1:] for each in scores]
    return score(model.task, wide, model.labels[:HELD_OUT_MAX])


if __name__ == "__main__":
    main()
