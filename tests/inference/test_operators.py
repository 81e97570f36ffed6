"""The linear and moving operators one by one: what is proved of their results, each reason for a refusal."""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.bounds import Bounds, Cell
from inference.graph import Node, Port
from inference.operators.weights import FINEST, products, terms
from inference.prover import prove
from inference.schema import ELEMENT_CODES
from inference.tensor import Tensor, from_integers
from tests.inference.build import file, floats
from tests.inference.proved import (
    BOTH,
    CONV,
    EITHER,
    HALVES,
    IMAGE,
    RESIZE,
    SLIDING,
    SPREAD,
    WHOLE,
    along,
    ints,
    known,
    ones,
    reason,
)

HUGE = 2**40


def applied(
    operator: str,
    shapes: Sequence[tuple[int, ...]],
    *inputs: Tensor | str,
    kind: str = "float32",
    **attributes: Any,
) -> bytes:
    """The operator on constants and on "x", an image; `shapes` are those of its outputs."""
    nodes = [Node(0, "Cast", ("int8",), ("same",), {"to": ELEMENT_CODES["float32"]})]
    nodes.append(Node(1, "Mul", ("same", "scales"), ("scaled",), {}))
    nodes.append(Node(2, "Identity" if kind == "float32" else "Round", ("scaled",), ("real",), {}))
    nodes.append(Node(3, "Cast", ("real",), ("x",), {"to": ELEMENT_CODES[kind]}))
    names = [each if isinstance(each, str) else f"c{at}" for at, each in enumerate(inputs)]
    outputs = tuple(f"y{at}" for at in range(len(shapes)))
    nodes.append(Node(4, operator, tuple(names), outputs, attributes))
    constants = {f"c{at}": each for at, each in enumerate(inputs) if isinstance(each, Tensor)}
    constants["scales"] = floats((2, 1, 1), [1, 0.5])
    ports = []
    for name, shape in zip(outputs, shapes, strict=True):
        nodes.append(Node(len(nodes), "Cast", (name,), (f"f{name}",), {"to": ELEMENT_CODES["float64"]}))
        nodes.append(Node(len(nodes), "Round", (f"f{name}",), (f"r{name}",), {}))
        nodes.append(Node(len(nodes), "Cast", (f"r{name}",), (f"i{name}",), {"to": ELEMENT_CODES["int64"]}))
        ports.append(Port(f"i{name}", "int64", shape))
    if "x" not in names:
        nodes.append(Node(len(nodes), "Round", ("x",), ("rest",), {}))
        nodes.append(Node(len(nodes), "Cast", ("rest",), ("irest",), {"to": ELEMENT_CODES["int64"]}))
        ports.append(Port("irest", "int64", IMAGE))
    return file(nodes, [Port("int8", "int8", IMAGE)], ports, constants)


def bounds(operator: str, shape: tuple[int, ...], *inputs: Tensor | str, **attributes: Any) -> Bounds:
    """What is proved of the operator's only output, of a shape."""
    return known(applied(operator, [shape], *inputs, **attributes))["y0"]


