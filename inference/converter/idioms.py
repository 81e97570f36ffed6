"""Pass 4, first half: what exporters spell in many nodes becomes the one operator that means the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from inference.converter import norms
from inference.converter.draft import Draft, whole
from inference.converter.program import MASKED
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
    *norms.IDIOMS,
    _softmax,
    _not_a_number,
    _one_hot,
    _many,
    _leaky,
    _masked,
    _spread,
    _times_one,
)
