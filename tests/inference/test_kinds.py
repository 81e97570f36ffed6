"""Every operator runs on every element type that its rule admits, in the default engine too."""

import pytest

from inference.engines.interface import EngineError
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import AttributeValue, Node, Port
from inference.prover import prove, verdict
from inference.refusal import Refusal
from inference.schema import ELEMENT_CODES
from inference.tensor import ITEM_BYTES, Tensor, from_integers
from tests.inference.build import file, floats

SHAPE = (1, 2, 3, 4)
SLIDING: dict[str, AttributeValue] = {
    "kernel_shape": (2, 2),
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (1, 0, 0, 1),
}
RESIZE: dict[str, AttributeValue] = {
    "mode": b"nearest",
    "nearest_mode": b"floor",
    "coordinate_transformation_mode": b"asymmetric",
}


def ints(*values: int) -> Tensor:
    return from_integers("int64", (len(values),), values)


def like(kind: str, value: int) -> Tensor:
    """A single number of a type."""
    if kind == "float32":
        return floats((), [value])
    if kind == "float64":
        return Tensor(dtype=kind, shape=(), data=(value.to_bytes(8, "little") if not value else TWO))
    return from_integers(kind, (), [value])


TWO = b"\x00\x00\x00\x00\x00\x00\x00\x40"

CASES: dict[str, tuple[list[Tensor | str], dict[str, AttributeValue], list[tuple[int, ...]]]] = {
    "Add": (["x", "x"], {}, [SHAPE]),
    "ArgMax": (["x"], {"axis": 1, "keepdims": 1}, [(1, 1, 3, 4)]),
    "Clip": (["x", "zero", "two"], {}, [SHAPE]),
    "Concat": (["x", "x"], {"axis": 1}, [(1, 4, 3, 4)]),
    "Expand": (["x", ints(2, 1, 1, 1)], {}, [(2, 2, 3, 4)]),
    "Flatten": (["x"], {"axis": 2}, [(2, 12)]),
    "Gather": (["x", ints(1, 0)], {"axis": 3}, [(1, 2, 3, 2)]),
    "Identity": (["x"], {}, [SHAPE]),
    "Max": (["x", "two"], {}, [SHAPE]),
    "MaxPool": (["x"], SLIDING, [(1, 2, 3, 4)]),
    "Min": (["x", "two"], {}, [SHAPE]),
    "Mul": (["x", "two"], {}, [SHAPE]),
    "Pad": (["x", ints(0, 1, 0, 0, 0, 0, 0, 1), "two"], {"mode": b"constant"}, [(1, 3, 3, 5)]),
    "ReduceMax": (["x"], {"axes": (1, 2), "keepdims": 0}, [(1, 4)]),
    "ReduceMin": (["x"], {"axes": (1, 2), "keepdims": 0}, [(1, 4)]),
    "ReduceSum": (["x", ints(1, 2)], {"keepdims": 0}, [(1, 4)]),
    "ReduceSumSquare": (["x"], {"axes": (1, 2), "keepdims": 0}, [(1, 4)]),
    "Relu": (["x"], {}, [SHAPE]),
    "Reshape": (["x", ints(4, -1)], {}, [(4, 6)]),
    "Resize": (["x", "", floats((4,), [1, 1, 2, 3])], RESIZE, [(1, 2, 6, 12)]),
    "Round": (["x"], {}, [SHAPE]),
    "Slice": (["x", ints(1), ints(9), ints(2), ints(1)], {}, [(1, 2, 2, 4)]),
    "Split": (["x", ints(1, 2)], {"axis": 2}, [(1, 2, 1, 4), (1, 2, 2, 4)]),
    "Squeeze": (["x", ints(0)], {}, [(2, 3, 4)]),
    "Sub": (["x", "two"], {}, [SHAPE]),
    "TopK": (["x", ints(2)], {"axis": 1}, [SHAPE, SHAPE]),
    "Transpose": (["x"], {"perm": (3, 1, 2, 0)}, [(4, 2, 3, 1)]),
    "Unsqueeze": (["x", ints(0, 3)], {}, [(1, 1, 2, 1, 3, 4)]),
}


def model(operator: str, kind: str) -> bytes:
    """int8 0..3, cast to the type, through the operator, and on to int64; what goes in comes out as well."""
    inputs, attributes, shapes = CASES[operator]
    constants = {"least": from_integers("int8", (), [0]), "most": from_integers("int8", (), [3])}
    constants |= {"zero": like(kind, 0), "two": like(kind, 2)}
    constants |= {f"c{at}": each for at, each in enumerate(inputs) if isinstance(each, Tensor)}
    names = tuple(each if isinstance(each, str) else f"c{at}" for at, each in enumerate(inputs))
    outputs = tuple(f"y{at}" for at in range(len(shapes)))
    nodes = [
        Node(0, "Clip", ("raw", "least", "most"), ("limited",), {}),
        Node(1, "Cast", ("limited",), ("x",), {"to": ELEMENT_CODES[kind]}),
        Node(2, operator, names, outputs, attributes),
    ]
    ports = []
    if operator in ("ArgMax", "TopK") and kind not in ("float32", "float64"):
        ports.append(Port("x", kind, SHAPE))
    for name, shape in zip(outputs, shapes, strict=True):
        nodes.append(Node(len(nodes), "Cast", (name,), (f"i{name}",), {"to": ELEMENT_CODES["int64"]}))
        ports.append(Port(f"i{name}", "int64", shape))
    return file(nodes, [Port("raw", "int8", SHAPE)], ports, constants)


@pytest.mark.parametrize("operator", CASES)
def test_every_admitted_type_runs(operator: str) -> None:
    inputs = (from_integers("int8", SHAPE, [at * 7 % 5 - 1 for at in range(24)]),)
    ran = []
    for kind in ITEM_BYTES:
        answer = verdict(model(operator, kind))
        if isinstance(answer, Refusal):
            assert "input 0 is" in answer.reason
            continue
        data = prove(model(operator, kind)).canonical
        expected = NumpyEngine().load(data).run(inputs)
        for optimization in Optimization:
            try:
                assert OnnxRuntimeEngine(1, optimization).load(data).run(inputs) == expected
            except EngineError as error:
                pytest.fail(f"{operator} of {kind}: {error}")
        ran.append(kind)
    assert ran
