"""What a unit of each kind of work costs: the constants of gas, fitted to measured times.

    python -m benchmarks.gas [ROUNDS]

Runs the synthetic models of `benchmarks.gas_models` and the exact forms of `tests/models` (the large ones
too, once `make models` has made them) on one thread of the default engine, and finds the non-negative
constants whose predictions have the least squared relative error. A job also hashes the file of its model:
that is measured apart, and added to what a byte costs. All times are processor time. Prints, on standard
error, the table of jobs and proofs, and the graphs of `benchmarks.gas_hostile` by how far they are charged
too little; and one JSON line: the constants, in picoseconds and in multiply-adds; the ratio of prediction to
measurement (median, least, greatest), of runs by the fit and of jobs by the gas that the chain charges, at
the rate that makes their median 1; the same for proofs; the worst of the hostile graphs; and the same fit for
what the data sets of `benchmarks.gas_evaluations` cost besides runs.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.gas_evaluations import CASES as DATA_SETS
from benchmarks.gas_evaluations import Evaluated
from benchmarks.gas_hostile import CASES
from benchmarks.gas_models import MODELS, Measured
from inference.certificate import (
    GAS_PER_BYTE,
    GAS_PER_COMPARISON,
    GAS_PER_MAC,
    GAS_PER_NODE,
    ExactnessCertificate,
    proof_gas,
)
from inference.converter.convert import convert
from inference.converter.measure import codes_of
from inference.converter.options import Options
from inference.engines.interface import LoadedModel, from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.evaluation import evaluation_gas, looked_at
from inference.prover import examine, prove, verdict
from inference.tensor import Tensor
from primitives.hashing import blake2b_256
from tests.models.load import large_names, load, names

ROUNDS: Final = 5
ROUND_S: Final = 0.15
"""How long each model runs in each round; rounds alternate, so that a busy machine slows all alike."""

HASHED_BYTES: Final = 8 << 20

SAMPLES_MAX: Final = 200
"""For a conversion; what the weights are hardly changes the time."""

HOSTILE_ROUNDS: Final = 4

LOOKS: Final = ("tensor", "number", "right_number", "byte")

KINDS: Final = ("base", "node", "mac", "handling", "comparison", "byte")

Vector = NDArray[np.float64]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    engine = OnnxRuntimeEngine(threads=1)
    models = {name: make() for name, make in MODELS.items()}
    models |= {name: converted(name, engine) for name in (*names(), *large_names())}
    sessions = {name: engine.load(each.model) for name, each in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    hashing: list[float] = []
    for _ in range(rounds):
        for name, each in models.items():
            times[name].append(typical_ps(sessions[name], each))
        hashing.append(fastest_ps(lambda: blake2b_256(bytes(HASHED_BYTES))) / HASHED_BYTES)
    runs = np.array([min(each) for each in times.values()])
    work = np.array([counts(each.model) for each in models.values()], dtype=np.float64)
    constants = fit(work, runs)
    error = spread(work @ constants / runs)
    constants[KINDS.index("byte")] += min(hashing)
    jobs = runs + min(hashing) * work[:, KINDS.index("byte")]
    gas = np.array([prove(each.model).certificate.gas for each in models.values()], dtype=np.float64)
    rate = float(np.median(jobs / gas))
    proving = np.array([fastest_ps(partial(verdict, each.model)) for each in models.values()])
    sizes = np.array([len(each.model) for each in models.values()])
    proofs = np.array([proof_gas(int(size)) for size in sizes]) * rate
    show(list(models), jobs, work @ constants, gas * rate, proving, proofs)
    hostile, looking = too_cheap(rate), evaluations(rounds, rate)
    figures = {
        "models": len(models),
        "ps_per_unit": rounded(dict(zip(KINDS, constants, strict=True))),
        "macs_per_unit": rounded(dict(zip(KINDS, constants / constants[KINDS.index("mac")], strict=True))),
        "fitted_over_measured": error,
        "charged_over_measured": spread(gas * rate / jobs),
        "ps_per_gas": round(rate, 1),
        "proofs_charged_over_measured": spread(proofs / proving),
        "hostile": len(hostile),
        "hostile_worst": dict(list(hostile.items())[:3]),
        "evaluations": looking,
    }
    print(json.dumps({"benchmark": "gas", **figures}))


def converted(name: str, engine: OnnxRuntimeEngine) -> Measured:
    """A real model in its exact form, and its first sample."""
    known = load(name)
    shapes = {key: array.shape for key, array in known.held_out[0].items()}
    done = convert(
        known.model, known.samples[:SAMPLES_MAX], known.held_out[:8], Options(shapes=shapes), engine
    )
    sample = {key: np.asarray(array) for key, array in known.held_out[0].items()}
    codes = [from_array(codes_of(port, sample[port.name])[0]) for port in done.certificate.inputs]
    return Measured(done.model, tuple(codes))


def counts(model: bytes) -> tuple[int, ...]:
    """How much a run has of each of the KINDS."""
    _, findings = examine(model)
    macs = sum(each.macs for each in findings)
    rests = {True: 0, False: 0}
    for each in findings:
        rest = each.gas - GAS_PER_NODE - GAS_PER_MAC * each.macs
        rests[each.node.operator == "TreeEnsembleRegressor"] += rest
    return (1, len(findings), macs, rests[False], rests[True] // GAS_PER_COMPARISON, len(model))


def typical_ps(session: LoadedModel, model: Measured) -> float:
    """The median time of a run, of as many as fit a round, in picoseconds."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < ROUND_S:
        times.append(seconds(lambda: session.run(model.inputs)))
    return statistics.median(times) * 1e12


