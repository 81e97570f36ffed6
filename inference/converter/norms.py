"""Pass 4 for norms: what is divided by the root of its mean square becomes one operator.

LayerNormalization takes the mean away first, RMSNormalization does not. Lengths, sums of squares and instance
norms are written in other operators before, so that each is found by its structure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from inference.converter.draft import Draft, number, text, whole
from inference.converter.program import Shape
from inference.graph import Node


@dataclass(frozen=True, slots=True)
class _Square:
    """The mean of squares over some axes, or their sum, plus epsilon."""

    source: str
    axes: Shape
    epsilon: float
    is_sum: bool


def _lengths(draft: Draft, node: Node) -> None:
    """Lengths, and what is divided by them, in products, sums and roots."""
    source, shape = node.inputs[0] if node.inputs else "", draft.shape(node.outputs[0])
    match node.operator:
        case "ReduceL2" | "ReduceSumSquare":
            axes = draft.integers(node, 1, "axes") or tuple(range(len(draft.shape(source))))
            square, total = _squares(draft, source, axes, whole(node, "keepdims", 1), shape)
            if node.operator == "ReduceSumSquare":
                draft.replace(node, [square, replace(total, outputs=node.outputs)])
            else:
                root = replace(node, operator="Sqrt", inputs=total.outputs, attributes={})
                draft.replace(node, [square, total, root])
        case "LpNormalization" | "Normalizer" if (
            whole(node, "p", 2) == 2 and text(node, "norm", "L2") == "L2"
        ):
            axis = whole(node, "axis", -1) % len(shape)
            reduced = tuple(1 if at == axis else size for at, size in enumerate(shape))
            square, total = _squares(draft, source, (axis,), 1, reduced)
            root = draft.extend("Sqrt", total.outputs, reduced)
            quotient = replace(node, operator="Div", inputs=(source, root.outputs[0]), attributes={})
            draft.replace(node, [square, total, root, replace(quotient, domain="")])


def _is_by_length(node: Node) -> bool:
    """Not by the sum of magnitudes, nor by the greatest."""
    return text(node, "norm") == "L2" if node.operator == "Normalizer" else whole(node, "p", 2) == 2


def _squares(draft: Draft, source: str, axes: Shape, keep: int, shape: Shape) -> tuple[Node, Node]:
    """The squares of a tensor, and their sum over some axes."""
    square = draft.extend("Mul", [source, source], draft.shape(source))
    inputs, attributes = list(square.outputs), {"keepdims": keep}
    if draft.version >= 13:
        inputs.append(draft.constant("axes", np.array(axes)))
        return square, draft.extend("ReduceSum", inputs, shape, attributes)
    return square, draft.extend("ReduceSum", inputs, shape, {"axes": axes, **attributes})


def _addend(draft: Draft, name: str, *operators: str) -> tuple[str, float]:
    """A tensor before a number was added, or a lower limit set, and that number; else itself and 0."""
    node = draft.made_by(name, *operators)
    if node is None:
        return name, 0.0
    if node.operator == "Clip" and "min" in node.attributes:
        return node.inputs[0], number(node, "min", 0.0)
    for source, addend in (node.inputs[:2], node.inputs[1::-1]):
        value = draft.scalar(addend)
        if value is not None and source not in draft.constants:
            return source, value
    return name, 0.0


def _kept_axes(draft: Draft, node: Node) -> Shape | None:
    """The axes of a reduction that keeps its dimensions, if they are the last ones, or a single one."""
    rank = len(draft.shape(node.inputs[0]))
    if not whole(node, "keepdims", 1):
        return None
    axes = tuple(sorted(axis % rank for axis in draft.integers(node, 1, "axes") or range(rank)))
    return axes if len(axes) == 1 or axes == tuple(range(rank - len(axes), rank)) else None


def _norm(draft: Draft, node: Node) -> None:
    """x / sqrt(mean of squares + epsilon), x centred or not, then perhaps * gain, then perhaps + bias."""
    for top, root, least in _quotients(draft, node):
        square = _square(draft, root, least)
        if square is None:
            continue
        centre = draft.made_by(top, "Sub")
        mean = draft.made_by(centre.inputs[1], "ReduceMean") if centre else None
        if centre is not None and mean is not None and mean.inputs[0] == centre.inputs[0]:
            if _kept_axes(draft, mean) != square.axes or not _same(draft, square.source, top):
                continue
            _write(draft, node, "LayerNormalization", replace(square, source=centre.inputs[0]))
            return
        if square.source == top:
            _write(draft, node, "RMSNormalization", square)
            return


def _quotients(draft: Draft, node: Node) -> Iterator[tuple[str, str, float]]:
    """Triples (a, v, e) such that the node is a / max(sqrt(v), e)."""
    if node.operator == "Div":
        for root, least in _square_root(draft, node.inputs[1]):
            yield node.inputs[0], root, least
    if node.operator == "Mul":
        for a, b in (node.inputs, node.inputs[::-1]):
            inverse = draft.made_by(b, "Reciprocal", "Div", "Pow")
            if inverse is None:
                continue
            if inverse.operator == "Pow" and draft.scalar(inverse.inputs[1]) == -0.5:
                yield a, inverse.inputs[0], 0.0
            if inverse.operator == "Div" and draft.scalar(inverse.inputs[0]) != 1:
                continue
            for root, least in _square_root(draft, inverse.inputs[-1]):
                yield a, root, least


def _square_root(draft: Draft, name: str) -> Iterator[tuple[str, float]]:
    """What a tensor is the root of, and what the root is at least."""
    spread = draft.made_by(name, "Expand")
    name, least = _addend(draft, spread.inputs[0] if spread else name, "Clip", "Max")
    node = draft.made_by(name, "Sqrt", "Pow")
    if node is not None and (node.operator == "Sqrt" or draft.scalar(node.inputs[1]) == 0.5):
        yield node.inputs[0], least


def _square(draft: Draft, name: str, least: float) -> _Square | None:
    """What a tensor is the mean of squares of, or their sum, over the last axes."""
    source, epsilon = _addend(draft, name, "Add", "Clip", "Max")
    total = draft.made_by(source, "ReduceMean", "ReduceSum")
    square = draft.made_by(total.inputs[0], "Mul", "Pow") if total else None
    axes = _kept_axes(draft, total) if total else None
    if total is None or square is None or axes is None:
        return None
    if square.operator == "Pow" and draft.scalar(square.inputs[1]) != 2:
        return None
    if square.operator == "Mul" and square.inputs[0] != square.inputs[1]:
        return None
    return _Square(square.inputs[0], axes, max(epsilon, least**2), total.operator == "ReduceSum")


def _same(draft: Draft, a: str, b: str) -> bool:
    """Whether two tensors are one, or computed alike."""
    first, second = draft.producer(a), draft.producer(b)
    return a == b or (
        first is not None
        and second is not None
        and first.operator == second.operator == "Sub"
        and first.inputs[0] == second.inputs[0]
        and (
            first.inputs[1] == second.inputs[1]
            or all(draft.made_by(each.inputs[1], "ReduceMean") is not None for each in (first, second))
        )
    )


def _write(draft: Draft, node: Node, operator: str, square: _Square) -> None:
    """A norm in the place of the last node that belongs to it."""
    shape, axes = draft.shape(square.source), square.axes
    count = np.prod([shape[axis] for axis in axes]) if square.is_sum else 1.0
    # The root of a sum is that of a mean by the root of the count.
    found = _Scaled(operator, square.epsilon / float(count), float(count) ** -0.5)
    if axes[-1] != len(shape) - 1:
        _write_moved(draft, node, square.source, axes[0], found)
        return
    trailing = shape[axes[0] :]
    gain, last = _parameter(draft, node, "Mul", trailing)
    bias, last = _parameter(draft, last, "Add", trailing)
    ones = draft.constants[gain] if gain else np.ones(trailing, dtype=draft.dtype(square.source))
    inputs = [square.source, draft.constant("gain", ones * ones.dtype.type(found.factor))]
    inputs += [bias] if bias else []
    attributes = {"axis": axes[0], "epsilon": found.epsilon}
    draft.replace(last, [replace(last, operator=operator, inputs=tuple(inputs), attributes=attributes)])


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A norm, times a factor."""

    operator: str
    epsilon: float
    factor: float


