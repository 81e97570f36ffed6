"""Runs prepared cases under many settings and prints a hash of what each gives.

    python runner.py FOLDER < plan.json

It is run by other interpreters, in other environments and on emulated processors: it needs numpy and
onnxruntime, and imports nothing of this project. A case is `NAME.onnx` and `NAME.npz` in FOLDER; the arrays
hold one input each, their first dimension counts the samples. The plan says which cases, threads, levels of
optimisation, and rows. Printed are lines of JSON: the machine, then for each case its hashes (or why there is
none), then `{"done": NAME}`.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

# Read when the library loads: it is to tell nobody of this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 99}
FEATURES = ("SSE42", "AVX2", "FMA3", "AVX512F", "AVX512VNNI", "ASIMD", "ASIMDDP", "ASIMDFHM", "SVE")
"""Parts of an instruction set that make libraries take other kernels."""

Arrays = Mapping[str, Any]


def digest(outputs: Sequence[Sequence[Any]]) -> str:
    """Of the outputs of every sample: their types, shapes and bytes."""
    state = hashlib.sha256()
    for arrays in outputs:
        for array in arrays:
            state.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return state.hexdigest()[:16]


def machine() -> dict[str, Any]:
    """What runs, as the libraries see it."""
    core = "numpy._core" if int(np.__version__.split(".")[0]) > 1 else "numpy.core"
    features = import_module(f"{core}._multiarray_umath").__cpu_features__
    return {
        "onnxruntime": ort.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "features": [name for name in FEATURES if features.get(name)],
    }


def session(file: bytes, threads: int, level: str, entries: Mapping[str, str]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel(LEVELS[level])
    options.log_severity_level = 4
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def stacked(model: Any, outputs: Sequence[str], samples: Sequence[Arrays], rows: int) -> str:
    """Each sample as the first row of a batch whose other rows are the samples that follow it."""
    kept = []
    for index in range(len(samples)):
        batch = [samples[(index + row) % len(samples)] for row in range(rows)]
        feed = {name: np.concatenate([each[name] for each in batch]) for name in samples[0]}
        arrays = model.run(list(outputs) or None, feed)
        if any(array.shape[:1] != (rows,) for array in arrays):
            raise ValueError("an output has no row for each row of the input")
        kept.append([array[:1] for array in arrays])
    return digest(kept)


def at_once(model: Any, outputs: Sequence[str], samples: Sequence[Arrays], count: int) -> str:
    """Each sample by itself, in `count` runs of one session at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return digest(list(pool.map(lambda each: model.run(list(outputs) or None, each), samples)))


def results(folder: Path, case: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A hash for each setting, or the reason why it has none."""
    name = case["name"]
    file = (folder / f"{name}.onnx").read_bytes()
    with np.load(folder / f"{name}.npz", allow_pickle=False) as held:
        stored = {key: held[key] for key in held.files}
    count = len(next(iter(stored.values())))
    samples = [{key: array[at] for key, array in stored.items()} for at in range(count)]
    way = stacked if case["stacked"] else at_once
    for threads in plan["threads"]:
        for level in plan["levels"]:
            line = {"case": name, "threads": threads, "level": level}
            try:
                model = session(file, threads, level, plan["entries"])
            except Exception as error:  # noqa: BLE001 - the library's errors have no base in common
                yield line | {"refused": first_line(error)}
                continue
            for rows in case["rows"]:
                try:
                    yield line | {"rows": rows, "hash": way(model, case["outputs"], samples, rows)}
                except Exception as error:  # noqa: BLE001 - as above
                    yield line | {"rows": rows, "refused": first_line(error)}


def first_line(error: Exception) -> str:
    """What a library said, without the middle if it is long: the reason often comes last."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return said if len(said) <= 200 else f"{said[:60]} ... {said[-135:]}"


def main() -> None:
    plan = json.load(sys.stdin)
    say(machine())
    for case in plan["cases"]:
        for line in results(Path(sys.argv[1]), case, plan):
            say(line)
        say({"done": case["name"]})


def say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