@pytest.mark.parametrize(
    ("operator", "shape", "inputs", "attributes", "expected"),
    [
        (
            "Conv",
            (1, 1, 3, 3),
            [floats((1, 2, 2, 2), [1, -1, 0, 0, 0, 0, 0, 2])],
            CONV,
            [Cell(0, -128 - 127 - 128, 127 + 128 + 127)],
        ),
        (
            "Conv",
            (1, 4, 3, 3),
            [ones(4, 1, 2, 2), floats((4,), [0, 7, -9, 0.25])],
            CONV | {"group": 2},
            along(1, Cell(0, -512, 508), Cell(0, -512, 515), Cell(-1, -512 - 18, 508), Cell(-2, -1024, 1017)),
        ),
        (
            "ConvTranspose",
            (1, 1, 5, 5),
            [floats((2, 1, 2, 2), [1, -1, 0, 0, 0, 0, 0, 2])],
            SPREAD,
            [Cell(0, -128 - 127 - 128, 127 + 128 + 127)],
        ),
        (
            "ConvTranspose",
            (1, 2, 5, 5),
            [ones(2, 1, 2, 2), floats((2,), [7, -1])],
            SPREAD | {"group": 2},
            along(1, Cell(0, -512, 515), Cell(-1, -514, 508)),
        ),
        ("MaxPool", (1, 2, 3, 3), [], SLIDING, BOTH),
        ("ReduceSum", (1, 2, 1, 1), [ints(2, -1)], {}, along(1, Cell(0, -2048, 2032), Cell(-1, -2048, 2032))),
        ("ReduceSum", (4, 4), [ints(0, 1)], {"keepdims": 0}, [Cell(-1, -384, 381)]),
        ("ReduceSumSquare", (1, 2, 1, 1), [], {"axes": (2, -1)}, [Cell(-2, 0, 16 * 256**2)]),
        ("ReduceSum", (1, 1, 1, 4), [ints(1, 2)], {}, [Cell(-1, -4 * 384, 4 * 381)]),
        ("ReduceMax", (2, 4), [], {"axes": (0, 2), "keepdims": 0}, along(0, WHOLE, HALVES)),
        ("ReduceMin", (1, 1, 4, 4), [], {"axes": (1,)}, EITHER),
        (
            "Pad",
            (1, 4, 4, 4),
            [ints(0, 1, 0, 0, 0, 1, 0, 0), floats((), [3])],
            {},
            along(1, Cell(0, 3, 3), WHOLE, HALVES, Cell(0, 3, 3)),
        ),
        (
            "Pad",
            (1, 4, 4, 4),
            [ints(0, 2, 0, 0, 0, 0, 0, 0), floats((), [3])],
            {},
            along(1, Cell(0, 3, 3), Cell(0, 3, 3), WHOLE, HALVES),
        ),
        (
            "Pad",
            (1, 2, 4, 5),
            [ints(0, 0, 0, 0, 0, 0, 0, 1), floats((), [0.25])],
            {},
            along(1, Cell(-2, -512, 508), Cell(-2, -256, 254)),
        ),
        (
            "Concat",
            (1, 3, 4, 4),
            [floats((1, 1, 4, 4), [5] * 16)],
            {"axis": 1},
            along(1, WHOLE, HALVES, Cell(0, 5, 5)),
        ),
        (
            "Concat",
            (1, 2, 5, 4),
            [floats((1, 2, 1, 4), [200] * 8)],
            {"axis": -2},
            along(1, Cell(0, -128, 200), Cell(-1, -128, 400)),
        ),
        ("Slice", (1, 1, 4, 4), [ints(1), ints(9), ints(1)], {}, [HALVES]),
        ("Slice", (1, 2, 4, 2), [ints(-4), ints(2**62), ints(-1), ints(2)], {}, BOTH),
        ("Transpose", (4, 2, 1, 4), [], {"perm": (2, 1, 0, 3)}, BOTH),
        ("Transpose", (2, 4, 4, 1), [], {"perm": (1, 2, 3, 0)}, along(0, WHOLE, HALVES)),
        ("Squeeze", (2, 4, 4), [ints(0)], {}, along(0, WHOLE, HALVES)),
        ("Unsqueeze", (1, 1, 2, 4, 4, 1), [ints(0, -1)], {}, along(2, WHOLE, HALVES)),
        ("Reshape", (2, 16), [ints(2, -1)], {}, along(0, WHOLE, HALVES)),
        ("Reshape", (4, 8), [ints(4, 8)], {}, EITHER),
        ("Reshape", (4, 2, 4), [ints(4, 2, 4)], {}, EITHER),
        ("Reshape", (1, 1, 2, 16), [ints(1, 1, 2, 16)], {}, along(2, WHOLE, HALVES)),
        ("Expand", (3, 1, 2, 4, 4), [ints(3, 1, 1, 1, 1)], {}, along(2, WHOLE, HALVES)),
        ("Gather", (1, 3, 4, 4), [ints(1, 0, -1)], {"axis": 1}, along(1, HALVES, WHOLE, HALVES)),
        ("Gather", (1, 2, 2, 4, 4), [from_integers("int64", (2, 2), [0, 1, 1, 0])], {"axis": 1}, EITHER),
        ("Gather", (1, 2, 4), [from_integers("int64", (), [-4])], {"axis": 2}, BOTH),
        (
            "Gather",
            (2, 1, 2, 4, 4),
            [from_integers("int64", (2, 1), [0, 0])],
            {},
            along(3 - 1, WHOLE, HALVES),
        ),
        ("Resize", (1, 2, 8, 12), ["", floats((4,), [1, 1, 2, 3])], RESIZE, BOTH),
        (
            "MatMul",
            (1, 2, 4, 1),
            [floats((4, 1), [1, 2, 3, -4])],
            {},
            [Cell(-1, -2 * 128 * 6 - 8 * 127, 2 * 127 * 6 + 8 * 128)],
        ),
        ("MatMul", (1, 2, 4, 4), ["x"], {}, along(1, Cell(0, -65024, 65536), Cell(-2, -65024, 65536))),
        (
            "Add",
            (1, 2, 4, 4),
            [floats((2, 1, 1), [1, 0.25])],
            {},
            along(1, Cell(0, -128, 128), Cell(-2, -256, 255)),
        ),
        (
            "Add",
            (1, 2, 4, 4),
            [floats((1, 2, 1, 4), [1, 2, 3, 4, 0, 0, 0, 0.5])],
            {},
            along(1, Cell(0, -128, 131), Cell(-1, -128, 128)),
        ),
        (
            "Add",
            (3, 1, 2, 4, 4),
            [floats((3, 1, 1, 1, 1), [1, 2, 3])],
            {},
            along(2, Cell(0, -128, 130), Cell(-1, -128, 133)),
        ),
        (
            "Add",
            (1, 2, 4, 4),
            [floats((4,), [1, 2, 3, 4])],
            {},
            along(1, Cell(0, -128, 131), Cell(-1, -128, 135)),
        ),
        (
            "Sub",
            (1, 2, 4, 4),
            [floats((2, 1, 1), [1, 0.25])],
            {},
            along(1, Cell(0, -129, 127), Cell(-2, -257, 254)),
        ),
        ("Mul", (1, 2, 4, 4), ["x"], {}, along(1, Cell(0, 0, 16384), Cell(-2, 0, 16384))),
        (
            "MatMul",
            (2, 2, 4, 1),
            [floats((2, 1, 4, 1), [1] * 4 + [10] * 4)],
            {},
            [Cell(-1, -10 * 4 * 256, 10 * 4 * 254)],
        ),
        ("Max", (1, 2, 4, 4), [floats((), [0.5])], {}, along(1, Cell(-1, 1, 254), Cell(-1, 1, 127))),
        ("Min", (1, 2, 4, 4), [floats((), [0.5])], {}, along(1, Cell(-1, -256, 1), Cell(-1, -128, 1))),
    ],
)
def test_bounds(
    operator: str,
    shape: tuple[int, ...],
    inputs: list[Tensor | str],
    attributes: dict[str, Any],
    expected: Bounds | list[Cell],
) -> None:
    found = bounds(operator, shape, "x", *inputs, **attributes)
    assert found == (expected if isinstance(expected, Bounds) else Bounds(tuple(expected)))


