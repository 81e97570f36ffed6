"""A constant scale and offset in one step with what makes or reads the tensor: a rule for each kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from inference.converter.arithmetic import row_sum
from inference.converter.program import (
    MASKED,
    Convolution,
    Form,
    Map,
    Matrix,
    Norm,
    Product,
    Reals,
    Softmax,
    Step,
    Table,
    Trees,
)


def _along(values: Reals, rank: int, axis: int, count: int) -> Reals | None:
    """One number for each index of an axis, if the values differ along no other."""
    full = values.reshape((1,) * (rank - values.ndim) + values.shape)
    if full.size != full.shape[axis]:
        return None
    return np.broadcast_to(full.reshape(-1), (count,)).copy()


def _scalar(values: Reals) -> float | None:
    return float(values.reshape(-1)[0]) if values.size == 1 else None


def _pair(affine: Map, rank: int, axis: int, count: int) -> tuple[Reals, Reals] | None:
    scale, offset = (_along(values, rank, axis, count) for values in (affine.scale, affine.offset))
    if scale is None or offset is None or not np.isfinite(offset).all():
        return None
    return scale, offset


def _after_matrix(step: Matrix, affine: Map) -> Step | None:
    pair = _pair(affine, len(step.shape), -1, step.weights.shape[1])
    if pair is None or affine.shape != step.shape:
        return None
    scale, offset = pair
    return replace(step, weights=step.weights * scale, bias=step.bias * scale + offset)


def _after_convolution(step: Convolution, affine: Map) -> Step | None:
    pair = _pair(affine, len(step.shape), 1, step.shape[1])
    if pair is None or affine.shape != step.shape:
        return None
    scale, offset = pair
    kernel = (1,) * len(step.window.kernel)
    if step.transposed:
        grouped = step.weights.reshape(step.groups, -1, *step.weights.shape[1:])
        factors = scale.reshape(step.groups, 1, -1, *kernel)
        weights = (grouped * factors).reshape(step.weights.shape)
    else:
        weights = step.weights * scale.reshape(-1, 1, *kernel)
    return replace(step, weights=weights, bias=step.bias * scale + offset)


def _after_norm(step: Norm, affine: Map) -> Step | None:
    if affine.shape != step.shape:
        return None
    return replace(step, gain=step.gain * affine.scale, bias=step.bias * affine.scale + affine.offset)


def _after_product(step: Product, affine: Map) -> Step | None:
    scale = _scalar(affine.scale)
    return None if scale is None or affine.offset.any() else replace(step, scale=step.scale * scale)


def _after_table(step: Table, affine: Map) -> Step | None:
    """The rows have every dimension but the first of the table."""
    if max(affine.scale.ndim, affine.offset.ndim) >= step.rows.ndim or affine.shape != step.shape:
        return None
    return replace(step, rows=step.rows * affine.scale + affine.offset)


def _after_map(step: Map, affine: Map) -> Step | None:
    if step.form is not Form.AFFINE or affine.shape != step.shape:
        return None
    scale, offset = step.scale * affine.scale, step.offset * affine.scale + affine.offset
    return replace(step, scale=scale, offset=offset)


def _after_trees(step: Trees, affine: Map) -> Step | None:
    pair = _pair(affine, 2, 1, len(step.base))
    if pair is None:
        return None
    scale, offset = pair
    values = step.leaf_values * scale[step.leaf_outputs]
    return replace(step, leaf_values=values, base=step.base * scale + offset)


_AFTER: Final[Mapping[type[Step], Callable[[Any, Map], Step | None]]] = {
    Convolution: _after_convolution,
    Map: _after_map,
    Matrix: _after_matrix,
    Norm: _after_norm,
    Product: _after_product,
    Table: _after_table,
    Trees: _after_trees,
}


def _source(affine: Map, step: Step) -> tuple[str, ...]:
    """The inputs of a step that takes a map upon itself."""
    return tuple(affine.inputs[0] if name == affine.name else name for name in step.inputs)


def _before_matrix(step: Matrix, affine: Map) -> Step | None:
    pair = _pair(affine, len(affine.shape), -1, step.weights.shape[0])
    if pair is None:
        return None
    scale, offset = pair
    bias = step.bias + row_sum(offset[:, None] * step.weights)
    return replace(step, inputs=_source(affine, step), weights=scale[:, None] * step.weights, bias=bias)


def _before_convolution(step: Convolution, affine: Map) -> Step | None:
    """An offset does not reach the padding, so that it can only go into the bias if there is none."""
    channels = affine.shape[1]
    pair = _pair(affine, len(affine.shape), 1, channels)
    if pair is None:
        return None
    scale, offset = pair
    padded = any(step.window.before + step.window.after)
    if offset.any() and (padded or step.transposed):
        return None
    kernel = (1,) * len(step.window.kernel)
    inputs = _source(affine, step)
    if step.transposed:
        return replace(step, inputs=inputs, weights=step.weights * scale.reshape(-1, 1, *kernel))
    grouped = step.weights.reshape(step.groups, -1, *step.weights.shape[1:])
    per_group = (step.groups, 1, -1, *kernel)
    bias = step.bias
    if offset.any():
        products = (grouped * offset.reshape(per_group)).reshape(step.weights.shape[0], -1)
        bias = bias + row_sum(products.T)
    weights = (grouped * scale.reshape(per_group)).reshape(step.weights.shape)
    return replace(step, inputs=inputs, weights=weights, bias=bias)


def _before_map(step: Map, affine: Map) -> Step | None:
    if not np.isfinite(affine.offset).all() or step.shape != affine.shape:
        return None
    scale, offset = affine.scale * step.scale, affine.offset * step.scale + step.offset
    return replace(step, inputs=_source(affine, step), scale=scale, offset=offset)


def _before_product(step: Product, affine: Map) -> Step | None:
    scale = _scalar(affine.scale)
    if scale is None or affine.offset.any() or step.inputs.count(affine.name) != 1:
        return None
    return replace(step, inputs=_source(affine, step), scale=step.scale * scale)


def _before_norm(step: Norm, affine: Map) -> Step | None:
    """A norm of s * x + o is that of x, its epsilon by s^2."""
    scale = _scalar(affine.scale)
    offset = _scalar(affine.offset)
    if not scale or offset is None or (offset and not step.centred):
        return None
    gain = step.gain if scale > 0 else -step.gain
    return replace(step, inputs=_source(affine, step), epsilon=step.epsilon / scale**2, gain=gain)


def _before_softmax(step: Softmax, affine: Map) -> Step | None:
    """One number for all changes nothing; others are a mask."""
    inputs = _source(affine, step)
    if step.mask is None and affine.offset.size > 1 and _masks(affine):
        return replace(step, inputs=inputs, mask=affine.offset)
    if _scalar(affine.scale) == 1 and affine.offset.size == 1:
        return replace(step, inputs=inputs)
    return None


def _masks(affine: Map) -> bool:
    """Whether scores are kept where the scale is 1, and ignored, whatever they are, where it is 0."""
    kept = affine.scale == 1
    ignored = (affine.scale == 0) & (affine.offset <= MASKED)
    return bool((kept | ignored).all())


def _before_trees(step: Trees, affine: Map) -> Step | None:
    """x * s + o <= t is x <= (t - o) / s where s is above zero."""
    pair = _pair(affine, 2, 1, affine.shape[-1])
    if pair is None or not (pair[0] > 0).all():
        return None
    scale, offset = (each[step.features] for each in pair)
    return replace(step, inputs=_source(affine, step), thresholds=(step.thresholds - offset) / scale)


_BEFORE: Final[Mapping[type[Step], Callable[[Any, Map], Step | None]]] = {
    Convolution: _before_convolution,
    Map: _before_map,
    Matrix: _before_matrix,
    Norm: _before_norm,
    Product: _before_product,
    Softmax: _before_softmax,
    Trees: _before_trees,
}


def melted_after(step: Step, affine: Map) -> Step | None:
    """The step that does both, if one can; it has the name and shape of the first."""
    rule = _AFTER.get(type(step))
    return rule(step, affine) if rule else None


def melted_before(step: Step, affine: Map) -> Step | None:
    """The step that reads what the map reads, and does both, if one can."""
    rule = _BEFORE.get(type(step))
    return rule(step, affine) if rule else None
