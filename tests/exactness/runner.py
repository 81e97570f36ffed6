"""Runs prepared cases under many settings and prints a hash of what each gives.

    python runner.py FOLDER < plan.json

It is run by other interpreters, in other environments and on emulated processors: it needs numpy and the
library that the plan names, and of this project only the files beside it. A case is `NAME.onnx` and
`NAME.npz` in FOLDER; the arrays hold one input each, their first dimension counts the samples. The plan
says which cases, threads, levels of optimisation, rows and variations. Printed are lines of JSON: the
machine, then for each case its hashes (or why there is none), then `{"done": NAME}`.
"""

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.exactness.libraries import SESSIONS, Arrays, Session, loaded_version
from tests.exactness.variations import VARIATIONS

FEATURES = ("SSE42", "AVX2", "FMA3", "AVX512F", "AVX512VNNI", "ASIMD", "ASIMDDP", "ASIMDFHM", "SVE")
"""Parts of an instruction set that make libraries take other kernels."""


def digest(outputs: Sequence[Sequence[Any]]) -> str:
    """Of the outputs of every sample: their types, shapes and bytes."""
    state = hashlib.sha256()
    for arrays in outputs:
        for array in arrays:
            state.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return state.hexdigest()[:16]


def machine(library: str) -> dict[str, Any]:
    """What runs, as numpy sees it."""
    core = "numpy._core" if int(np.__version__.split(".")[0]) > 1 else "numpy.core"
    features = import_module(f"{core}._multiarray_umath").__cpu_features__
    return {
        "library": f"{library} {loaded_version(library)}",
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "features": [name for name in FEATURES if features.get(name)],
    }


def session(library: str, file: bytes, threads: int, level: str, entries: Mapping[str, str]) -> Session:
    """One of the library's."""
    return SESSIONS[library](file, threads, level, entries)


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
    for setting, rows, load in settings(file, case["rows"], plan):
        try:
            model = load()
        except Exception as error:  # noqa: BLE001 - the libraries' errors have no base in common
            yield {"case": name, "setting": setting, "refused": first_line(error)}
            continue
        for each in rows:
            line = {"case": name, "setting": f"{setting}, rows {each}"}
            try:
                yield line | {"hash": way(model, case["outputs"], samples, each)}
            except Exception as error:  # noqa: BLE001 - as above
                yield line | {"refused": first_line(error)}


def settings(
    file: bytes, rows: Sequence[int], plan: Mapping[str, Any]
) -> Iterator[tuple[str, Sequence[int], Callable[[], Session]]]:
    """What each setting is called, its rows, and how the session is made."""
    library, entries = plan["library"], plan["entries"]
    for threads in plan["threads"]:
        for level in plan["levels"]:
            load = partial(session, library, file, threads, level, entries)
            yield f"level {level}, threads {threads}", rows, load
    for name in plan["variations"]:
        yield name, rows[:1], partial(VARIATIONS[name], file, entries)


def first_line(error: Exception) -> str:
    """What a library said, without the middle if it is long: the reason often comes last."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return said if len(said) <= 200 else f"{said[:60]} ... {said[-135:]}"


def main() -> None:
    plan = json.load(sys.stdin)
    say(machine(plan["library"]))
    for case in plan["cases"]:
        for line in results(Path(sys.argv[1]), case, plan):
            say(line)
        say({"done": case["name"]})


def say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
