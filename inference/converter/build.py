"""The whole exact graph of a plan: inputs as integers, every step by its rule, outputs as integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from inference.certificate import Scale
from inference.converter.code import Code, one
from inference.converter.lowering import Lowering
from inference.converter.options import Watch
from inference.converter.plan import Plan
from inference.converter.program import Sink, Source, Table
from inference.converter.registry import rule_of
from inference.graph import Graph, Port
from inference.refusal import refuse
from inference.scales import declare
from inference.tensor import INTEGER_RANGES
from primitives.types import U63_MAX

CLASS = "class"
"""Name of the output with the index of the greatest score; of a second one, `class` and its scores' name."""


@dataclass(frozen=True, slots=True)
class Built:
    """An exact graph, and which of its tensors stands for which of the float model."""

    graph: Graph
    codes: Mapping[str, Code]
    weight_bits: Mapping[str, int]


def build(plan: Plan, watch: Watch) -> Built:
    """Raises Refused at the first step that does not fit."""
    lowering = Lowering(plan)
    inputs: list[Port] = []
    metadata: dict[str, str] = {}
    for source in plan.program.sources:
        port = _enter(lowering, source)
        inputs.append(port)
        metadata |= _declared(plan, source)
    steps = plan.program.steps
    for index, step in enumerate(steps):
        watch("lowering", index, len(steps))
        lowering.put(step.name, rule_of(step).lower(lowering, step))
    outputs = []
    for sink in plan.program.sinks:
        outputs += _leave(lowering, sink)
        metadata |= declare(sink.name, [_scale(Fraction(_unit(lowering, sink)), sink.name)], [0])
    names = {port.name for port in (*inputs, *outputs)}
    if len(names) != len(inputs) + len(outputs):
        refuse("two inputs or outputs have the same name: rename one", "model")
    graph = lowering.graph(tuple(inputs), tuple(outputs), metadata)
    return Built(graph, lowering.codes(), lowering.weight_bits)


def _enter(lowering: Lowering, source: Source) -> Port:
    """Limited to the range that calibration saw, and made real numbers."""
    plan, name = lowering.plan, source.name
    grid = plan.grids[name]
    if not source.dtype.startswith("float"):
        return _enter_whole(lowering, source)
    zeros = plan.source_zeros[name]
    low, high = int(grid.low + zeros.max()), int(grid.high + zeros.min())
    dtype = "uint8" if (low, high) == INTEGER_RANGES["uint8"] else "int32"
    zero = zeros.astype(np.float64) if zeros.size > 1 else one(float(zeros[0]))
    scale = grid.scale
    code = Code(
        name=_real(lowering, name, dtype, low, high),
        shape=source.shape,
        scale=scale,
        offset=-zero * scale,
        step=np.array(0),
        low=one(low),
        high=one(high),
    )
    lowering.put(name, code)
    return Port(name, dtype, source.shape)


def _enter_whole(lowering: Lowering, source: Source) -> Port:
    """Whole numbers as they are; a table looks them up without their becoming real."""
    plan, name = lowering.plan, source.name
    grid = plan.grids[name]
    dtype = source.dtype if source.dtype in ("uint8", "int8") else "int32"
    low, high = INTEGER_RANGES[dtype] if dtype != "int32" else (grid.low, grid.high)
    tables = all(isinstance(step, Table) for step in plan.steps.values() if name in step.inputs)
    at = name if tables else _real(lowering, name, dtype, low, high)
    code = Code(
        name=at,
        shape=source.shape,
        scale=one(1.0),
        offset=one(0.0),
        step=np.array(0),
        low=one(low),
        high=one(high),
        dtype=dtype if tables else "float32",
    )
    lowering.put(name, code)
    return Port(name, dtype, source.shape)


def _real(lowering: Lowering, name: str, dtype: str, low: int, high: int) -> str:
    if (low, high) != INTEGER_RANGES[dtype]:
        ends = (lowering.constant(np.array(each, dtype=dtype)) for each in (low, high))
        name = lowering.add("Clip", name, *ends)
    return lowering.cast(name, "float32")


def _declared(plan: Plan, source: Source) -> dict[str, str]:
    if source.name not in plan.source_scales:
        return {}
    scales = [_scale(each, source.name) for each in plan.source_scales[source.name]]
    return declare(source.name, scales, plan.source_zeros[source.name].tolist())


def _leave(lowering: Lowering, sink: Sink) -> list[Port]:
    """int32 scores and, where the float model has one, the class."""
    code = lowering.integers(sink.step)
    name = lowering.cast(code.name, "int32")
    lowering.rename(name, sink.name)
    ports = [Port(sink.name, "int32", code.shape)]
    if sink.class_axis is not None:
        axis = sink.class_axis % len(code.shape)
        chosen = lowering.add("ArgMax", sink.name, axis=axis, keepdims=0)
        label = (
            CLASS if len(lowering.plan.program.sinks) == 1 and sink.name != CLASS else f"{CLASS}.{sink.name}"
        )
        lowering.rename(chosen, label)
        ports.append(Port(label, "int64", code.shape[:axis] + code.shape[axis + 1 :]))
    return ports


def _unit(lowering: Lowering, sink: Sink) -> float:
    return float(lowering.grid(sink.step).scale.reshape(-1)[0])


def _scale(value: Fraction, name: str) -> Scale:
    """Raises Refused for a scale that no certificate can state."""
    if max(value.numerator, value.denominator) > U63_MAX:
        refuse(
            f"its numbers are near {float(value):.0e}, finer or coarser than a certificate can state: "
            "multiply the weights of the last layer by a constant",
            name,
        )
    return Scale(numerator=value.numerator, denominator=value.denominator)
