"""Convolutions, one tap of the kernel at a time; pooling likewise."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np

from inference.engines.interface import Array
from inference.engines.operations.operation import Attributes, Operation, integer, integer_list


def _taps(attributes: Attributes, shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """For each place in the kernel, what it meets in a padded input while the kernel slides to every output
    of `shape`.
    """
    strides, dilations = integer_list(attributes, "strides"), integer_list(attributes, "dilations")
    for tap in product(*map(range, integer_list(attributes, "kernel_shape"))):
        yield tuple(
            slice(at * dilation, at * dilation + stride * (size - 1) + 1, stride)
            for at, dilation, stride, size in zip(tap, dilations, strides, shape, strict=True)
        )


def _reach(attributes: Attributes) -> list[int]:
    kernel, dilations = integer_list(attributes, "kernel_shape"), integer_list(attributes, "dilations")
    return [dilation * (size - 1) + 1 for size, dilation in zip(kernel, dilations, strict=True)]


def _padded(x: Array, attributes: Attributes, fill: float) -> tuple[Array, list[int]]:
    """The input with its padding, and the sizes of the output's dimensions after the second."""
    pads = integer_list(attributes, "pads")
    rank = len(pads) // 2
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)], constant_values=fill)
    strides = integer_list(attributes, "strides")
    reach = _reach(attributes)
    return padded, [
        (size - span) // stride + 1
        for size, span, stride in zip(padded.shape[2:], reach, strides, strict=True)
    ]


def _conv(inputs: Sequence[Array], attributes: Attributes) -> Array:
    x, weights = inputs[0], inputs[1]
    group = integer(attributes, "group", 1)
    padded, sizes = _padded(x, attributes, 0)
    inner, outer = x.shape[1] // group, weights.shape[0] // group
    result = np.zeros((x.shape[0], weights.shape[0], *sizes), x.dtype)
    taps = weights.reshape(*weights.shape[:2], -1)
    for index, places in enumerate(_taps(attributes, sizes)):
        met = padded[:, :, *places]
        for at in range(group):
            own = slice(at * outer, (at + 1) * outer)
            matrix = taps[own, :, index]
            result[:, own] += np.einsum("oi,ni...->no...", matrix, met[:, at * inner : (at + 1) * inner])
    return _with_bias(result, inputs)


def _conv_transpose(inputs: Sequence[Array], attributes: Attributes) -> Array:
    x, weights = inputs[0], inputs[1]
    group, pads = integer(attributes, "group", 1), integer_list(attributes, "pads")
    inner, outer = weights.shape[0] // group, weights.shape[1]
    strides, extra = integer_list(attributes, "strides"), integer_list(attributes, "output_padding")
    rank = len(strides)
    whole = [
        stride * (size - 1) + span + more
        for stride, size, span, more in zip(strides, x.shape[2:], _reach(attributes), extra, strict=True)
    ]
    result = np.zeros((x.shape[0], outer * group, *whole), x.dtype)
    taps = weights.reshape(*weights.shape[:2], -1)
    for index, places in enumerate(_taps(attributes, x.shape[2:])):
        for at in range(group):
            own = slice(at * inner, (at + 1) * inner)
            spread = np.einsum("io,ni...->no...", taps[own, :, index], x[:, own])
            result[:, at * outer : (at + 1) * outer, *places] += spread
    kept = [
        slice(before, size - after)
        for before, after, size in zip(pads[:rank], pads[rank:], whole, strict=True)
    ]
    return _with_bias(result[:, :, *kept], inputs)


def _with_bias(result: Array, inputs: Sequence[Array]) -> Array:
    if len(inputs) < 3 or not inputs[2].size:
        return result
    return result + inputs[2].reshape(-1, *[1] * (result.ndim - 2))


def _max_pool(inputs: Sequence[Array], attributes: Attributes) -> Array:
    x = inputs[0]
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded, sizes = _padded(x, attributes, lowest)
    return np.asarray(np.max([padded[:, :, *places] for places in _taps(attributes, sizes)], axis=0))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
}
