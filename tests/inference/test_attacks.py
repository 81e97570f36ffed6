"""What optimisers of engines like to rewrite, as an attacker would put it: each graph is refused, or every
engine computes the same bits.
"""

import struct
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
import pytest

from inference.engines.int8 import TwinEngine
from inference.engines.interface import InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import LEARNERS, AttributeValue, Node, Port, read
from inference.operators.registry import EXACT
from inference.prover import prove
from inference.refusal import Refused
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers, integers
from tests.fuzz.models.fuzz import inputs_of
from tests.fuzz.models.twist import mended
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node

ENGINES: list[InferenceEngine] = [
    NumpyEngine(),
    *(OnnxRuntimeEngine(1, each) for each in Optimization),
    OnnxRuntimeEngine(3, Optimization.ALL),
    TwinEngine(),
]

IMAGE = (1, 2, 4, 4)
SHAPES: Mapping[str, tuple[int, ...]] = {"image": IMAGE, "row": (1, 8), "rows": (3, 8)}
WINDOW: dict[str, AttributeValue] = {
    "kernel_shape": (3, 3),
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (1, 1, 1, 1),
}
CONV: dict[str, AttributeValue] = {**WINDOW, "group": 1}
RESIZE: dict[str, AttributeValue] = {
    "mode": b"nearest",
    "nearest_mode": b"floor",
    "coordinate_transformation_mode": b"asymmetric",
}
TREE: dict[str, AttributeValue] = {
    "n_targets": 1,
    "nodes_falsenodeids": (2, 0, 0),
    "nodes_featureids": (0, 0, 0),
    "nodes_modes": (b"BRANCH_LT", b"LEAF", b"LEAF"),
    "nodes_nodeids": (0, 1, 2),
    "nodes_treeids": (0, 0, 0),
    "nodes_truenodeids": (1, 0, 0),
    "nodes_values": (3.0, 0.0, 0.0),
    "target_ids": (0, 0),
    "target_nodeids": (1, 2),
    "target_treeids": (0, 0),
    "target_weights": (5.0, -7.0),
}


def ints(*values: int) -> Tensor:
    return from_integers("int64", (len(values),), list(values))


def number(value: float) -> Tensor:
    return floats((), [value])


def weights(*shape: int, scale: float = 1.0) -> Tensor:
    count = 1
    for size in shape:
        count *= size
    return floats(shape, [(at * 5 % 11 - 5) * scale for at in range(count)])


CONSTANTS: Mapping[str, Tensor] = {
    "w": weights(2, 2, 3, 3),
    "fine": weights(2, 2, 3, 3, scale=2.0**-12),
    "bias": floats((2,), [1, -2.5]),
    "m": weights(8, 8),
    "b": weights(8),
    "channels": floats((2, 1, 1), [3, -5]),
    "powers": floats((2, 1, 1), [0.5, 8]),
    "odd": floats((2, 1, 1), [0.3, 1.7]),
    "tiny": number(2.0**-30),
    "huge": number(2.0**30),
    "third": number(1 / 3),
    "zero": number(0),
    "negative": number(-0.0),
    "one": number(1),
    "half": number(0.5),
    "three": number(3),
    "six": number(6),
    "top": number(2**24 - 1),
    "below": number(-2),
    "filling": number(-7),
    "around": ints(0, 0, 1, 1, 0, 0, 1, 1),
    "inside": ints(1, 1),
    "outside": ints(5, 5),
    "spatial": ints(2, 3),
    "rank1": ints(1),
    "flat": ints(1, -1),
    "back": ints(*IMAGE),
    "scales": floats((4,), [1, 1, 3, 2]),
    "every": ints(1),
    "two": ints(2),
    "turned": from_integers("int32", (3,), [7, 0, 7]),
    "table": floats((16, 1), [at * 0.5 for at in range(16)]),
    "fifteen": number(15),
    "low": number(-100),
    "deep": floats((1, 1, 1), [0.3]),
    "ones": ints(1, 1),
    "three8": ints(3),
    "eleven8": ints(11),
    "wide": Tensor(dtype="float64", shape=(), data=struct.pack("<d", 2**30 + 1)),
}

Step = tuple[str, str, str] | tuple[str, str, str, Mapping[str, AttributeValue]]


