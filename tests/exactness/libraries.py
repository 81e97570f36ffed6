"""Sessions of every library that can run cases: what `runner.py` asks of each, and how each is set.

Read by other interpreters, like the runner: each imports its own library alone, and nothing of this project.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# Read when onnxruntime loads: it is to tell nobody of this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

Arrays = Mapping[str, Any]

LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 99}
"""Of onnxruntime's optimisation."""


class Session(Protocol):
    """A loaded model. `outputs` names those that are wanted; none means all."""

    def run(self, outputs: Sequence[str] | None, feed: Arrays) -> list[Any]: ...


def onnxruntime(file: bytes, threads: int, level: str, entries: Mapping[str, str]) -> Session:
    """A session on its processor provider."""
    return opened(file, configured(threads, level, entries))


def configured(threads: int, level: str, entries: Mapping[str, str]) -> Any:
    """The options of a session of onnxruntime."""
    library = import_module("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = library.GraphOptimizationLevel(LEVELS[level])
    options.log_severity_level = 4
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return options


def opened(file: bytes, options: Any) -> Session:
    """A session of onnxruntime."""
    session: Session = import_module("onnxruntime").InferenceSession(
        file, options, providers=["CPUExecutionProvider"]
    )
    return session


class OpenVino:
    """OpenVINO's processor plug-in; its levels are its hints."""

    def __init__(self, file: bytes, threads: int, level: str, _entries: Mapping[str, str]) -> None:
        library = import_module("openvino")
        hints = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": level.upper(),
        }
        self.model = library.Core().compile_model(library.Core().read_model(file, b""), "CPU", hints)

    def run(self, outputs: Sequence[str] | None, feed: Arrays) -> list[Any]:
        found = self.model(dict(feed))
        return [np.array(found[each]) for each in outputs or self.model.outputs]


class Tract:
    """Tract, which is written in Rust; one thread."""

    def __init__(self, file: bytes, _threads: int, _level: str, _entries: Mapping[str, str]) -> None:
        context = import_module("tract").onnx()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(file)
            loaded = context.load(path)
        self.inputs = [loaded.input_name(at) for at in range(loaded.input_count())]
        self.outputs = [loaded.output_name(at) for at in range(loaded.output_count())]
        self.model = loaded.into_model().into_runnable()

    def run(self, outputs: Sequence[str] | None, feed: Arrays) -> list[Any]:
        found = self.model.run([feed[name] for name in self.inputs])
        arrays = dict(zip(self.outputs, (each.to_numpy() for each in found), strict=True))
        return [arrays[name] for name in outputs or self.outputs]


class OpenCv:
    """The networks of OpenCV."""

    def __init__(self, file: bytes, threads: int, _level: str, _entries: Mapping[str, str]) -> None:
        library = import_module("cv2")
        library.setNumThreads(threads)
        self.model = library.dnn.readNetFromONNX(np.frombuffer(file, np.uint8))

    def run(self, outputs: Sequence[str] | None, feed: Arrays) -> list[Any]:
        for name, array in feed.items():
            self.model.setInput(array, name)
        return list(self.model.forward(list(outputs or self.model.getUnconnectedOutLayersNames())))


class Reference:
    """The evaluator of the ONNX standard itself, in numpy."""

    def __init__(self, file: bytes, _threads: int, _level: str, _entries: Mapping[str, str]) -> None:
        model = import_module("onnx").load_from_string(file)
        self.model = import_module("onnx.reference").ReferenceEvaluator(model)

    def run(self, outputs: Sequence[str] | None, feed: Arrays) -> list[Any]:
        found: list[Any] = self.model.run(outputs, dict(feed))
        return found


SESSIONS: Mapping[str, Callable[[bytes, int, str, Mapping[str, str]], Session]] = {
    "onnxruntime": onnxruntime,
    "openvino": OpenVino,
    "tract": Tract,
    "opencv-python-headless": OpenCv,
    "onnx": Reference,
}
"""By the name of the distribution."""


def loaded_version(library: str) -> str:
    """The version that is installed. Raises ImportError, or what a broken library raises."""
    import_module({"opencv-python-headless": "cv2"}.get(library, library))
    return version(library)
