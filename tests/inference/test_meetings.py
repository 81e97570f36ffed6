"""What is proved where cells lie along the dimensions that meet, and where weights meet them."""

from typing import Any

import pytest

from inference.bounds import Bounds, Cell
from inference.graph import Node, Port
from inference.schema import ELEMENT_CODES
from inference.tensor import from_integers
from tests.inference.build import file, floats, node
from tests.inference.proved import (
    EITHER,
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

IN_ROWS = ("Transpose", "x", {"perm": (0, 2, 1, 3)})
"""The two channels of the image as rows."""
IN_COLUMNS = ("Transpose", "x", {"perm": (0, 2, 3, 1)})
MIXED: tuple[str, str, dict[str, Any]] = ("Reshape", "x sizes", {})
"""Four rows of two, each from both channels."""


@pytest.mark.parametrize(
    ("first", "second", "operator", "attributes", "shape", "expected"),
    [
        (
            MIXED,
            IN_ROWS,
            "MatMul",
            {},
            (1, 4, 4, 4),
            [Cell(-2, -2 * 32512 - 32512, 2 * 32768 + 32768)],
        ),
        (
            IN_ROWS,
            IN_COLUMNS,
            "MatMul",
            {},
            (1, 4, 2, 2),
            along(3, Cell(-1, -4 * 32512, 4 * 32768), Cell(-2, -4 * 32512, 4 * 32768)),
        ),
        (IN_ROWS, None, "MaxPool", SLIDING, (1, 4, 1, 3), EITHER),
        (IN_ROWS, None, "Resize - factors", RESIZE, (1, 4, 4, 4), EITHER),
    ],
)
def test_cells_along_the_dimensions_that_meet(
    first: tuple[str, str, dict[str, Any]],
    second: tuple[str, str, dict[str, Any]] | None,
    operator: str,
    attributes: dict[str, Any],
    shape: tuple[int, ...],
    expected: Bounds | list[Cell],
) -> None:
    nodes = [node("Cast", "int8", "same", to=ELEMENT_CODES["float32"]), node("Mul", "same scales", "x")]
    names = []
    for at, (kind, inputs, how) in enumerate(each for each in (first, second) if each):
        nodes.append(node(kind, inputs, f"operand{at}", **how))
        names.append(f"operand{at}")
    kind, *rest = operator.split()
    nodes.append(node(kind, " ".join([*names, *rest]), "found", **attributes))
    nodes += [node("Round", "found", "whole"), node("Cast", "whole", "y", to=ELEMENT_CODES["int64"])]
    constants = {
        "scales": floats((2, 1, 1), [1, 0.5]),
        "sizes": ints(1, 4, 4, 2),
        "factors": floats((4,), [1, 1, 2, 1]),
    }
    used = {name: value for name, value in constants.items() if any(name in each.inputs for each in nodes)}
    data = file(nodes, [Port("int8", "int8", IMAGE)], [Port("y", "int64", shape)], used)
    assert known(data)["found"] == (expected if isinstance(expected, Bounds) else Bounds(tuple(expected)))


@pytest.mark.parametrize("transposed", [0, 1])
def test_each_output_of_a_gemm_has_weights_and_a_bias_of_its_own(transposed: int) -> None:
    weights = floats((2, 3), [1, 2, 3, 10, 0, -10]) if transposed else floats((3, 2), [1, 10, 2, 0, 3, -10])
    nodes = [
        node("Cast", "x", "r", to=ELEMENT_CODES["float32"]),
        node("Gemm", "r w b", "s", transB=transposed),
        node("Cast", "s", "y", to=ELEMENT_CODES["int32"]),
    ]
    constants = {"w": weights, "b": floats((2,), [1000, -7])}
    data = file(nodes, [Port("x", "int8", (1, 3))], [Port("y", "int32", (1, 2))], constants)
    assert known(data)["s"] == along(1, Cell(0, -768, 762 + 1000), Cell(0, -2550 - 7, 2550))


def test_weights_on_the_left_of_every_matrix_of_a_batch_count() -> None:
    nodes = [
        node("Cast", "x", "r", to=ELEMENT_CODES["float32"]),
        node("MatMul", "w r", "s"),
        node("Cast", "s", "y", to=ELEMENT_CODES["int32"]),
    ]
    weights = floats((2, 2, 3), [1, 0, 0, 0, 1, 0, 0, 5, 0, 0, 0, 9])
    data = file(nodes, [Port("x", "int8", (3, 1))], [Port("y", "int32", (2, 2, 1))], {"w": weights})
    assert known(data)["s"] == along(1, Cell(0, -640, 635), Cell(0, -1152, 1143))


def test_a_spread_window_is_bounded_though_the_output_is_not_long() -> None:
    nodes = [
        node("Cast", "x", "r", to=ELEMENT_CODES["float32"]),
        node("ConvTranspose", "r w", "s", **SPREAD),
        node("Cast", "s", "y", to=ELEMENT_CODES["int32"]),
    ]
    ports = [Port("x", "int8", (1, 1, 8192, 4096))], [Port("y", "int32", (1, 1, 8193, 4097))]
    assert "the spread windows have more than" in reason(file(nodes, *ports, {"w": ones(1, 1, 2, 2)}))


def test_the_best_of_a_dimension_may_come_from_any_of_its_cells() -> None:
    nodes = [
        node("Cast", "x", "r", to=ELEMENT_CODES["float32"]),
        node("Mul", "r scales", "m"),
        node("Cast", "m", "scores", to=ELEMENT_CODES["int32"]),
        Node(-1, "TopK", ("scores", "count"), ("best", "at"), {}),
    ]
    ports = [Port("scores", "int32", (1, 3)), Port("best", "int32", (1, 2)), Port("at", "int64", (1, 2))]
    constants = {"scales": floats((3,), [1, 2, 3]), "count": ints(2)}
    found = known(file(nodes, [Port("x", "int8", (1, 3))], ports, constants))
    assert (found["best"], found["at"]) == (Bounds((Cell(0, -384, 381),)), Bounds((Cell(0, 0, 2),)))


def test_parts_of_very_many_elements_have_one_cell_together() -> None:
    nodes = [node("Clip", "x low high", "c"), node("Concat", "c x", "y", axis=1)]
    limits = {"low": from_integers("int8", (), [-9]), "high": from_integers("int8", (), [9])}
    ports = [Port("x", "int8", (1, 40_000))], [Port("y", "int8", (1, 80_000))]
    assert known(file(nodes, *ports, limits))["y"] == Bounds((Cell(0, -128, 127),))


def test_a_resized_dimension_is_one_that_float32_counts() -> None:
    def resized(size: int) -> bytes:
        shape = (1, 1, size)
        nodes = [node("Resize", "x - factors", "y", **RESIZE)]
        return file(nodes, [Port("x", "int8", shape)], [Port("y", "int8", shape)], {"factors": ones(3)})

    assert known(resized(65_536))["y"] == Bounds((WHOLE,))
    assert "a resized dimension is longer than 65536" in reason(resized(65_537))


def test_a_kernel_slides_over_two_dimensions_at_most() -> None:
    nodes = [
        node("Cast", "x", "r", to=ELEMENT_CODES["float32"]),
        node("MaxPool", "r", "s", kernel_shape=(1,) * 3, strides=(1,) * 3, dilations=(1,) * 3, pads=(0,) * 6),
        node("Cast", "s", "y", to=ELEMENT_CODES["int32"]),
    ]
    ports = [Port("x", "int8", (1, 2, 2, 2, 2))], [Port("y", "int32", (1, 2, 2, 2, 2))]
    assert "must have 3 or 4 dimensions, not 5" in reason(file(nodes, *ports))
