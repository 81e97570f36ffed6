"""Choices of channels melt into the convolution that reads them."""

from typing import Any

import numpy as np
import pytest

from inference.converter.prepare import prepare
from tests.inference.converter.checks import kind, sample
from tests.inference.converter.floats import model, node, program_of, weights
from tests.inference.converter.oracle import evaluate

CONV = node("Conv", ["chosen", "w", "b"], ["y"], pads=[1, 1, 1, 1])
GATHER = node("Gather", ["x", "indices"], ["chosen"], axis=1)


def _prepared(nodes: list[Any], channels: int, indices: list[int], *, inputs: int | None = None) -> list[str]:
    """The kinds of steps that are left, once the output is seen to be the same."""
    constants = {"indices": np.array(indices), "w": weights(5, inputs or len(indices), 3, 3), "b": weights(5)}
    used = {name for each in nodes for name in each.input}
    constants = {name: value for name, value in constants.items() if name in used}
    program = program_of(model(nodes, constants, x=(1, channels, 6, 8)))
    prepared = prepare(program, int8=False).program
    inputs_of = sample(program)
    before, after = evaluate(program, inputs_of), evaluate(prepared, inputs_of)
    (sink,) = prepared.sinks
    np.testing.assert_allclose(after[sink.step], before[sink.step], rtol=1e-12, atol=1e-12)
    return [kind(step) for step in prepared.steps]


@pytest.mark.parametrize(
    ("channels", "indices"), [(1, [0, 0, 0]), (3, [2, 1, 0]), (2, [1, 0, 1, 1])], ids=["grey", "BGR", "more"]
)
def test_repeated_and_turned_channels_melt_into_a_convolution(channels: int, indices: list[int]) -> None:
    assert _prepared([GATHER, CONV], channels, indices) == ["Convolution"]


def test_two_convolutions_take_the_channels_as_they_were() -> None:
    other = node("Conv", ["chosen", "w"], ["z"], pads=[1, 1, 1, 1])
    added = node("Add", ["c", "z"], ["y"])
    first = node("Conv", ["chosen", "w", "b"], ["c"], pads=[1, 1, 1, 1])
    assert _prepared([GATHER, first, other, added], 1, [0, 0, 0]) == ["Convolution", "Convolution", "add"]


def test_a_part_of_the_channels_stays_chosen() -> None:
    assert _prepared([GATHER, CONV], 4, [0, 2, 0]) == ["Gather", "Convolution"]


def test_channels_that_something_else_reads_stay_chosen() -> None:
    nodes = [GATHER, node("Conv", ["chosen", "w"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["chosen"], ["r"])]
    last = node("Concat", ["c", "r"], ["y"], axis=1)
    assert "Gather" in _prepared([*nodes, last], 1, [0, 0, 0])


def test_groups_keep_their_channels() -> None:
    grouped = node("Conv", ["chosen", "w", "b"], ["y"], pads=[1, 1, 1, 1], group=5)
    assert _prepared([GATHER, grouped], 5, [4, 3, 2, 1, 0], inputs=1) == ["Gather", "Convolution"]


def test_rows_stay_chosen() -> None:
    rows = node("Gather", ["x", "indices"], ["chosen"], axis=2)
    nodes = [rows, node("Conv", ["chosen", "w"], ["y"])]
    assert _prepared(nodes, 6, [5, 4, 3, 2, 1, 0]) == ["Gather", "Convolution"]
