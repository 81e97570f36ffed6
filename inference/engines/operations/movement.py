"""Operators that move, choose, repeat, join or rank elements, and reductions over whole dimensions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from inference.engines.interface import Array
from inference.engines.operations.operation import Attributes, Operation, integer, integer_list


def _axes(array: Array) -> tuple[int, ...]:
    return tuple(int(axis) for axis in array)


def _reduced(reduce: Callable[..., Any]) -> Operation:
    """A reduction whose axes are an input, or an attribute."""

    def operation(inputs: Sequence[Array], attributes: Attributes) -> Array:
        axes = _axes(inputs[1]) if len(inputs) > 1 else tuple(integer_list(attributes, "axes"))
        kept = bool(integer(attributes, "keepdims", 1))
        return np.asarray(reduce(inputs[0], axis=axes, keepdims=kept), dtype=inputs[0].dtype)

    return operation


def _slice(inputs: Sequence[Array], _: Attributes) -> Array:
    x, starts, ends, axes = inputs[:4]
    steps = inputs[4] if len(inputs) > 4 else np.ones_like(starts)
    chosen = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen[int(axis)] = slice(int(start), int(end), int(step))
    return x[tuple(chosen)]


def _split(inputs: Sequence[Array], attributes: Attributes) -> tuple[Array, ...]:
    places = np.cumsum(inputs[1])[:-1]
    return tuple(np.split(inputs[0], [int(place) for place in places], integer(attributes, "axis", 0)))


def _pad(inputs: Sequence[Array], _: Attributes) -> Array:
    x, pads = inputs[0], _axes(inputs[1])
    return np.pad(x, list(zip(pads[: x.ndim], pads[x.ndim :], strict=True)), constant_values=inputs[2].item())


def _resize(inputs: Sequence[Array], _: Attributes) -> Array:
    x = inputs[0]
    for axis, factor in enumerate(inputs[2]):
        x = np.repeat(x, int(factor), axis)
    return x


def _unsqueeze(inputs: Sequence[Array], _: Attributes) -> Array:
    return np.expand_dims(inputs[0], _axes(inputs[1]))


def _expand(inputs: Sequence[Array], _: Attributes) -> Array:
    return inputs[0] * np.ones([int(size) for size in inputs[1]], inputs[0].dtype)


def _top(inputs: Sequence[Array], attributes: Attributes) -> tuple[Array, ...]:
    x, axis = inputs[0].astype(np.int64), integer(attributes, "axis", -1)
    ranked = np.argsort(-x if integer(attributes, "largest", 1) else x, axis=axis, kind="stable")
    indices = np.take(ranked, range(int(inputs[1][0])), axis)
    return np.take_along_axis(inputs[0], indices, axis), indices.astype(np.int64)


def _gather_elements(inputs: Sequence[Array], attributes: Attributes) -> Array:
    return np.take_along_axis(inputs[0], inputs[1].astype(np.int64), integer(attributes, "axis", 0))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "Concat": lambda inputs, attributes: np.concatenate(inputs, integer(attributes, "axis", 0)),
    "Expand": _expand,
    "Gather": lambda inputs, attributes: np.take(inputs[0], inputs[1], integer(attributes, "axis", 0)),
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceSum": _reduced(np.sum),
    "ReduceSumSquare": _reduced(lambda x, **which: np.sum(x * x, **which)),
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": lambda inputs, _: np.squeeze(inputs[0], _axes(inputs[1])),
    "TopK": _top,
    "Transpose": lambda inputs, attributes: np.transpose(inputs[0], integer_list(attributes, "perm")),
    "Unsqueeze": _unsqueeze,
}
