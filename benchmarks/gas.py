"""What a unit of each kind of work costs: the constants of gas, fitted to measured times.

    python -m benchmarks.gas [ROUNDS]

Runs every model of `benchmarks.gas_models` on one thread of the default engine, and finds the non-negative
constants whose predictions have the least squared relative error. A job also hashes the file of its model:
that is measured apart, and added to what a byte costs. Prints the table of jobs on standard error, and one
JSON line: the constants, in picoseconds and in multiply-adds; the ratio of prediction to measurement
(median, least, greatest), of runs by the fit and of jobs by the gas that the chain charges, at the rate
that makes their median 1; and the same for proofs.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.gas_models import MODELS, Measured
from inference.certificate import ExactnessCertificate, proof_gas, run_gas
from inference.engines.interface import LoadedModel
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.prover import verdict
from primitives.hashing import blake2b_256

ROUNDS: Final = 5
ROUND_S: Final = 0.15
"""How long each model runs in each round; rounds alternate, so that a busy machine slows all alike."""

HASHED_BYTES: Final = 8 << 20

KINDS: Final = ("base", "node", "mac", "element", "lookup", "comparison", "byte")

Vector = NDArray[np.float64]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    engine = OnnxRuntimeEngine(threads=1)
    models = {name: make() for name, make in MODELS.items()}
    sessions = {name: engine.load(each.model) for name, each in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    hashing: list[float] = []
    for _ in range(rounds):
        for name, each in models.items():
            times[name].append(typical_ps(sessions[name], each))
        hashing.append(fastest_ps(lambda: blake2b_256(bytes(HASHED_BYTES))) / HASHED_BYTES)
    runs = np.array([min(each) for each in times.values()])
    work = np.array([counts(each) for each in models.values()], dtype=np.float64)
    constants = fit(work, runs)
    error = spread(work @ constants / runs)
    constants[KINDS.index("byte")] += min(hashing)
    jobs = runs + min(hashing) * work[:, KINDS.index("byte")]
    gas = np.array([gas_of(each) for each in models.values()], dtype=np.float64)
    rate = float(np.median(jobs / gas))
    show(list(models), jobs, work @ constants, gas * rate)
    figures = {
        "models": len(models),
        "ps_per_unit": rounded(dict(zip(KINDS, constants, strict=True))),
        "macs_per_unit": rounded(dict(zip(KINDS, constants / constants[KINDS.index("mac")], strict=True))),
        "fitted_over_measured": error,
        "charged_over_measured": spread(gas * rate / jobs),
        "ps_per_gas": round(rate, 1),
        "proofs": proofs(models, rate),
    }
    print(json.dumps({"benchmark": "gas", **figures}))


def counts(model: Measured) -> tuple[int, ...]:
    """How much a run has of each of the KINDS."""
    work = (model.macs, model.elements, model.lookups, model.comparisons)
    return (1, model.nodes, *work, len(model.model))


def gas_of(model: Measured) -> int:
    """What the chain charges for a run."""
    return run_gas(
        macs=model.macs,
        elements=model.elements,
        lookups=model.lookups,
        comparisons=model.comparisons,
        nodes=model.nodes,
        size_bytes=len(model.model),
    )


def typical_ps(session: LoadedModel, model: Measured) -> float:
    """The median time of a run, of as many as fit a round, in picoseconds."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < ROUND_S:
        times.append(seconds(lambda: session.run(model.inputs)))
    return statistics.median(times) * 1e12


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


def proofs(models: dict[str, Measured], rate: float) -> dict[str, object]:
    """What proofs take, by byte, and how their gas compares at that rate; checks the counts of the models."""
    sizes, times = [], []
    for name, each in models.items():
        found = verdict(each.model)
        assert isinstance(found, ExactnessCertificate), f"{name}: {found}"
        assert (found.macs, found.elements, found.nodes) == (each.macs, each.elements, each.nodes), name
        sizes.append(len(each.model))
        times.append(fastest_ps(partial(verdict, each.model)))
    measured = np.array(times)
    work = np.array([(1, size) for size in sizes], dtype=np.float64)
    constants = fit(work, measured)
    charged = np.array([proof_gas(size) * rate for size in sizes])
    return {
        "ps_per_unit": rounded(dict(zip(("base", "byte"), constants, strict=True))),
        "fitted_over_measured": spread(work @ constants / measured),
        "charged_over_measured": spread(charged / measured),
    }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in figures.items()}


def fastest_ps(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(3)) * 1e12


def spread(ratios: Vector) -> dict[str, float]:
    return {
        "median": round(float(np.median(ratios)), 2),
        "least": round(float(ratios.min()), 2),
        "greatest": round(float(ratios.max()), 2),
    }


def show(names: list[str], measured: Vector, fitted: Vector, charged: Vector) -> None:
    """The table, in microseconds."""
    heads = f"{'model':32}{'measured us':>14}{'fitted us':>14}{'charged us':>14}"
    rows = (
        f"{name:32}{one / 1e6:14.1f}{two / 1e6:14.1f}{three / 1e6:14.1f}"
        for name, one, two, three in zip(names, measured, fitted, charged, strict=True)
    )
    print(heads, *rows, sep="\n", file=sys.stderr)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
