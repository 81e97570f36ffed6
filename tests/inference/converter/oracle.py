"""What each kind of step means, in numpy alone and in float64: the slow and independent reading."""

from collections.abc import Mapping
from functools import singledispatch
from itertools import product
from typing import Any

import numpy as np

from inference.converter.program import (
    Combination,
    Combine,
    Constant,
    Convolution,
    Head,
    Map,
    Matrix,
    Move,
    Movement,
    Norm,
    Pool,
    Product,
    Program,
    Reals,
    Reduce,
    Reduction,
    Softmax,
    Step,
    Table,
    Trees,
)
from inference.engines.interface import from_array, run, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine


def evaluate(program: Program, inputs: Mapping[str, Any]) -> dict[str, Reals]:
    """The result of every step, by name."""
    values = {source.name: np.asarray(inputs[source.name]) for source in program.sources}
    results = {}
    for step in program.steps:
        result = np.asarray(meaning(step, *(values[name] for name in step.inputs)))
        assert result.size == np.prod(step.shape), (step, result.shape)
        values[step.name] = results[step.name] = result.reshape(step.shape)
    return results


@singledispatch
def meaning(step: Step, *inputs: Any) -> Any:
    raise NotImplementedError(type(step))


@meaning.register
def _(step: Constant) -> Any:
    return step.values


@meaning.register
def _(step: Matrix, x: Any) -> Any:
    return x @ step.weights + step.bias


@meaning.register
def _(step: Map, x: Any) -> Any:
    return step.evaluate(x * step.scale + step.offset)


@meaning.register
def _(step: Product, x: Any, y: Any) -> Any:
    return x @ y * step.scale


@meaning.register
def _(step: Table, x: Any) -> Any:
    return step.rows[x.astype(np.int64)]


@meaning.register
def _(step: Softmax, x: Any, *keep: Any) -> Any:
    scores = x if step.mask is None else x + step.mask
    scores = np.where(keep[0] == 1, scores, -np.inf) if keep else scores
    raised = np.exp(scores - scores.max(axis=step.axis, keepdims=True))
    return raised / raised.sum(axis=step.axis, keepdims=True)


@meaning.register
def _(step: Norm, x: Any) -> Any:
    axes = tuple(range(-step.axes, 0))
    centred = x - x.mean(axis=axes, keepdims=True) if step.centred else x
    variance = (centred**2).mean(axis=axes, keepdims=True)
    return centred / np.sqrt(variance + step.epsilon) * step.gain + step.bias


@meaning.register
def _(step: Combine, x: Any, y: Any) -> Any:
    operators = {
        Combination.ADD: np.add,
        Combination.SUBTRACT: np.subtract,
        Combination.DIVIDE: np.divide,
        Combination.MULTIPLY: np.multiply,
        Combination.GATE: np.multiply,
        Combination.MAXIMUM: np.maximum,
        Combination.MINIMUM: np.minimum,
    }
    return operators[step.combination](x, y)


@meaning.register
def _(step: Reduce, x: Any) -> Any:
    operators: dict[Reduction, Any] = {
        Reduction.MAX: np.max,
        Reduction.MEAN: np.mean,
        Reduction.MIN: np.min,
        Reduction.SUM: np.sum,
    }
    return operators[step.reduction](x, axis=step.axes, keepdims=step.keep)


@meaning.register
def _(step: Move, *inputs: Any) -> Any:
    x, given = inputs[0], step.arguments
    match step.movement:
        case Movement.CONCAT:
            return np.concatenate(inputs, axis=given["axis"][0])
        case Movement.GATHER:
            return np.take(x, given["indices"], axis=given["axis"][0])
        case Movement.PAD:
            rank = x.ndim
            pads = list(zip(given["pads"][:rank], given["pads"][rank:], strict=True))
            return np.pad(x, pads, constant_values=step.fill)
        case Movement.RESIZE:
            for axis, factor in enumerate(given["scales"]):
                x = np.repeat(x, factor, axis=axis)
            return x
        case Movement.SLICE:
            slices = [slice(None)] * x.ndim
            for axis, start, end, stride in zip(
                *(given[k] for k in ("axes", "starts", "ends", "steps")), strict=True
            ):
                slices[axis] = slice(start, end, stride)
            return x[tuple(slices)]
        case Movement.TRANSPOSE:
            return np.transpose(x, given["perm"])
        case Movement.IDENTITY | Movement.RESHAPE:
            return x.reshape(step.shape)