@pytest.mark.parametrize("inputs", [("tall", "x"), ("x", "tall")])
def test_of_two_inputs_with_cells_along_other_dimensions_the_heavier_keeps_its_own(
    inputs: tuple[str, str],
) -> None:
    """Channels of very different size fit one by one, and not together."""
    nodes = [
        Node(0, "Cast", ("int8",), ("same",), {"to": ELEMENT_CODES["float32"]}),
        Node(1, "Mul", ("same", "scales"), ("x",), {}),
        Node(2, "Mul", ("same", "rows"), ("tall",), {}),
        Node(3, "Add", inputs, ("sum",), {}),
        Node(4, "Clip", ("sum", "low", "high"), ("small",), {}),
        Node(5, "Round", ("small",), ("round",), {}),
        Node(6, "Cast", ("round",), ("y",), {"to": ELEMENT_CODES["int32"]}),
    ]
    constants = {
        "scales": floats((2, 1, 1), [2**-8, 2**12]),
        "rows": floats((4, 1), [1, 2, 1, 1]),
        "low": floats((), [-99]),
        "high": floats((), [99]),
    }
    shape = (1, 2, 4, 4)
    data = file(nodes, [Port("int8", "int8", shape)], [Port("y", "int32", shape)], constants)
    tall = Cell(0, -256, 254)
    assert known(data)["sum"] == along(
        1,
        Cell(-8, -128 - 256 * 256, 127 + 254 * 256),
        Cell(0, tall.low - (128 << 12), tall.high + (127 << 12)),
    )