def model(shape: tuple[int, ...], *steps: Step, ends: Sequence[str] = ("r",)) -> bytes:
    """int8 x -> Cast -> the steps (operator, inputs, outputs[, attributes]) -> Round -> Cast; each of `ends`
    is an output, whose shape the prover is asked for."""
    nodes = [Node(0, "Cast", ("x",), ("real",), {"to": ELEMENT_CODES["float32"]})]
    for operator, inputs, outputs, *attributes in steps:
        names = tuple("" if name == "-" else name for name in inputs.split())
        domain = LEARNERS if operator.startswith("Tree") else ""
        known = attributes[0] if attributes else {}
        nodes.append(Node(0, operator, names, tuple(outputs.split()), known, domain))
    for end in ends:
        nodes.append(Node(0, "Round", (end,), (f"{end}.whole",), {}))
        nodes.append(Node(0, "Cast", (f"{end}.whole",), (f"{end}.y",), {"to": ELEMENT_CODES["int32"]}))
    used = {name for node in nodes for name in node.inputs}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    ports = [Port(f"{end}.y", "int32", shape) for end in ends]
    return file(nodes, [Port("x", "int8", shape)], ports, constants)


def cast(to: str) -> Mapping[str, AttributeValue]:
    return {"to": ELEMENT_CODES[to]}


