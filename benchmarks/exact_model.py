"""What exactness costs: an exact model against its float original, same engine, one thread.

    python -m benchmarks.exact_model [RUNS]

Prints one JSON line: for the tumour example and for a dense network of the size that recognises handwritten
digits (784-512-512-10, random weights), the median time of a run in microseconds and the ratio exact / float.
Runs of the two alternate, so that a busy machine slows both.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from inference.canonical import write
from inference.converter.convert import INPUT, convert
from inference.converter.importer import understand
from inference.converter.original import cut
from inference.encoding import encode
from inference.engines.interface import LoadedModel, from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.graph import Graph, Node, Port
from inference.samples import read_samples
from inference.tensor import Tensor

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "diagnosis"
RUNS: Final = 2_000
DIGITS: Final = (784, 512, 512, 10)

Row = Sequence[Fraction]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    train, held_out = (read_samples((EXAMPLE / name).read_text()) for name in ("train.csv", "held_out.csv"))
    figures = {
        "diagnosis": compare((EXAMPLE / "model.onnx").read_bytes(), train.rows, held_out.rows, runs),
        "digits": compare(digits(), pixels(24, 1), pixels(24, 2), runs),
    }
    print(json.dumps({"benchmark": "exact_model", "runs": runs, **figures}))


def compare(model: bytes, calibration: Sequence[Row], held_out: Sequence[Row], runs: int) -> dict[str, Any]:
    """Medians over alternating runs on one sample."""
    engine = OnnxRuntimeEngine(threads=1)
    conversion = convert(model, calibration, held_out, engine)
    network = understand(model)
    row = np.array([float(value) for value in held_out[0]], dtype=np.float32)
    float_inputs = (from_array(row.reshape(network.input_shape)),)
    exact_inputs = encode(conversion.certificate, {INPUT: held_out[0]}).tensors
    float_model, exact_model = engine.load(cut(model, network)), engine.load(conversion.model)
    float_s, exact_s = [], []
    for _ in range(runs):
        float_s.append(seconds(float_model, float_inputs))
        exact_s.append(seconds(exact_model, exact_inputs))
    float_us, exact_us = (statistics.median(times) * 1e6 for times in (float_s, exact_s))
    return {
        "float_us": round(float_us, 1),
        "exact_us": round(exact_us, 1),
        "ratio": round(exact_us / float_us, 3),
        "gas": conversion.certificate.gas,
        "agreement": {"matched": conversion.report.matched, "total": conversion.report.total},
    }


def seconds(model: LoadedModel, inputs: tuple[Tensor, ...]) -> float:
    start = time.perf_counter()
    model.run(inputs)
    return time.perf_counter() - start


def digits() -> bytes:
    """A float network of random weights, with Relu between its layers."""
    random = np.random.default_rng(1)
    nodes: list[Node] = []
    constants, at = {}, "x"
    for layer, (inputs, outputs) in enumerate(pairwise(DIGITS)):
        weights = random.normal(scale=inputs**-0.5, size=(inputs, outputs)).astype(np.float32)
        constants[f"w{layer}"] = from_array(weights)
        constants[f"b{layer}"] = from_array(random.normal(size=outputs).astype(np.float32))
        last = layer == len(DIGITS) - 2
        result = "scores" if last else f"sums{layer}"
        nodes.append(Node(len(nodes), "Gemm", (at, f"w{layer}", f"b{layer}"), (result,), {}))
        if not last:
            at = f"hidden{layer}"
            nodes.append(Node(len(nodes), "Relu", (result,), (at,), {}))
    ports = (Port("x", "float32", (1, DIGITS[0])),), (Port("scores", "float32", (1, DIGITS[-1])),)
    return write(Graph(*ports, tuple(nodes), constants, {}))


def pixels(count: int, seed: int) -> list[Row]:
    """Images of random grey."""
    random = Random(seed)
    return [[Fraction(random.randrange(256), 255) for _ in range(DIGITS[0])] for _ in range(count)]


if __name__ == "__main__":
    main()