def test_a_split_gives_each_part_its_cells() -> None:
    data = applied("Split", [(1, 1, 4, 4), (1, 1, 4, 4)], "x", ints(1, 1), axis=1)
    proof = prove(data)
    assert [known(data)[name] for name in ("y0", "y1")] == [Bounds((WHOLE,)), Bounds((HALVES,))]
    assert proof.certificate.elements == 32 * (1 + 3) + 4 * 2 * 16
    assert proof.certificate.peak_bytes == 8 + 16 + 3 * 16 * 8


def test_ranks_are_no_substitute_for_the_scores() -> None:
    data = applied("TopK", [(1, 2, 4, 3), (1, 2, 4, 3)], "x", ints(3), kind="int32")
    assert "the scores must be an output as well" in reason(data)


INFINITE = floats((1, 2, 2, 2), [1, 2, 3, 4, 5, 6, 7, float("inf")])


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "why"),
    [
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"group": 0}, "2 channels do not make 0 groups"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"group": -1}, "2 channels do not make -1 groups"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"group": 3}, "2 channels do not make 3 groups"),
        ("Conv", [ones(3, 1, 2, 2)], CONV | {"group": 2}, "in 2 groups do not meet"),
        ("Conv", [ones(1, 1, 2, 2)], CONV, "in 1 groups do not meet"),
        ("Conv", [ones(1, 2, 2, 2)], SLIDING, "the attribute 'group' is missing"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"auto_pad": b"SAME_UPPER"}, "'auto_pad' is not allowed"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"strides": (0, 1)}, "must be from 1 to 65536"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"strides": (1, 2**31)}, "must be from 1 to 65536"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"dilations": (1, -1)}, "must be from 1 to 65536"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"kernel_shape": (2,)}, "need 2 entries"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"kernel_shape": (1, 2)}, "do not have the kernel's shape"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"strides": ()}, "'strides' is missing"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"strides": (1.0, 1.0)}, "'strides' has the wrong type"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"pads": (0, 0)}, "pads 4"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"pads": (-1, 0, 0, 0)}, "pads must be 0 or more"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"pads": (0, 0, 2, 0)}, "less than the kernel reaches"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"pads": (HUGE, 0, 0, 0)}, "less than the kernel reaches"),
        ("Conv", [ones(1, 2, 2, 2)], CONV | {"dilations": (4, 1)}, "larger than dimension 2"),
        ("Conv", [ones(1, 2, 2, 2), ones(1, 1)], CONV, "the bias is [1, 1], not [1]"),
        ("Conv", [ones(1, 2, 2, 2), ones(2)], CONV, "the bias is [2], not [1]"),
        ("Conv", [ones(1, 2, 2)], CONV, "do not have the kernel's shape"),
        ("Conv", ["x"], CONV, "input 1 must be a constant"),
        ("Conv", [INFINITE], CONV, "infinite or not a number"),
        ("Conv", [floats((1, 2, 2, 2), [2.0**17] * 8)], CONV, "its step 2^16 is outside"),
        ("Conv", [floats((1, 2, 2, 2), [2.0**-60] * 8)], CONV, "no multiple of 2^-51"),
        ("ConvTranspose", [ones(2, 1, 2, 2)], SPREAD | {"group": 0}, "do not make 0 groups"),
        ("ConvTranspose", [ones(4, 1, 2, 2)], SPREAD, "do not meet"),
        ("ConvTranspose", [ones(2, 1, 2, 2)], SPREAD | {"output_padding": (1, 0)}, "less than the stride"),
        ("ConvTranspose", [ones(2, 1, 2, 2)], SPREAD | {"output_padding": (0,)}, "needs 2 entries"),
        ("ConvTranspose", [ones(2, 1, 2, 2)], SPREAD | {"output_shape": (9, 9)}, "is not allowed"),
        ("ConvTranspose", [ones(2, 1, 2, 2)], SPREAD | {"strides": (1, 65536), "pads": (1, 1, 1, 1)}, ""),
        (
            "ConvTranspose",
            [ones(2, 1, 2, 2)],
            SPREAD | {"strides": (65536,) * 2},
            "more than 67108864 elements",
        ),
        (
            "ConvTranspose",
            [ones(2, 1, 1, 1)],
            SPREAD | {"kernel_shape": (1, 1), "pads": (1, 0, 0, 0)},
            "pads",
        ),
        ("MaxPool", [], SLIDING | {"ceil_mode": 1}, "ceil_mode and storage_order must be 0"),
        ("MaxPool", [], SLIDING | {"pads": (0, 2, 0, 0), "dilations": (1, 2)}, "in the padding alone"),
        ("MaxPool", [], SLIDING | {"pads": (1, 1, 1, 1), "dilations": (5, 5)}, "in the padding alone"),
        ("MaxPool", [], SLIDING | {"auto_pad": b"VALID"}, "'auto_pad' is not allowed"),
        ("AveragePool", [], SLIDING, "the operator AveragePool is not allowed"),
        ("GlobalAveragePool", [], {}, "is not allowed"),
        ("ReduceMean", [], {"axes": (1,)}, "is not allowed"),
        ("ReduceSum", [ints(4)], {}, "4 is no dimension"),
        ("ReduceSum", [ints(1, -3)], {}, "named twice"),
        ("ReduceSum", [ints(1)], {"keepdims": 2}, "keepdims must be 0 or 1"),
        ("ReduceSumSquare", [], {"axes": (4,)}, "4 is no dimension"),
        ("ReduceSumSquare", [], {"axes": (1,), "keepdims": 2}, "keepdims must be 0 or 1"),
        ("ReduceSum", [ints(1)], {"noop_with_empty_axes": 1}, "must be 0"),
        ("ReduceSum", [], {"axes": (1,)}, "1 inputs are not allowed"),
        ("ReduceMax", [], {}, "the attribute 'axes' is missing"),
        ("ReduceMax", [], {"axes": ()}, "'axes' is missing"),
        ("ReduceMax", [], {"axes": (HUGE,)}, "is no dimension"),
        ("ReduceMax", [ints(1)], {}, "2 inputs are not allowed"),
        ("Pad", [ints(0, HUGE, 0, 0, 0, 0, 0, 0), floats((), [0])], {}, "pads must be"),
        ("Pad", [ints(0, 0, 0, 2**26, 0, 0, 0, 0), floats((), [0])], {}, "more than 67108864 elements"),
        ("Pad", [ints(0, 0, 0, -1, 0, 0, 0, 0), floats((), [0])], {}, "8 numbers of 0 or more"),
        ("Pad", [ints(0, 0), floats((), [0])], {}, "8 numbers of 0 or more"),
        ("Pad", [ints(*[0] * 8), floats((), [0])], {"mode": b"reflect"}, "the mode must be constant"),
        ("Pad", [ints(*[1] * 8), floats((), [float("-inf")])], {}, "infinite"),
        ("Pad", [ints(*[1] * 8), floats((), [2.0**-30])], {}, "needs 38 bits"),
        ("Pad", [ints(*[0] * 8)], {}, "2 inputs are not allowed"),
        ("Concat", [ones(1, 2, 4, 3)], {"axis": 1}, "cannot follow"),
        (
            "Concat",
            [Tensor(dtype="float64", shape=IMAGE, data=bytes(8 * prod(IMAGE)))],
            {"axis": 1},
            "cannot follow",
        ),
        ("Concat", ["x", "x"], {"axis": 4}, "no dimension"),
        ("Concat", ["", "x"], {"axis": 1}, "every input must be there"),
        ("Slice", [ints(0), ints(4)], {}, "3 inputs are not allowed"),
        ("Slice", [ints(0), ints(4), ints(1, 2)], {}, "differ in length"),
        ("Slice", [ints(0), ints(4), ints(1), ints(0)], {}, "steps must be 1 or more"),
        ("Slice", [ints(0), ints(-9), ints(1), ints(-1)], {}, "steps must be 1 or more"),
        ("Slice", [ints(2), ints(2), ints(1)], {}, "nothing is left of dimension 1"),
        ("Slice", [ints(0, 0), ints(1, 1), ints(1, -3)], {}, "named twice"),
        ("Slice", ["x", ints(4), ints(1)], {}, "input 1 must be a constant"),
        ("Split", [ints(1, 2)], {"axis": 1}, "do not make up dimension 1"),
        ("Split", [ints(1)], {"axis": 1}, "do not make up dimension 1"),
        ("Split", [ints(2, 0)], {"axis": 1}, "do not make up dimension 1"),
        ("Split", [ints(2)], {"num_outputs": 1}, "'num_outputs' is not allowed"),
        ("Split", [ints(1, 1)], {"axis": 1}, "1 outputs are named, and it has 2"),
        ("Transpose", [], {"perm": (0, 1, 2)}, "does not order 4 dimensions"),
        ("Transpose", [], {"perm": (0, 1, 2, 2)}, "does not order 4 dimensions"),
        ("Transpose", [], {}, "'perm' is missing"),
        ("Squeeze", [ints(1)], {}, "are not all 1"),
        ("Squeeze", [], {}, "1 inputs are not allowed"),
        ("Unsqueeze", [ints(0, 0)], {}, "named twice"),
        ("Unsqueeze", [ints(0, 1, 2, 3, 4)], {}, "more than 8 dimensions"),
        ("Reshape", [ints(-2, -16)], {}, "cannot take the shape"),
        ("Expand", [ints(HUGE, 1, 1, 1)], {}, "more than 67108864 elements"),
        ("Expand", [ints(2**21 + 1, 1, 1, 1)], {}, "more than 67108864 elements"),
        ("Expand", [ints(0, 1, 1, 1)], {}, "no elements"),
        ("Expand", [ints(-1, 1, 1, 1)], {}, "no elements"),
        ("Expand", [ints(3)], {}, "do not meet"),
        ("Expand", [ints(*[1] * 9)], {}, "a list of 1 to 8 integers"),
        ("Gather", [ints(4)], {"axis": 2}, "outside dimension 2, which has 4"),
        ("Gather", [ints(-5)], {"axis": 2}, "outside dimension 2, which has 4"),
        ("Gather", [ints(0)], {"axis": 9}, "no dimension"),
        ("Gather", [floats((1,), [0])], {}, "input 1 is float32, not int64 or int32"),
        ("Resize", ["", floats((4,), [1, 1, 2, 2])], RESIZE | {"mode": b"linear"}, "mode must be nearest"),
        ("Resize", ["", floats((4,), [1, 1, 2, 2])], RESIZE | {"nearest_mode": b"ceil"}, "must be floor"),
        ("Resize", ["", floats((4,), [1, 1, 2, 1.5])], RESIZE, "whole numbers from 1 to 64"),
        ("Resize", ["", floats((4,), [1, 1, 0.5, 1])], RESIZE, "whole numbers from 1 to 64"),
        ("Resize", ["", floats((4,), [1, 2, 1, 1])], RESIZE, "factors must be 1, 1"),
        ("Resize", ["", floats((4,), [1, 1, 2.0**30, 1])], RESIZE, "whole numbers from 1 to 64"),
        ("Resize", ["", floats((4,), [1, 1, 65, 1])], RESIZE, "whole numbers from 1 to 64"),
        ("Resize", ["", floats((4,), [1, 1, 49, 1])], RESIZE, "engines differ in its floor"),
        ("Resize", [floats((8,), [0] * 8), floats((4,), [1] * 4)], RESIZE, "takes no region"),
        ("Resize", ["", "", ints(1, 2, 8, 8)], RESIZE, "4 inputs are not allowed"),
        ("MatMul", [ones(3, 1)], {}, "3 weights meet 4 elements"),
        ("MatMul", [ones(3, 4, 1)], {}, "do not meet"),
        ("MatMul", [ones(4)], {}, "the weights must be matrices"),
        ("Clip", [floats((1,), [0]), floats((), [1])], {}, "must be a single number of rank 0"),
        ("Add", [Tensor(dtype="float64", shape=(), data=bytes(8))], {}, "float32 meets float64"),
        ("Max", [], {}, "1 inputs are not allowed"),
        ("Add", [ones(3, 1, 1)], {}, "do not meet"),
        ("Mul", [""], {}, "both inputs must be there"),
        ("Equal", ["x"], {}, "is not allowed"),
        ("Where", ["x", "x"], {}, "is not allowed"),
        ("Tile", [ints(HUGE, 1, 1, 1)], {}, "is not allowed"),
    ],
)
def test_refusals(operator: str, inputs: list[Tensor | str], attributes: dict[str, Any], why: str) -> None:
    assert why in reason(applied(operator, [IMAGE], "x", *inputs, **attributes))


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "why"),
    [
        ("TopK", ["x", ints(5)], {}, "there are no 5 among 4"),
        ("TopK", ["x", ints(0)], {}, "there are no 0 among 4"),
        ("TopK", ["x", ints(HUGE)], {}, "there are no 1099511627776 among 4"),
        ("TopK", ["x", ints(1, 2)], {}, "a list of 1 to 1 integers"),
        ("TopK", ["x", ints(1)], {"sorted": 0}, "sorted must be 1"),
        ("ArgMax", ["x"], {"select_last_index": 1}, "select_last_index must be 0"),
        ("ArgMax", ["x"], {"keepdims": 2}, "keepdims 0 or 1"),
        ("Gather", [ones(127), "x"], {}, "leave a table of 127 rows"),
        ("Gather", [ones(128, 2), "x"], {"axis": 1}, "along its dimension 0"),
        ("Gather", [ones(128), ones(1)], {}, "all inputs are constants"),
        ("GatherElements", [ones(128), "x"], {}, "the indices have one dimension"),
        ("GatherElements", [ones(128, 2), "x"], {}, "the table has one dimension"),
        ("Conv", ["x", ones(1, 2, 2, 2)], CONV, "input 0 is int32, not float32"),
        ("Add", ["x", from_integers("int32", (), [1])], {}, "not float32 or float64"),
    ],
)
def test_refusals_of_integers(
    operator: str, inputs: list[Tensor | str], attributes: dict[str, Any], why: str
) -> None:
    shapes = [IMAGE, IMAGE] if operator == "TopK" else [IMAGE]
    assert why in reason(applied(operator, shapes, *inputs, kind="int32", **attributes))


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    low = draw(st.integers(-6, 6))
    return Cell(draw(st.integers(-3, 3)), low, low + draw(st.integers(0, 5)))