PROVED: Mapping[str, bytes] = {
    "Conv, Mul per channel": model(IMAGE, ("Conv", "real w bias", "c", CONV), ("Mul", "c channels", "r")),
    "Conv, Add per channel": model(IMAGE, ("Conv", "real w", "c", CONV), ("Add", "c channels", "r")),
    "Conv, Mul by powers": model(IMAGE, ("Conv", "real fine", "c", CONV), ("Mul", "c powers", "r")),
    "Mul before Conv": model(IMAGE, ("Mul", "real channels", "p"), ("Conv", "p w", "r", CONV)),
    "Conv, Add, Relu": model(
        IMAGE, ("Conv", "real w", "c", CONV), ("Add", "c real", "a"), ("Relu", "a", "r")
    ),
    "Pad with a number, Conv": model(
        IMAGE,
        ("Pad", "real around filling", "p"),
        ("Conv", "p w", "r", {**CONV, "pads": (0, 0, 0, 0)}),
    ),
    "Pad with zero, Conv with padding": model(
        IMAGE,
        ("Pad", "real around zero", "p"),
        ("Conv", "p w", "c", {**CONV, "pads": (1, 1, 0, 0), "strides": (1, 1)}),
        ("Slice", "c inside outside spatial", "s"),
        ("Identity", "s", "r"),
    ),
    "Pad with zero, MaxPool of negative numbers": model(
        IMAGE,
        ("Clip", "real low filling", "n"),
        ("Pad", "n around zero", "p"),
        ("MaxPool", "p", "r", {**WINDOW, "pads": (0, 0, 0, 0)}),
    ),
    "MaxPool with padding, of negative numbers": model(
        IMAGE, ("Clip", "real low filling", "n"), ("MaxPool", "n", "r", WINDOW)
    ),
    "factors around MatMul": model(
        (3, 8), ("Mul", "real half", "p"), ("MatMul", "p m", "s"), ("Mul", "s three", "r")
    ),
    "MatMul, Add": model((3, 8), ("MatMul", "real m", "s"), ("Add", "s b", "r")),
    "Gemm, Add of a tensor": model((3, 8), ("Gemm", "real m", "s"), ("Add", "s real", "r")),
    "Gemm of a transposed tensor": model(
        (8, 8), ("Transpose", "real", "t", {"perm": (1, 0)}), ("Gemm", "t m b", "r", {"transB": 1})
    ),
    "Mul by 1, Add of 0, Sub of 0, Mul by 1": model(
        (1, 8),
        ("Mul", "real one", "p"),
        ("Add", "p zero", "q"),
        ("Sub", "q zero", "s"),
        ("Mul", "one s", "r"),
    ),
    "Add of -0": model((1, 8), ("Add", "real negative", "r")),
    "Mul by 0": model((1, 8), ("Mul", "real zero", "r")),
    "Sub of itself": model((1, 8), ("Sub", "real real", "r")),
    "Div by itself": model((1, 8), ("Clip", "real one six", "c"), ("Div", "c c", "r")),
    "two small factors": model((1, 8), ("Mul", "real tiny", "p"), ("Mul", "p huge", "r")),
    "floats there and back": model(
        (1, 8),
        ("Cast", "real", "d", cast("float64")),
        ("Cast", "d", "f", cast("float32")),
        ("Cast", "f", "i", cast("int64")),
        ("Cast", "i", "j", cast("int32")),
        ("Cast", "j", "r", cast("float32")),
    ),
    "Clip, Clip": model((1, 8), ("Clip", "real below six", "c"), ("Clip", "c zero three", "r")),
    "Clip to another range, Clip": model(
        (1, 8), ("Clip", "real three six", "c"), ("Clip", "c below zero", "r")
    ),
    "Clip, Relu": model((1, 8), ("Clip", "real below six", "c"), ("Relu", "c", "r")),
    "Relu, Clip below 0": model((1, 8), ("Relu", "real", "c"), ("Clip", "c low below", "r")),
    "Clip to one number": model((1, 8), ("Clip", "real six six", "r")),
    "Conv, Clip of negative numbers": model(
        IMAGE, ("Conv", "real w", "c", CONV), ("Clip", "c low below", "r")
    ),
    "Conv, Clip, Relu": model(
        IMAGE, ("Conv", "real w", "c", CONV), ("Clip", "c below six", "d"), ("Relu", "d", "r")
    ),
    "halves": model((1, 8), ("Mul", "real half", "r")),
    "halves rounded twice": model(
        (1, 8), ("Mul", "real half", "p"), ("Round", "p", "q"), ("Mul", "q half", "r")
    ),
    "Floor and Ceil of halves": model(
        (1, 8), ("Mul", "real half", "p"), ("Floor", "p", "f"), ("Ceil", "p", "c"), ("Sub", "c f", "r")
    ),
    "Split, Concat in another order": model(
        (1, 2), ("Split", "real ones", "a b1", {"axis": 1}), ("Concat", "b1 a", "r", {"axis": 1})
    ),
    "Concat, Slice": model(
        (1, 8), ("Concat", "real real", "c", {"axis": 1}), ("Slice", "c three8 eleven8 every", "r")
    ),
    "Reshape, Reshape": model(IMAGE, ("Reshape", "real flat", "f"), ("Reshape", "f back", "r")),
    "Transpose past Pad, MaxPool and Concat": model(
        IMAGE,
        ("Transpose", "real", "t", {"perm": (0, 2, 3, 1)}),
        ("Relu", "t", "u"),
        ("Concat", "u t", "v", {"axis": 3}),
        ("Transpose", "v", "r", {"perm": (0, 3, 1, 2)}),
        ends=("r",),
    ),
    "Resize of a transposed image": model(
        IMAGE,
        ("Transpose", "real", "t", {"perm": (0, 1, 3, 2)}),
        ("Resize", "t - scales", "z", RESIZE),
        ("MaxPool", "z", "r", {**WINDOW, "pads": (0, 0, 0, 0)}),
    ),
    "Gather with int32 indices": model((1, 8), ("Gather", "real turned", "r", {"axis": 1})),
    "a table at int32": model(
        (1, 8),
        ("Clip", "real zero fifteen", "c"),
        ("Cast", "c", "i", cast("int32")),
        ("Gather", "table i", "r", {"axis": 0}),
    ),
    "least and greatest of one": model(
        (1, 8), ("ReduceMax", "real", "a", {"axes": (0,)}), ("ReduceMin", "a", "r", {"axes": (-1,)})
    ),
    "sums of ReduceSum and MatMul": model(
        (3, 8), ("ReduceSum", "real every", "a"), ("MatMul", "real m", "s"), ("Sub", "s a", "r")
    ),
    "a tree at its threshold": model((1, 8), ("TreeEnsembleRegressor", "real", "r", TREE)),
    "equal nodes": model(
        IMAGE,
        ("Conv", "real w", "c", CONV),
        ("Conv", "real w", "d", CONV),
        ("Add", "c d", "r"),
    ),
    "a sum and its parts": model(
        IMAGE, ("Conv", "real w", "c", CONV), ("Mul", "c channels", "d"), ends=("c", "d")
    ),
    "scaled product of a tensor with itself": model(
        (8, 8),
        ("Transpose", "real", "t", {"perm": (1, 0)}),
        ("MatMul", "real t", "s"),
        ("Mul", "s half", "r"),
    ),
    "hard sigmoid after Conv, times its input": model(
        IMAGE,
        ("Conv", "real w", "c", CONV),
        ("Clip", "c below six", "l"),
        ("HardSigmoid", "l", "h", {"alpha": 0.125, "beta": 0.5}),
        ("Mul", "l h", "r"),
    ),
}