def _windows(x: Any, step: Convolution | Pool, shape: Any, fill: float) -> Any:
    """Pairs of a place in the window and the elements of the padded input there: [n, c, *result]."""
    window = step.window
    pads = [(0, 0), (0, 0), *zip(window.before, window.after, strict=True)]
    padded = np.pad(x.astype(np.float64), pads, constant_values=fill)
    for place in product(*(range(size) for size in window.kernel)):
        slices = [
            slice(at * dilation, at * dilation + (count - 1) * stride + 1, stride)
            for at, dilation, stride, count in zip(
                place, window.dilations, window.strides, shape, strict=True
            )
        ]
        yield place, padded[(slice(None), slice(None), *slices)]


@meaning.register
def _(step: Pool, x: Any) -> Any:
    shape = step.shape[2:]
    if step.reduction is Reduction.MAX:
        return np.max([part for _, part in _windows(x, step, shape, -np.inf)], axis=0)
    total = sum(part for _, part in _windows(x, step, shape, 0))
    if step.counts_padding:
        return total / np.prod(step.window.kernel)
    return total / sum(part for _, part in _windows(np.ones_like(x), step, shape, 0))


@meaning.register
def _(step: Convolution, x: Any) -> Any:
    if step.transposed:
        return _transposed(step, x)
    total = np.zeros(step.shape)
    size = step.weights.shape[1]
    outputs = step.weights.shape[0] // step.groups
    for place, part in _windows(x, step, step.shape[2:], 0):
        for group in range(step.groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            weights = step.weights[rows].transpose(*range(2, 2 + len(place)), 0, 1)[place]
            total[:, rows] += np.einsum(
                "oi,ni...->no...", weights, part[:, group * size : (group + 1) * size]
            )
    return total + step.bias.reshape(-1, *(1,) * len(step.window.kernel))


def _transposed(step: Convolution, x: Any) -> Any:
    """Every input element adds the kernel to the output, from stride times its place on."""
    window, each = step.window, step.weights.shape[0] // step.groups
    outputs = step.weights.shape[1]
    whole = [
        (size - 1) * stride + (kernel - 1) * dilation + 1 + extra
        for size, stride, kernel, dilation, extra in zip(
            x.shape[2:], window.strides, window.kernel, window.dilations, step.output_padding, strict=True
        )
    ]
    total = np.zeros((x.shape[0], outputs * step.groups, *whole))
    for place in product(*(range(size) for size in window.kernel)):
        slices = tuple(
            slice(at * dilation, at * dilation + (size - 1) * stride + 1, stride)
            for at, dilation, stride, size in zip(
                place, window.dilations, window.strides, x.shape[2:], strict=True
            )
        )
        for group in range(step.groups):
            inside = slice(group * each, (group + 1) * each)
            weights = step.weights[inside].transpose(*range(2, 2 + len(place)), 0, 1)[place]
            made = np.einsum("io,ni...->no...", weights, x[:, inside])
            total[(slice(None), slice(group * outputs, (group + 1) * outputs), *slices)] += made
    cut = tuple(
        slice(before, size - after)
        for before, after, size in zip(window.before, window.after, whole, strict=True)
    )
    return total[(slice(None), slice(None), *cut)] + step.bias.reshape(-1, *(1,) * len(window.kernel))


@meaning.register
def _(step: Trees, x: Any) -> Any:
    totals = np.tile(step.base, (x.shape[0], 1))
    for row, features in enumerate(x):
        for root in step.roots:
            at = root
            while step.left[at] >= 0:
                value, threshold = np.float32(features[step.features[at]]), np.float32(step.thresholds[at])
                goes_left = value < threshold if step.strict else value <= threshold
                at = step.left[at] if goes_left else step.right[at]
            for place in np.flatnonzero(step.leaf_nodes == at):
                totals[row, step.leaf_outputs[place]] += step.leaf_values[place]
    return totals


def headed(scores: Reals, head: Head, axis: int | None) -> Reals:
    """What the float model did to its scores."""
    if head is Head.SOFTMAX:
        assert axis is not None
        raised = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return np.asarray(raised / raised.sum(axis=axis, keepdims=True))
    return 1 / (1 + np.exp(-scores)) if head is Head.SIGMOID else scores


def float_results(program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The result of every step, by name, as onnxruntime computes it from the folded float model."""
    arrays = [np.asarray(inputs[source.name], dtype=source.dtype) for source in program.sources]
    outputs = run(OnnxRuntimeEngine(), program.folded, [from_array(array) for array in arrays])
    return {step.name: to_array(each) for step, each in zip(program.steps, outputs, strict=True)}
