"""What bytes can gain on this processor: onnxruntime's own kernels, its own quantised models, and our twins.

    python -m benchmarks.int8 [NAME...]

Prints one JSON line; all figures are processor time of one thread, the ways taking turns, as ratios to
float32 in the same engine.

`kernels`: eight equal convolutions one after the other in float32, and as QLinearConv with signed weights
(what twins use) and unsigned ones: no model of bytes can be faster than its convolutions are here.
`models`: for each named test model (the convolutional ones if none is named), the int8 twin of its conversion
for bytes, and what `onnxruntime.quantization.quantize_static` makes of the same float model, as operators on
bytes (`qoperator`) and as floats between conversions that the engine fuses (`qdq`), in the engine's default
settings. One that it refuses to load, as `qdq` of files older than opset 13, is left out.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from benchmarks.exact_models import encoded, real, seconds
from inference.converter.calibrate import with_outputs
from inference.converter.exact import make_exact
from inference.converter.options import Method, Options, unwatched
from inference.converter.program import Convolution
from inference.converter.understanding import understand
from inference.engines.int8 import TwinEngine
from inference.engines.interface import LoadedModel, from_array
from inference.engines.onnx_runtime import ERRORS, OnnxRuntimeEngine, OnnxRuntimeModel
from inference.prover import prove
from inference.tensor import Tensor
from tests.models.load import TestModel, large_names, load, names

SECONDS: Final = 3.0
"""For all ways to run one model or kernel, together."""

DEPTH: Final = 8
"""Convolutions in a row, so that what arranges the first one's input counts little."""

CALIBRATION: Final = 8
"""Samples for onnxruntime's own quantisation: they change its scales, and not its speed."""

