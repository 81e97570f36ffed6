"""The process that folds a float model for the converter:
`python -m inference.engines.folding "" MEMORY_BYTES 0 CPU_S`.

onnxruntime's own offline optimiser does what follows from constants alone: shape arithmetic, Constant nodes,
identities, batch norms into convolutions. It gives the file back in memory, for a sealed process writes none.
"""

import os
import sys
from heapq import heapify, heappop, heappush
from typing import Final

# Read when the library loads; see onnx_runtime.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime as ort

from inference import sandbox, schema, serving
from inference.converter.fold import (
    REPLY,
    REQUEST,
    REQUEST_BYTES_MAX,
    Folded,
    FoldReply,
    FoldRequest,
    TensorType,
    Unfolded,
)
from inference.engines.interface import to_array
from inference.engines.onnx_runtime import ERRORS, first_line
from inference.graph import MODEL_BYTES_MAX

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


_PROBE: Final = FoldRequest(
    model=onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Add", ["x", "one"], ["y"])],
            "probe",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch"])],
            [onnx.ValueInfoProto(name="y")],
            [onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", _VERSION)],
        ir_version=8,
    ).SerializeToString(),
    shapes=(("x", (1,)),),
    constants=(),
)
"""The smallest model: it has every library load what it loads when first used."""


def main() -> None:
    """Fold whatever is asked."""
    memory_bytes, cpu_s = int(sys.argv[2]), int(sys.argv[4])

    def reply(request: bytes) -> bytes:
        sandbox.allow_cpu(cpu_s)
        return REPLY.encode(answer(REQUEST.decode(request)))

    def load() -> tuple[serving.Answer, str]:
        sandbox.allow_cpu(cpu_s)
        tried = answer(_PROBE)
        return reply, tried.reason if isinstance(tried, Unfolded) else ""

    serving.serve(load, memory_bytes, REQUEST_BYTES_MAX)


def answer(request: FoldRequest) -> FoldReply:
    """The folded file, or why there is none."""
    try:
        model = _optimise(_bound(request))
        file = model.SerializeToString(deterministic=True)
        if len(file) > MODEL_BYTES_MAX:
            return Unfolded(reason=f"folded, it has {len(file)} bytes, more than {MODEL_BYTES_MAX}")
        return Folded(model=file, tensors=_tensors(model))
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


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _optimise(model: onnx.ModelProto) -> onnx.ModelProto:
    options = _options()
    options.add_session_config_entry("optimization.disable_specified_optimizers", ";".join(_KEPT_APART))
    compiler = ort.ModelCompiler(
        options,
        model.SerializeToString(deterministic=True),
        graph_optimization_level=ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    )
    folded = onnx.load_from_string(compiler.compile_to_bytes())
    _order(folded.graph, [name for node in model.graph.node for name in node.output])
    _settle(folded)
    del folded.metadata_props[:]
    del folded.graph.value_info[:]
    for node in folded.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
        # The order that the optimiser gives them is that of a hash table.
        attributes = sorted(node.attribute, key=lambda each: each.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    # The optimiser names every domain that it knows, used or not.
    used = {node.domain for node in folded.graph.node}
    domains = [each for each in folded.opset_import if each.domain in used or each.domain in _DOMAINS]
    del folded.opset_import[:]
    folded.opset_import.extend(domains)
    return folded


def _settle(model: onnx.ModelProto) -> None:
    """Compute what still follows from constants alone: the optimiser leaves operators that it has no kernel
    of in the model's operator set, and what comes after them.
    """
    graph = model.graph
    known = {each.name for each in graph.initializer} | {""}
    settled: list[onnx.NodeProto] = []
    rest: list[onnx.NodeProto] = []
    for node in graph.node:
        if known.issuperset(node.input) and not _is_text(node):
            settled.append(node)
            known.update(node.output)
        else:
            rest.append(node)
    if not settled or not rest:
        return
    names = [name for node in settled for name in node.output if name]
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    del alone.graph.input[:], alone.graph.node[:]
    alone.graph.node.extend(settled)
    _name_only_outputs(alone, names)
    read = {name for node in rest for name in node.input} | {port.name for port in graph.output}
    for name, value in zip(names, _plain_session(alone).run(names, {}), strict=True):
        if name in read:
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    del graph.node[:]
    graph.node.extend(rest)


def _plain_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """That runs each node as it is."""
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    file = model.SerializeToString(deterministic=True)
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _order(graph: onnx.GraphProto, names: list[str]) -> None:
    """Put the nodes in the order in which `names` has their results, but each after its inputs."""
    places = {name: at for at, name in enumerate(names)}
    makers = {name: at for at, node in enumerate(graph.node) for name in node.output}
    missing = [{makers[name] for name in node.input if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for at, needed in enumerate(missing):
        for maker in needed:
            readers.setdefault(maker, []).append(at)
    ready = [(places.get(graph.node[at].output[0], 0), at) for at, each in enumerate(missing) if not each]
    heapify(ready)
    ordered = []
    while ready:
        _, at = heappop(ready)
        ordered.append(graph.node[at])
        for reader in readers.get(at, []):
            missing[reader].remove(at)
            if not missing[reader]:
                heappush(ready, (places.get(graph.node[reader].output[0], 0), reader))
    del graph.node[:]
    graph.node.extend(ordered)


def _is_text(node: onnx.NodeProto) -> bool:
    """Whether a node's result may be no tensor of numbers."""
    given = {each.name: each.t.data_type for each in node.attribute}
    words = {"classes_strings", "values_strings"} & given.keys()
    as_tensor = given.get("values_tensor") == onnx.TensorProto.STRING
    return node.op_type == "ZipMap" or (node.op_type == "LabelEncoder" and (bool(words) or as_tensor))


def _tensors(model: onnx.ModelProto) -> tuple[TensorType, ...]:
    """Type and shape of every input and of every result of a node, found by running the model on zeros."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [name for node in probe.graph.node if not _is_text(node) for name in node.output if name]
    _name_only_outputs(probe, names)
    session = _plain_session(probe)
    found, feed = [], {}
    for port in model.graph.input:
        tensor = port.type.tensor_type
        shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
        feed[port.name] = np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        found.append(TensorType(name=port.name, dtype=feed[port.name].dtype.name, shape=shape))
    for name, value in zip(names, session.run(names, feed), strict=True):
        dtype = value.dtype.name if isinstance(value, np.ndarray) else ""
        if dtype in schema.ELEMENT_CODES or dtype == "bool":
            found.append(TensorType(name=name, dtype=dtype, shape=value.shape))
    return tuple(found)


if __name__ == "__main__":
    main()