def _write_moved(draft: Draft, node: Node, source: str, axis: int, found: _Scaled) -> None:
    """The same over one axis in the middle, as over the channels of an image, which is last in between."""
    shape = draft.shape(source)
    along = (shape[axis], *(1,) * (len(shape) - axis - 1))
    gain, last = _parameter(draft, node, "Mul", along)
    bias, last = _parameter(draft, last, "Add", along)
    order = [*range(len(shape))]
    order[axis], order[-1] = order[-1], axis
    perm = tuple(order)
    there = draft.extend("Transpose", [source], tuple(shape[at] for at in perm), {"perm": perm})
    parameters = [
        draft.constant(base, np.broadcast_to(values, along).reshape(-1).astype(draft.dtype(source)))
        for base, values in (
            ("gain", found.factor * (draft.constants[gain] if gain else np.ones(()))),
            ("bias", draft.constants[bias] if bias else np.zeros(())),
        )
    ]
    inputs = [there.outputs[0], *parameters]
    attributes = {"axis": len(shape) - 1, "epsilon": found.epsilon}
    result = draft.extend("Transpose", [last.outputs[0]], draft.shape(there.outputs[0]), {"perm": perm})
    norm = replace(result, operator=found.operator, inputs=tuple(inputs), attributes=attributes)
    back = replace(last, operator="Transpose", inputs=norm.outputs, attributes={"perm": perm})
    draft.replace(last, [there, norm, back])


