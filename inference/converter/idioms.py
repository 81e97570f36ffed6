"""Pass 4, first half: what exporters spell in many nodes becomes the one operator that means the same."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from inference.converter.draft import Draft, number, whole
from inference.converter.program import MASKED, Shape
from inference.engines.interface import to_array
from inference.graph import Node
from inference.tensor import Tensor


def respell(draft: Draft) -> None:
    """Rewrite the nodes of a draft; every result keeps its name and meaning."""
    for idiom in _IDIOMS:
        for node in list(draft.nodes):
            idiom(draft, node)


def _known_shape(draft: Draft, node: Node) -> None:
    """Sizes, and what is filled by them: onnxruntime knows no shapes behind some operators of learners."""
    if node.operator == "Shape" and not whole(node, "start", 0) and "end" not in node.attributes:
        draft.constants[node.outputs[0]] = np.array(draft.shape(node.inputs[0]), dtype=np.int64)
    elif node.operator == "ConstantOfShape" and node.inputs[0] in draft.constants:
        value = node.attributes.get("value")
        filling = to_array(value) if isinstance(value, Tensor) else np.zeros(1, dtype=np.float32)
        draft.constants[node.outputs[0]] = np.full(draft.shape(node.outputs[0]), filling.reshape(-1)[0])
    else:
        return
    draft.replace(node, [])


def _known_rows(draft: Draft, node: Node) -> None:
    """What is looked up where all is alike, as the kind of each word of a single text, needs no index."""
    if node.operator not in ("Gather", "GatherElements") or node.inputs[0] not in draft.constants:
        return
    data, shape = draft.constants[node.inputs[0]], draft.shape(node.outputs[0])
    axis = whole(node, "axis", 0)
    if node.operator == "Gather" and node.inputs[1] in draft.constants:
        draft.constants[node.outputs[0]] = np.take(data, draft.constants[node.inputs[1]], axis=axis)
    elif data.size and (data == data.reshape(-1)[0]).all():
        draft.constants[node.outputs[0]] = np.full(shape, data.reshape(-1)[0])
    else:
        return
    draft.replace(node, [])


def _constant_addend(draft: Draft, node: Node) -> tuple[str, float] | None:
    """A computed tensor plus a number."""
    for source, addend in (node.inputs, node.inputs[::-1]):
        value = draft.scalar(addend)
        if value is not None and source not in draft.constants:
            return source, value
    return None


def _kept_axes(draft: Draft, node: Node) -> Shape | None:
    """The axes of a reduction that keeps its dimensions, if they are the last ones, or a single one."""
    rank = len(draft.shape(node.inputs[0]))
    if not whole(node, "keepdims", 1):
        return None
    axes = tuple(sorted(axis % rank for axis in draft.integers(node, 1, "axes") or range(rank)))
    return axes if len(axes) == 1 or axes == tuple(range(rank - len(axes), rank)) else None


def _layer_norm(draft: Draft, node: Node) -> None:
    """(x - mean) / sqrt(mean of squares + epsilon), then perhaps * gain, then perhaps + bias."""
    for centred, root in _quotients(draft, node):
        found = _variance(draft, root)
        centre = draft.made_by(centred, "Sub")
        if found is None or centre is None:
            continue
        mean = draft.made_by(centre.inputs[1], "ReduceMean")
        squared, epsilon, axes = found
        if mean is None or mean.inputs[0] != centre.inputs[0] or _kept_axes(draft, mean) != axes:
            continue
        if not _same(draft, squared, centred):
            continue
        _write_norm(draft, node, centre.inputs[0], axes, epsilon)
        return


def _quotients(draft: Draft, node: Node) -> Iterator[tuple[str, str]]:
    """Pairs (a, v) such that the node is a / sqrt(v)."""
    if node.operator == "Div":
        root = _square_root(draft, node.inputs[1])
        if root:
            yield node.inputs[0], root
    if node.operator == "Mul":
        for a, b in (node.inputs, node.inputs[::-1]):
            inverse = draft.made_by(b, "Reciprocal", "Div", "Pow")
            if inverse is None:
                continue
            if inverse.operator == "Pow" and draft.scalar(inverse.inputs[1]) == -0.5:
                yield a, inverse.inputs[0]
            if inverse.operator == "Div" and draft.scalar(inverse.inputs[0]) != 1:
                continue
            root = _square_root(draft, inverse.inputs[-1])
            if root:
                yield a, root


def _square_root(draft: Draft, name: str) -> str | None:
    node = draft.made_by(name, "Sqrt", "Pow")
    if node is None or (node.operator == "Pow" and draft.scalar(node.inputs[1]) != 0.5):
        return None
    return node.inputs[0]


def _variance(draft: Draft, name: str) -> tuple[str, float, Shape] | None:
    """(c, epsilon, axes) if the tensor is the mean of c * c over the last axes, plus epsilon."""
    added = draft.made_by(name, "Add")
    parts = _constant_addend(draft, added) if added else None
    mean = draft.made_by(parts[0], "ReduceMean") if parts else None
    square = draft.made_by(mean.inputs[0], "Mul", "Pow") if mean else None
    axes = _kept_axes(draft, mean) if mean else None
    if parts is None or square is None or axes is None:
        return None
    if square.operator == "Pow" and draft.scalar(square.inputs[1]) != 2:
        return None
    if square.operator == "Mul" and square.inputs[0] != square.inputs[1]:
        return None
    return square.inputs[0], parts[1], axes


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


def _write_norm(draft: Draft, node: Node, source: str, axes: Shape, epsilon: float) -> None:
    """A LayerNormalization in the place of the last node that belongs to it."""
    shape = draft.shape(source)
    if axes[-1] != len(shape) - 1:
        _write_moved_norm(draft, node, source, axes[0], epsilon)
        return
    trailing = shape[axes[0] :]
    gain, last = _parameter(draft, node, "Mul", trailing)
    bias, last = _parameter(draft, last, "Add", trailing)
    one = gain or draft.constant("gain", np.ones(trailing))
    inputs = (source, one, bias) if bias else (source, one)
    attributes = {"axis": axes[0], "epsilon": epsilon}
    draft.replace(last, [replace(last, operator="LayerNormalization", inputs=inputs, attributes=attributes)])


def _write_moved_norm(draft: Draft, node: Node, source: str, axis: int, epsilon: float) -> None:
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
            ("gain", draft.constants[gain] if gain else np.ones(())),
            ("bias", draft.constants[bias] if bias else np.zeros(())),
        )
    ]
    inputs = [there.outputs[0], *parameters]
    attributes = {"axis": len(shape) - 1, "epsilon": epsilon}
    result = draft.extend("Transpose", [last.outputs[0]], draft.shape(there.outputs[0]), {"perm": perm})
    norm = replace(result, operator="LayerNormalization", inputs=tuple(inputs), attributes=attributes)
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


def _softmax(draft: Draft, node: Node) -> None:
    """exp(x - max) / sum of it, with or without the maximum."""
    raised = draft.made_by(node.inputs[0], "Exp") if node.operator == "Div" else None
    total = draft.made_by(node.inputs[1], "ReduceSum") if raised else None
    if raised is None or total is None or total.inputs[0] != raised.outputs[0]:
        return
    axes = draft.integers(total, 1, "axes")
    if axes is None or len(axes) != 1 or not whole(total, "keepdims", 1) or draft.version < 13:
        return
    source = raised.inputs[0]
    centre = draft.made_by(source, "Sub")
    greatest = draft.made_by(centre.inputs[1], "ReduceMax") if centre else None
    if centre is not None and greatest is not None and greatest.inputs[0] == centre.inputs[0]:
        source = centre.inputs[0]
    draft.replace(node, [replace(node, operator="Softmax", inputs=(source,), attributes={"axis": axes[0]})])


def _not_a_number(draft: Draft, node: Node) -> None:
    """Where(IsNaN(x), c, x) is x: no exact model has anything else than numbers."""
    if node.operator != "Where":
        return
    test = draft.made_by(node.inputs[0], "IsNaN")
    if test is not None and test.inputs[0] == node.inputs[2]:
        draft.replace(node, [replace(node, operator="Identity", inputs=(node.inputs[2],), attributes={})])


def _one_hot(draft: Draft, node: Node) -> None:
    """The product of a one-hot vector with constant weights is a row of them."""
    if node.operator != "MatMul" or node.inputs[1] not in draft.constants:
        return
    hot = draft.made_by(node.inputs[0], "OneHot")
    if hot is None or whole(hot, "axis", -1) not in (-1, len(draft.shape(node.inputs[0])) - 1):
        return
    values = draft.constants.get(hot.inputs[2])
    if values is None or values.reshape(-1).tolist() != [0, 1] or len(draft.shape(node.inputs[1])) != 2:
        return
    inputs = (node.inputs[1], hot.inputs[0])
    draft.replace(node, [replace(node, operator="Gather", inputs=inputs, attributes={"axis": 0})])


def _many(draft: Draft, node: Node) -> None:
    """Sums and extremes of more than two tensors, two at a time."""
    if node.operator not in ("Max", "Mean", "Min", "Sum") or len(set(draft.computed(node))) < 2:
        return
    operator = "Add" if node.operator in ("Mean", "Sum") else node.operator
    shape, at = draft.shape(node.outputs[0]), node.inputs[0]
    nodes = []
    for name in node.inputs[1:]:
        between = np.broadcast_shapes(draft.shape(at), draft.shape(name))
        nodes.append(draft.extend(operator, [at, name], between))
        at = nodes[-1].outputs[0]
    if node.operator == "Mean":
        count = draft.constant("count", np.array(1 / len(node.inputs), dtype=draft.dtype(at)))
        nodes.append(draft.extend("Mul", [at, count], shape))
    nodes[-1] = replace(nodes[-1], outputs=node.outputs)
    draft.replace(node, nodes)


def _leaky(draft: Draft, node: Node) -> None:
    """PRelu with a slope for each channel: max(x, 0) + slope * min(x, 0)."""
    if node.operator != "PRelu" or node.inputs[1] not in draft.constants:
        return
    slopes = draft.constants[node.inputs[1]]
    if (slopes == slopes.reshape(-1)[0]).all():
        return
    source, shape = node.inputs[0], draft.shape(node.outputs[0])
    if draft.shape(source) != shape:
        return
    zero = draft.constant("zero", np.zeros((), dtype=slopes.dtype))
    above = draft.extend("Max", [source, zero], shape)
    below = draft.extend("Min", [source, zero], shape)
    falling = draft.extend("Mul", [below.outputs[0], node.inputs[1]], shape)
    total = replace(node, operator="Add", inputs=(above.outputs[0], falling.outputs[0]), attributes={})
    draft.replace(node, [above, below, falling, total])


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


def _masked(draft: Draft, node: Node) -> None:
    """Where(condition, scores, c) with a computed condition: scores + Where(condition, 0, c)."""
    if node.operator != "Where" or node.inputs[0] in draft.constants or len(draft.computed(node)) != 2:
        return
    condition, *values = node.inputs
    at = 0 if values[0] not in draft.constants else 1
    low = draft.constants[values[1 - at]]
    if draft.dtype(values[at]) not in ("float32", "float64") or not (low <= MASKED).all():
        return
    zero = draft.constant("zero", np.zeros((), dtype=low.dtype))
    chosen = (condition, zero, values[1]) if at == 0 else (condition, values[0], zero)
    mask = draft.extend("Where", chosen, np.broadcast_shapes(draft.shape(condition), low.shape))
    draft.declare(mask.outputs[0], draft.shape(mask.outputs[0]), low.dtype.name)
    added = replace(node, operator="Add", inputs=(values[at], mask.outputs[0]))
    draft.replace(node, [mask, added])


def _spread(draft: Draft, node: Node) -> None:
    """And with what is true everywhere only spreads the other operand."""
    computed = draft.computed(node)
    if node.operator != "And" or len(computed) != 1:
        return
    other = next(name for name in node.inputs if name in draft.constants)
    if not draft.constants[other].all():
        return
    shape = draft.shape(node.outputs[0])
    spread = replace(node, operator="Identity", inputs=(computed[0],))
    if draft.shape(computed[0]) != shape:
        wanted = draft.constant("shape", np.array(shape, dtype=np.int64))
        spread = replace(node, operator="Expand", inputs=(computed[0], wanted))
    draft.replace(node, [spread])


def _times_one(draft: Draft, node: Node) -> None:
    """A product with one, as some exporters end with."""
    if node.operator == "Mul":
        for source, factor in (node.inputs, node.inputs[::-1]):
            if draft.scalar(factor) == 1 and draft.shape(source) == draft.shape(node.outputs[0]):
                draft.replace(node, [replace(node, operator="Identity", inputs=(source,))])
                return


_IDIOMS: Final[tuple[Callable[[Draft, Node], None], ...]] = (
    _known_shape,
    _known_rows,
    _instance_norm,
    _layer_norm,
    _softmax,
    _not_a_number,
    _one_hot,
    _many,
    _leaky,
    _masked,
    _spread,
    _times_one,
)
