"""The default engine: onnxruntime, float32, on the CPU."""

import os
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

# Read once, when the library loads. Without it, versions from 1.29 on tell their maker about the machine and
# its models, and keep an identifier and a database in the home directory.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as binding

from inference.engines.interface import EngineError, from_array, to_array
from inference.tensor import Tensor

ERRORS = (
    binding.EPFail,
    binding.Fail,
    binding.InvalidArgument,
    binding.InvalidGraph,
    binding.InvalidProtobuf,
    binding.NotImplemented,
    binding.RuntimeException,
    RuntimeError,
    ValueError,
)
"""What onnxruntime raises; its own exceptions have no base in common."""


SETTINGS: Final = {
    "mlas.enable_gemm_fastmath_arm64_bfloat16": "0",
    "mlas.use_lut_gemm": "0",
    "optimization.enable_gelu_approximation": "0",
    "session.disable_quant_qdq": "1",
    "session.set_denormal_as_zero": "0",
}
"""No multiplication in bfloat16 or by tables of sums, no approximate functions, no small number taken for
zero; and no operator on bytes but those that the twin says, for some round twice.
"""


class Optimization(IntEnum):
    """How far onnxruntime may rewrite the graph."""

    NONE = 0
    BASIC = 1
    EXTENDED = 2
    ALL = 99


class OnnxRuntimeModel:
    """One onnxruntime session."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._names = [port.name for port in session.get_inputs()]

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs) != len(self._names):
            raise EngineError(f"{len(inputs)} inputs for {len(self._names)}")
        feed = {name: to_array(tensor) for name, tensor in zip(self._names, inputs, strict=True)}
        try:
            return tuple(from_array(array) for array in self._session.run(None, feed))
        except ERRORS as error:
            raise EngineError(first_line(error)) from None


class OnnxRuntimeEngine:
    """Sessions on the CPU provider alone. The settings change the speed, never a bit of an exact model's
    outputs."""

    def __init__(self, threads: int = 1, optimization: Optimization = Optimization.ALL) -> None:
        self._threads = threads
        self._optimization = optimization

    def load(self, model: bytes) -> OnnxRuntimeModel:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel(self._optimization)
        options.log_severity_level = 4
        for name, value in SETTINGS.items():
            options.add_session_config_entry(name, value)
        try:
            return OnnxRuntimeModel(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
        except ERRORS as error:
            raise EngineError(first_line(error)) from None


def first_line(error: Exception) -> str:
    """What a library said, short enough to pass on."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
