"""Float models for tests, built with the onnx library as exporters would."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inference.converter.fold import opened, prepare
from inference.converter.program import Program
from inference.converter.understanding import interpret
from inference.engines.folding import answer

Node = onnx.NodeProto
node = helper.make_node

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any],
    outputs: Sequence[str] = ("y",),
    version: int = 17,
    **inputs: Sequence[int | str],
) -> bytes:
    """Float inputs by name and shape (those named ids or mask are int64), then the nodes. Float constants
    become float32."""
    return typed_model(
        nodes,
        constants,
        {
            name: (INT64 if name.startswith(("ids", "mask")) else FLOAT, shape)
            for name, shape in inputs.items()
        },
        outputs,
        version,
    )


def typed_model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Sequence[str] = ("y",),
    version: int = 17,
) -> bytes:
    """Inputs by name, element type and shape."""
    graph = helper.make_graph(
        list(nodes),
        "float",
        [helper.make_tensor_value_info(name, code, list(shape)) for name, (code, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [constant(name, value) for name, value in constants.items()],
    )
    domains = [helper.make_opsetid("", version), helper.make_opsetid("ai.onnx.ml", 3)]
    file: bytes = helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString()
    return file


def constant(name: str, value: Any) -> onnx.TensorProto:
    """Floats as float32, whole numbers as int64."""
    array = np.asarray(value)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return numpy_helper.from_array(array, name)


def program_of(data: bytes, **options: Any) -> Program:
    """What the converter understands, folded in this process, for speed."""
    return interpret(opened(answer(prepare(data, **options))))


def weights(*shape: int, seed: int = 1) -> Any:
    """Normally distributed."""
    return np.random.default_rng(seed).normal(size=shape)
