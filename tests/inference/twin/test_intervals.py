"""What the twin's proof takes for granted of a tensor: never less than the tensor can be."""

import pytest

from inference.graph import Graph, Node, Port
from inference.tensor import Tensor
from inference.twin.intervals import Interval, intervals, zero_point
from tests.inference.build import floats

X = Port("x", "uint8", (1, 3))
Y = Port("y", "int32", (1, 3))
CONSTANTS = {"low": floats((), (-3.5,)), "high": floats((), (250.0,)), "below": floats((), (-300.0,))}


def after(*operators: str, constants: dict[str, Tensor] = CONSTANTS) -> Interval | None:
    """What is known of the last result; a Clip takes its limits by name, as `Clip low high`."""
    nodes, at = [], "x"
    for position, operator in enumerate(operators):
        kind, *names = operator.split()
        result = f"t{position}"
        nodes.append(Node(position, kind, (at, *names), (result,), {"to": 1} if kind == "Cast" else {}))
        at = result
    return intervals(Graph((X,), (Y,), tuple(nodes), constants, {})).get(at)


def test_a_limit_bounds_what_is_not_understood_and_makes_nothing_whole() -> None:
    assert after("Sqrt") is None
    assert after("Sqrt", "Clip low high") == Interval(-3.5, 250.0, whole=False)
    assert after("Sqrt", "Clip low high", "Round") == Interval(-4, 250, whole=True)


def test_joined_parts_reach_as_far_as_each() -> None:
    assert after("Cast", "Clip below high", "Concat x") == Interval(0, 255, whole=True)
    assert after("Cast", "Sqrt", "Concat x") is None


def test_half_a_limit_bounds_nothing() -> None:
    assert after("Sqrt", "Relu") is None
    assert after("Sqrt", "Clip low top", constants=CONSTANTS | {"top": floats((), (float("inf"),))}) is None


def test_a_limit_keeps_integers_only_where_it_is_one() -> None:
    assert after("Cast") == Interval(0, 255, whole=True)
    assert after("Cast", "Clip below high") == Interval(0, 250, whole=True)
    clipped = after("Cast", "Clip low high")
    assert clipped is not None
    assert not clipped.whole


@pytest.mark.parametrize(
    ("interval", "zero"),
    [
        (Interval(0, 255, True), 0),
        (Interval(-128, 127, True), 128),
        (Interval(-4, 251, True), 4),
        (Interval(-4, 252, True), None),
        (Interval(-256, -1, True), None),
        (Interval(0, 255, False), None),
        (None, None),
    ],
)
def test_a_byte_stands_for_256_integers_at_most(interval: Interval | None, zero: int | None) -> None:
    assert zero_point(interval) == zero
