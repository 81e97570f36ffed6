"""What the way to a worker and back costs: runs of the tumour example through one supervised worker.

    python -m benchmarks.worker [RUNS]

Prints one JSON line: runs per second one by one, and together as one evaluation, over the pipe with limits
and sandbox as in a node; the same model in the same engine within this process; and which protections the
worker lacked.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inference.converter.convert import convert
from inference.converter.measure import codes_of
from inference.converter.options import Options
from inference.engines.interface import from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.evaluation import Metric, Row, encode_dataset, evaluate
from inference.messages import Evaluate
from inference.preparation.card import NO_CARD
from inference.preparation.sets import Taken, read_set
from inference.supervisor import Supervisor
from inference.tensor import from_integers
from primitives.hashing import blake2b_256

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "diagnosis"
RUNS: Final = 1_000
ROUNDS: Final = 5
"""The best of so many is reported: other programs only ever make it slower."""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    takes = [Taken("X", "float32", (1, 30))]
    train, held_out = (
        read_set(EXAMPLE / name, takes, NO_CARD).samples for name in ("train.csv", "held_out.csv")
    )
    engine = OnnxRuntimeEngine()
    conversion = convert((EXAMPLE / "model.onnx").read_bytes(), train, held_out, Options(), engine)
    model, gas = conversion.model, conversion.certificate.gas
    file_hash = blake2b_256(model)
    (port,) = conversion.certificate.inputs
    rows = [(from_array(codes_of(port, sample["X"])[0]),) for sample in held_out]
    inputs = [rows[at % len(rows)] for at in range(runs)]
    loaded = engine.load(model)
    data = [Row(each, from_integers("uint8", (1,), (0,))) for each in inputs]
    request = Evaluate(
        file_hash=file_hash,
        certificate=conversion.certificate,
        metric=Metric.CLASSIFICATION,
        rows=runs,
        data=encode_dataset(data),
    )
    with Supervisor() as worker:
        assert worker.evaluate(request, lambda: model) == evaluate(
            request.certificate, request.metric, data, loaded.run
        )
        figures = {
            "one_by_one_per_s": rate(
                runs, lambda: [worker.run(file_hash, lambda: model, each, gas) for each in inputs]
            ),
            "together_per_s": rate(runs, lambda: worker.evaluate(request, lambda: model)),
            "in_process_per_s": rate(runs, lambda: [loaded.run(each) for each in inputs]),
            "missing_protections": list(worker.protections().missing()),
        }
    print(json.dumps({"benchmark": "worker", "runs": runs, "model": "diagnosis", **figures}))


def rate(runs: int, work: Callable[[], object]) -> int:
    """Runs per second, of the best round."""
    return round(max(runs / seconds(work) for _ in range(ROUNDS)))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