weight = st.builds(lambda mantissa, step: mantissa << step, st.integers(-5, 5), st.integers(0, 4))


@given(st.lists(st.tuples(cells(), weight), min_size=1, max_size=4), weight, st.booleans())
def test_every_subset_of_products_is_in_the_hull(
    pairs: list[tuple[Cell, int]], bias: int, alike: bool
) -> None:
    """Whatever part of a sum an engine holds at any time; the hull is no wider than the worst of them."""
    if alike:
        pairs = [(pairs[0][0], each) for _, each in pairs]
    weights = [each << -FINEST for _, each in pairs]
    hull = products(weights, terms([cell for cell, _ in pairs], 1), [bias << -FINEST])
    corners = [
        [0.0] + [each * limit * 2.0**cell.step for limit in (cell.hull().low, cell.hull().high)]
        for cell, each in pairs
        if each
    ]
    sums = [sum(chosen) for chosen in product([0.0, float(bias)], *corners)]
    counts = [each / 2.0**hull.step for each in sums]
    assert all(count.is_integer() for count in counts)
    assert (min(counts), max(counts)) == (hull.low, hull.high)


def test_a_sum_that_fits_only_in_one_order_is_refused() -> None:
    """The sum never leaves what is exact, but two of its products do."""
    weights = floats((1, 2, 1, 1), [2.0**16 + 1, -(2.0**16) - 1])
    assert "needs 25 bits" in reason(
        applied("Conv", [IMAGE], "x", weights, **(CONV | {"kernel_shape": (1, 1)}))
    )


def test_weights_cannot_be_read_over_and_over() -> None:
    """A file of 30 KB may not be read 5,000 times."""
    count = 1_000
    nodes = [Node(0, "Cast", ("x",), ("t0",), {"to": ELEMENT_CODES["float32"]})]
    nodes += [Node(at + 1, "MatMul", (f"t{at}", "w"), (f"t{at + 1}",), {}) for at in range(count)]
    nodes.append(Node(count + 1, "Cast", (f"t{count}",), ("y",), {"to": ELEMENT_CODES["int64"]}))
    ports = [Port("x", "int8", (1, 64))], [Port("y", "int64", (1, 64))]
    zeros = floats((64, 64), [0] * 64 * 64)
    assert "too many for so short a file" in reason(file(nodes, *ports, {"w": zeros}))