REFUSED: Mapping[str, tuple[bytes, str]] = {
    "Conv, Mul by 0.3": (model(IMAGE, ("Conv", "real w", "c", CONV), ("Mul", "c odd", "r")), "needs|bits|24"),
    "MatMul, Mul by a third": (
        model((3, 8), ("MatMul", "real m", "s"), ("Mul", "s third", "r")),
        "needs|bits",
    ),
    "Div by a constant": (model((1, 8), ("Div", "real three", "r")), "must be computed"),
    "a third, Add of another tensor": (
        model((1, 8), ("Mul", "real third", "p"), ("Clip", "real below six", "c"), ("Add", "p c", "r")),
        "a certified value meets constants",
    ),
    "a third, a third of more dimensions": (
        model((1, 8), ("Mul", "real third", "p"), ("Mul", "p deep", "r")),
        "of no more dimensions",
    ),
    "a third, Add of a number of more dimensions": (
        model((1, 8), ("Mul", "real third", "p"), ("Add", "p deep", "r")),
        "of no more dimensions",
    ),
    "magic rounding": (
        model((1, 8), ("Mul", "real half", "p"), ("Add", "p top", "q"), ("Sub", "q top", "r")),
        "needs 2[0-9] bits",
    ),
    "float64 narrowed": (
        model(
            (1, 8),
            ("Cast", "real", "d", cast("float64")),
            ("Mul", "d wide", "p"),
            ("Cast", "p", "r", cast("float32")),
        ),
        "needs [0-9]+ bits",
    ),
    "limits the wrong way round": (model((1, 8), ("Clip", "real six below", "r")), "above the upper"),
    "a window in the padding alone": (
        model(IMAGE, ("MaxPool", "real", "r", {**WINDOW, "pads": (2, 2, 2, 2), "dilations": (9, 9)})),
        "kernel is larger|padding alone",
    ),
    "a group of none": (model(IMAGE, ("Conv", "real w", "r", {**CONV, "group": 0})), "do not make 0 groups"),
    "a table beyond its rows": (
        model((1, 8), ("Cast", "real", "i", cast("int32")), ("Gather", "table i", "r", {"axis": 0})),
        "leave a table",
    ),
    "a Resize that rounds up": (
        model(IMAGE, ("Resize", "real - scales", "r", {**RESIZE, "nearest_mode": b"round_prefer_ceil"})),
        "nearest_mode must be floor",
    ),
    "a Pad by reflection": (
        model(IMAGE, ("Pad", "real around zero", "r", {"mode": b"reflect"})),
        "constant",
    ),
    "a tree that tests for equality": (
        model(
            (1, 8),
            ("TreeEnsembleRegressor", "real", "r", {**TREE, "nodes_modes": (b"BRANCH_EQ", b"LEAF", b"LEAF")}),
        ),
        "mode",
    ),
}


def test_factors_whose_order_decides_a_rounding_are_refused() -> None:
    """(x*a)*b and x*(a*b) fall on both sides of a half for some x: engines may take either."""
    random, differing = Random(3), 0
    xs = np.arange(-128, 128).astype(np.float32)
    while differing < 20:
        first, x = np.float32(random.uniform(0.01, 3)), random.randint(1, 127)
        second = np.float32((random.randint(0, 20) + 0.5) / (x * float(first)))
        if (np.round(xs * first * second) == np.round(xs * (first * second))).all():
            continue
        differing += 1
        nodes = [
            node("Cast", "x", "real", to=TO_FLOAT),
            node("Mul", "real first", "p"),
            node("Mul", "p second", "q"),
            node("Round", "q", "r"),
            node("Cast", "r", "y", to=TO_INT32),
        ]
        ports = [Port("x", "int8", (1, 3))], [Port("y", "int32", (1, 3))]
        constants = {"first": number(float(first)), "second": number(float(second))}
        with pytest.raises(Refused, match=r"may round in two ways|bits"):
            prove(file(nodes, *ports, constants))


@pytest.mark.parametrize("name", PROVED)
def test_what_is_proved_is_computed_alike(name: str) -> None:
    proof = prove(mended(read(PROVED[name], EXACT)))
    models = [engine.load(proof.canonical) for engine in ENGINES]
    for inputs in inputs_of(proof.certificate.inputs, Random(name)):
        first, *others = [each.run(inputs) for each in models]
        assert all(other == first for other in others)
        for port, tensor in zip(proof.certificate.outputs, first, strict=True):
            assert all(port.low <= value <= port.high for value in integers(tensor))


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_engine_may_change_is_refused(name: str) -> None:
    data, why = REFUSED[name]
    with pytest.raises(Refused, match=why):
        prove(mended(read(data, EXACT)))