Ways = Mapping[str, tuple[LoadedModel, Sequence[Tensor]]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A convolution that keeps the shape of its input."""

    channels: int
    size: int
    kernel: int
    depthwise: bool = False

    @property
    def name(self) -> str:
        kind = "depthwise " if self.depthwise else ""
        return f"{kind}{self.kernel}x{self.kernel}, {self.channels} channels of {self.size}x{self.size}"

    @property
    def macs(self) -> int:
        inner = 1 if self.depthwise else self.channels
        return DEPTH * self.size**2 * self.kernel**2 * self.channels * inner


KERNELS: Final = (
    Kernel(64, 56, 3),
    Kernel(128, 28, 3),
    Kernel(256, 14, 3),
    Kernel(512, 7, 3),
    Kernel(64, 56, 1),
    Kernel(256, 14, 1),
    Kernel(12, 32, 3),
    Kernel(16, 32, 3),
    Kernel(32, 112, 3, depthwise=True),
    Kernel(144, 56, 3, depthwise=True),
    Kernel(384, 14, 3, depthwise=True),
    Kernel(88, 16, 5, depthwise=True),
)


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)  # The quantiser advises what was done already.
    chosen = sys.argv[1:] or [*names(), *large_names()]
    models = {name: found for name in chosen if (found := of_model(load(name)))}
    kernels = {kernel.name: of_kernel(kernel) for kernel in KERNELS}
    print(json.dumps({"benchmark": "int8", "kernels": kernels, "models": models}))


def of_kernel(kernel: Kernel) -> dict[str, float]:
    """Billions of multiply-adds a second in float32, and the times of bytes by that."""
    random = np.random.default_rng(0)
    shape = (1, kernel.channels, kernel.size, kernel.size)
    x = random.integers(0, 256, shape, dtype=np.uint8)
    ways: dict[str, tuple[LoadedModel, list[Tensor]]] = {
        "float": (session(chain(kernel, None)), [from_array(x.astype(np.float32))])
    }
    for dtype in ("int8", "uint8"):
        ways[dtype] = (session(chain(kernel, dtype)), [from_array(x)])
    times = medians(ways)
    ratios = {f"{name}_ratio": times[name] / times["float"] for name in times if name != "float"}
    return {"gmacs": round(kernel.macs / times["float"] / 1e9, 1), **rounded(ratios)}


def chain(kernel: Kernel, weights: str | None) -> bytes:
    """The convolutions in a row, in float32 if `weights` has no type of bytes."""
    random = np.random.default_rng(1)
    inner = 1 if kernel.depthwise else kernel.channels
    w = random.integers(-64, 65, (kernel.channels, inner, kernel.kernel, kernel.kernel))
    attributes: dict[str, Any] = {
        "pads": [kernel.kernel // 2] * 4,
        "group": kernel.channels if kernel.depthwise else 1,
    }
    zero = 128 if weights == "uint8" else 0
    if weights is None:
        constants: dict[str, Any] = {"w": w.astype(np.float32) / 4096}
        nodes = [
            helper.make_node("Conv", [f"t{at}", "w"], [f"t{at + 1}"], **attributes) for at in range(DEPTH)
        ]
    else:
        constants = {
            "w": (w + zero).astype(weights),
            "one": np.float32(1),
            "none": np.uint8(0),
            "steps": np.full(kernel.channels, 2.0**-12, np.float32),
            "zeros": np.full(kernel.channels, zero, weights),
        }
        scales = ["w", "steps", "zeros", "one", "none"]
        nodes = [
            helper.make_node("QLinearConv", [f"t{at}", "one", "none", *scales], [f"t{at + 1}"], **attributes)
            for at in range(DEPTH)
        ]
    shape = [1, kernel.channels, kernel.size, kernel.size]
    kind = TensorProto.FLOAT if weights is None else TensorProto.UINT8
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("t0", kind, shape)],
        [helper.make_tensor_value_info(f"t{DEPTH}", kind, shape)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized


def of_model(model: TestModel) -> dict[str, float] | None:
    """None for a model without convolutions."""
    engine = OnnxRuntimeEngine(threads=1)
    held_out = model.held_out[:CALIBRATION]
    program = understand(model.model, {name: array.shape for name, array in held_out[0].items()})
    if not any(isinstance(step, Convolution) for step in program.steps):
        return None
    folded = with_outputs(program.folded, sorted({sink.step for sink in program.sinks}))
    options = Options(int8=True, method=Method.ERROR)
    proof = prove(make_exact(program, model.samples, held_out, options, engine, unwatched).model)
    x = real(held_out[0])
    ways: dict[str, tuple[LoadedModel, Sequence[Tensor]]] = {
        "float": (session(folded), x),
        "twin": (TwinEngine(threads=1).load(proof.canonical), encoded(proof, held_out[0])),
    }
    for name, how in FORMATS.items():
        with contextlib.suppress(*ERRORS):
            ways[name] = (session(quantised(folded, model, how)), x)
    times = medians(ways)
    ratios = {f"{name}_ratio": times[name] / times["float"] for name in times if name != "float"}
    return {"float_us": round(times["float"] * 1e6, 1), **rounded(ratios)}


FORMATS: Final = {
    "qoperator": quantization.QuantFormat.QOperator,
    "qdq": quantization.QuantFormat.QDQ,
}


class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The first samples of a test model."""

    def __init__(self, model: TestModel) -> None:
        self._left: Iterator[Any] = iter([dict(each) for each in model.samples[:CALIBRATION]])

    def get_next(self) -> Any:
        return next(self._left, None)


def quantised(folded: bytes, model: TestModel, how: quantization.QuantFormat) -> bytes:
    """onnxruntime's own, as its documentation advises for processors without VNNI: weights of seven bits,
    with a scale for each channel."""
    with TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        source, target = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        source.write_bytes(
            onnx.shape_inference.infer_shapes(onnx.load_from_string(folded)).SerializeToString()
        )
        quantization.quantize_static(
            source,
            target,
            Samples(model),
            quant_format=how,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return target.read_bytes()


def session(model: bytes) -> LoadedModel:
    """onnxruntime as it comes, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return OnnxRuntimeModel(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))


def medians(ways: Ways) -> dict[str, float]:
    """Seconds of a run of each."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    ends = perf_counter() + SECONDS
    while len(times["float"]) < 10 or perf_counter() < ends:
        for name, (loaded, inputs) in ways.items():
            times[name].append(seconds(loaded, inputs))
    return {name: median(each) for name, each in times.items()}


def rounded(ratios: Mapping[str, float]) -> dict[str, float]:
    return {name: round(each, 2) for name, each in ratios.items()}


if __name__ == "__main__":
    main()