def too_cheap(rate: float) -> dict[str, float]:
    """How many times less than it takes each hostile graph is charged for, the worst first."""
    engine, found = OnnxRuntimeEngine(threads=1), {}
    for name, make in CASES.items():
        case = make()
        input_ = (case.input(),)
        sessions = [engine.load(each) for each in case.models()]
        gas = []
        for each in case.models():
            certificate = verdict(each)
            assert isinstance(certificate, ExactnessCertificate), f"{name}: {certificate}"
            gas.append(certificate.gas - GAS_PER_BYTE * certificate.size_bytes)
        times = [[seconds(partial(_run, each, input_)) for each in sessions] for _ in range(HOSTILE_ROUNDS)]
        without, with_ = (min(each) for each in zip(*times, strict=True))
        found[name] = round((with_ - without) * 1e12 / (gas[1] - gas[0]) / rate, 2)
    ordered = dict(sorted(found.items(), key=lambda each: -each[1]))
    print(f"\n{'hostile graph':40}{'measured over charged':>24}", file=sys.stderr)
    print(*(f"{name:40}{ratio:24.2f}" for name, ratio in ordered.items()), sep="\n", file=sys.stderr)
    return ordered


def evaluations(rounds: int, rate: float) -> dict[str, object]:
    """What measuring takes besides the runs: the fit, its error, and that of what is charged."""
    cases = {name: make() for name, make in DATA_SETS.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            times[name].append(fastest_ps(case.evaluate))
    measured = np.array([min(each) for each in times.values()])
    work = np.array([looks(case) for case in cases.values()], dtype=np.float64)
    constants = fit(work, measured)
    charged = np.array([looking_gas(case) for case in cases.values()]) * rate
    print(f"\n{'data set':48}{'us':>10}{'fitted':>8}{'charged':>8}", file=sys.stderr)
    for name, *values in zip(cases, measured, work @ constants / measured, charged / measured, strict=True):
        print(f"{name:48}{values[0] / 1e6:10.0f}{values[1]:8.2f}{values[2]:8.2f}", file=sys.stderr)
    return {
        "data_sets": len(cases),
        "ps_per_unit": rounded(dict(zip(LOOKS, constants, strict=True))),
        "fitted_over_measured": spread(work @ constants / measured),
        "charged_over_measured": spread(charged / measured),
    }


def looking_gas(case: Evaluated) -> int:
    """What is charged for an evaluation without its runs."""
    gas = evaluation_gas(case.certificate, case.metric, case.rows, len(case.data))
    return gas - case.rows * case.certificate.gas


def looks(case: Evaluated) -> tuple[int, ...]:
    """How much an evaluation has of each of the LOOKS."""
    return (*(case.rows * each for each in looked_at(case.certificate, case.metric)), len(case.data))


def _run(session: LoadedModel, inputs: tuple[Tensor, ...]) -> None:
    session.run(inputs)


def fit(work: Vector, measured: Vector) -> Vector:
    """The constants c >= 0 with the least sum of squares of (work @ c - measured) / measured.

    By coordinate descent: the sum is convex, and each constant has its best value given the others.
    """
    relative = work / measured[:, None]
    scale = np.sqrt((relative**2).sum(axis=0))
    relative = relative / scale
    constants = np.zeros(len(scale))
    rest = np.ones(len(measured))
    for _ in range(20_000):
        for at in range(len(constants)):
            better = max(0.0, constants[at] + float(relative[:, at] @ rest))
            rest -= (better - constants[at]) * relative[:, at]
            constants[at] = better
    return np.asarray(constants / scale)


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


def fastest_ps(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(3)) * 1e12


def spread(ratios: Vector) -> dict[str, float]:
    return {
        "median": round(float(np.median(ratios)), 2),
        "least": round(float(ratios.min()), 2),
        "greatest": round(float(ratios.max()), 2),
    }


def show(models: list[str], *columns: Vector) -> None:
    """The table, in microseconds, and how the charges compare."""
    heads = ("job us", "fitted us", "charged us", "proof us", "charged us")
    lines = [f"{'model':32}{''.join(f'{head:>14}' for head in heads)}{'jobs':>8}{'proofs':>8}"]
    for name, *values in zip(models, *columns, strict=True):
        ratios = values[2] / values[0], values[4] / values[3]
        shown = "".join(f"{value / 1e6:14.1f}" for value in values)
        lines.append(f"{name:32}{shown}" + "".join(f"{ratio:8.2f}" for ratio in ratios))
    print(*lines, sep="\n", file=sys.stderr)


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, in this thread."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


if __name__ == "__main__":
    main()
