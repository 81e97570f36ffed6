"""The process that folds a float model for the converter: `python -m inference.engines.folding MEMORY_BYTES
CPU_S`.

One request on its standard input, one reply on its output. onnxruntime's own offline optimiser does what
follows from constants alone: shape arithmetic, Constant nodes, identities, batch norms into convolutions.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

# Read when the library loads; see onnx_runtime.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime as ort

from inference import sandbox, schema
from inference.converter.fold import REPLY, REQUEST, Folded, FoldReply, FoldRequest, TensorType, Unfolded
from inference.engines.interface import to_array
from inference.engines.onnx_runtime import ERRORS, first_line

_FILE_BYTES_MAX: Final = 1 << 30
"""Largest file that the optimiser may write; what is worth a reply is far smaller."""

_KEPT_APART: Final = (
    "GatherSliceToSplitFusion",
    "GeluFusionL1",
    "LayerNormFusionL1",
    "MatMulAddFusion",
    "TransposeOptimizer",
)
"""Optimisers that make a graph harder to read for whoever recognises the same patterns afterwards."""

_VERSION: Final = 17
"""Of the standard operators, for files that use none."""

_DOMAINS: Final = ("", "ai.onnx.ml")


def main() -> None:
    """Fold one model."""
    memory_bytes, cpu_s = (int(argument) for argument in sys.argv[1:3])
    sandbox.enter(memory_bytes, _FILE_BYTES_MAX)
    replies = sandbox.keep_output()
    sandbox.allow_cpu(cpu_s)
    reply = answer(REQUEST.decode(sys.stdin.buffer.read()))
    left = memoryview(REPLY.encode(reply))
    while left:
        left = left[os.write(replies, left) :]


def answer(request: FoldRequest) -> FoldReply:
    """The folded file, or why there is none."""
    try:
        model = _optimise(_bound(request))
        return Folded(model=model.SerializeToString(deterministic=True), tensors=_tensors(model))
    except ERRORS as error:
        return Unfolded(reason=first_line(error))
    except MemoryError:
        return Unfolded(reason="it takes more memory than allowed")


def _bound(request: FoldRequest) -> onnx.ModelProto:
    """The model with fixed shapes, and constants in place of some inputs."""
    model = onnx.load_from_string(request.model)
    shapes, constants = dict(request.shapes), dict(request.constants)
    # Older files list their constants among the inputs.
    inputs = [port for port in model.graph.input if port.name in shapes]
    for port in inputs:
        tensor = port.type.tensor_type
        del tensor.shape.dim[:]
        for size in shapes[port.name]:
            tensor.shape.dim.add().dim_value = size
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for name, value in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(to_array(value), name))
    # What the exporter declared of shapes inside may contradict the ones given.
    del model.graph.value_info[:]
    _name_only_outputs(model, [port.name for port in model.graph.output])
    if all(each.domain not in ("", "ai.onnx") for each in model.opset_import):
        # A file of ai.onnx.ml alone; the optimiser would write down the newest version that it knows.
        model.opset_import.add().version = _VERSION
    return model


def _name_only_outputs(model: onnx.ModelProto, names: list[str]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)


def _session(model: onnx.ModelProto, path: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = (
        ort.GraphOptimizationLevel.ORT_ENABLE_BASIC if path else ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    if path:
        options.optimized_model_filepath = str(path)
    return ort.InferenceSession(
        model.SerializeToString(deterministic=True),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(_KEPT_APART) if path else [],
    )


def _optimise(model: onnx.ModelProto) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(dir=".") as directory:
        path = Path(directory) / "folded.onnx"
        _session(model, path)
        folded = onnx.load(path)
    del folded.metadata_props[:]
    del folded.graph.value_info[:]
    for node in folded.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    # The optimiser names every domain that it knows, used or not.
    used = {node.domain for node in folded.graph.node}
    domains = [each for each in folded.opset_import if each.domain in used or each.domain in _DOMAINS]
    del folded.opset_import[:]
    folded.opset_import.extend(domains)
    return folded


def _tensors(model: onnx.ModelProto) -> tuple[TensorType, ...]:
    """Type and shape of every input and of every result of a node, found by running the model on zeros."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [
        name
        for node in probe.graph.node
        if node.op_type not in ("LabelEncoder", "ZipMap")
        for name in node.output
        if name
    ]
    _name_only_outputs(probe, names)
    found, feed = [], {}
    for port in model.graph.input:
        tensor = port.type.tensor_type
        shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
        feed[port.name] = np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        found.append(TensorType(name=port.name, dtype=feed[port.name].dtype.name, shape=shape))
    for name, value in zip(names, _session(probe).run(names, feed), strict=True):
        dtype = value.dtype.name if isinstance(value, np.ndarray) else ""
        if dtype in schema.ELEMENT_CODES or dtype == "bool":
            found.append(TensorType(name=name, dtype=dtype, shape=value.shape))
    return tuple(found)


if __name__ == "__main__":
    main()