def _parameter(draft: Draft, node: Node, operator: str, trailing: Shape) -> tuple[str, Node]:
    """The constant that alone is applied to a node's result, and the node that applies it."""
    reader = draft.only_reader(node.outputs[0])
    if reader is None or reader.operator != operator:
        return "", node
    other = reader.inputs[1 - reader.inputs.index(node.outputs[0])]
    if other not in draft.constants:
        return "", node
    shape = draft.shape(other)
    while len(shape) > len(trailing) and shape[0] == 1:
        shape = shape[1:]
    fits = len(shape) <= len(trailing) and all(
        size in (1, wanted) for size, wanted in zip(shape[::-1], trailing[::-1], strict=False)
    )
    return (other, reader) if fits else ("", node)


def _instance_norm(draft: Draft, node: Node) -> None:
    """A norm over everything after the channels, then a scale and an offset for each channel."""
    if node.operator != "InstanceNormalization" or not all(
        name in draft.constants for name in node.inputs[1:]
    ):
        return
    shape = draft.shape(node.inputs[0])
    dtype = draft.dtype(node.inputs[0])
    ones, zeros = (
        draft.constant(name, np.full(shape[1], value, dtype=dtype))
        for name, value in (("one", 1), ("zero", 0))
    )
    epsilon = {"epsilon": number(node, "epsilon", 1e-5)}
    plain = draft.extend("InstanceNormalization", [node.inputs[0], ones, zeros], shape, epsilon)
    everywhere = draft.constant("gain", np.ones(shape[2:]))
    norm = replace(
        plain,
        operator="LayerNormalization",
        inputs=(node.inputs[0], everywhere),
        attributes={"axis": 2, **epsilon},
    )
    trailing = (-1,) + (1,) * (len(shape) - 2)
    gain, bias = (draft.constants[name].reshape(trailing) for name in node.inputs[1:])
    scaled = draft.extend("Mul", [plain.outputs[0], draft.constant("gain", gain)], shape)
    inputs = (scaled.outputs[0], draft.constant("bias", bias))
    draft.replace(node, [norm, scaled, replace(node, operator="Add", inputs=inputs, attributes={})])


IDIOMS: Final[tuple[Callable[[Draft, Node], None], ...]] = (_lengths, _instance_norm, _norm)
