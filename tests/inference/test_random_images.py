"""Random graphs of every linear and moving operator: what is proved holds for each element of each tensor,
and all engines compute the same bits.
"""

from random import Random

import numpy as np
import pytest

from inference.bounds import Cell
from inference.engines.interface import Array, InferenceEngine, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.operations.operation import ABSENT
from inference.engines.operations.registry import OPERATIONS
from inference.engines.reference import NumpyEngine
from inference.graph import read
from inference.operators.registry import EXACT
from inference.operators.rule import Value
from inference.prover import examine
from inference.refusal import Refused
from inference.tensor import Tensor, from_integers
from tests.inference.drawing import drawn

ENGINES: list[InferenceEngine] = [
    NumpyEngine(),
    OnnxRuntimeEngine(1, Optimization.NONE),
    OnnxRuntimeEngine(1, Optimization.EXTENDED),
    OnnxRuntimeEngine(1, Optimization.ALL),
    OnnxRuntimeEngine(3, Optimization.ALL),
]


def wide(array: Array) -> Array:
    """As float64, in which no sum of these small graphs is rounded, whether or not the proof is right."""
    return array.astype(np.float64) if array.dtype == np.float32 else array


def every_tensor(data: bytes, x: Tensor) -> dict[str, Array]:
    """Every tensor of a run, computed in float64."""
    graph = read(data, EXACT)
    arrays = {name: wide(to_array(tensor)) for name, tensor in graph.constants.items()}
    arrays[graph.inputs[0].name] = to_array(x)
    for node in graph.nodes:
        inputs = [arrays[name] if name else ABSENT for name in node.inputs]
        computed = OPERATIONS[node.operator](inputs, node.attributes)
        results = computed if isinstance(computed, tuple) else (computed,)
        arrays |= {name: wide(np.asarray(each)) for name, each in zip(node.outputs, results, strict=True)}
    return {name: arrays[name] for name in arrays if name not in graph.constants}


def ensure_held(name: str, array: Array, value: Value) -> None:
    """Each element is a multiple of its cell's step, and within it."""
    assert array.shape == value.shape, name
    axis = value.bounds.axis
    parts = [array] if axis is None else np.moveaxis(array, axis, 0)
    for index, (cell, part) in enumerate(zip(value.bounds.cells, parts, strict=True)):
        assert holds(cell, part), f"{name}[{index}] leaves {cell}: {part.min()} to {part.max()}"


def holds(cell: Cell, part: Array) -> bool:
    counts = part.astype(np.float64) * 2.0**-cell.step
    return bool((counts == np.rint(counts)).all() and cell.low <= counts.min() and counts.max() <= cell.high)


def inputs_of(dtype: str, shape: tuple[int, ...], random: Random) -> list[Tensor]:
    """The least, the greatest, both in turn, and any."""
    size = int(np.prod(shape))
    return [
        from_integers(dtype, shape, values)
        for values in (
            [-128] * size,
            [127] * size,
            [random.choice((-128, 127)) for _ in range(size)],
            [random.randint(-128, 127) for _ in range(size)],
        )
    ]


def check(data: bytes) -> None:
    """Raises Refused, or AssertionError if the proof is wrong."""
    proof, findings = examine(data)
    values = {
        name: value for each in findings for name, value in zip(each.node.outputs, each.values, strict=True)
    }
    models = [engine.load(proof.canonical) for engine in ENGINES]
    port = proof.certificate.inputs[0]
    for x in inputs_of(port.dtype, port.shape, Random(1)):
        for name, array in every_tensor(data, x).items():
            if name in values:
                ensure_held(name, array, values[name])
        first, *others = [model.run((x,)) for model in models]
        assert all(other == first for other in others)


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_what_is_proved_holds_in_every_engine(start: int) -> None:
    proved = 0
    for seed in range(start, start + 20):
        try:
            check(drawn(seed))
            proved += 1
        except Refused:
            continue
    assert proved >= 5
