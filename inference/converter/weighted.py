"""From nodes with weights, windows and reductions to steps."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from inference.converter.draft import Draft, number, text, whole
from inference.converter.program import (
    Convolution,
    Matrix,
    Move,
    Movement,
    Norm,
    Pool,
    Product,
    Reals,
    Reduce,
    Reduction,
    Shape,
    Softmax,
    Step,
    Window,
)
from inference.converter.regions import operand
from inference.graph import Node
from inference.refusal import refuse

Handler = Callable[[Draft, Node], list[Step]]

_RUN_MAX: Final = 1 << 11
"""Most numbers summed along the way, which need as many weights squared."""

WINDOW_MAX: Final = 1 << 16
"""Largest size, step or padding of a window along one dimension: far beyond any in use."""


def _listed(node: Node, name: str, default: Shape) -> Shape:
    value = node.attributes.get(name)
    return tuple(each for each in value if isinstance(each, int)) if isinstance(value, tuple) else default


def _window(draft: Draft, node: Node, kernel: Shape) -> Window:
    """With the padding that the shape of the result tells, where it is left to be found out."""
    rank = len(kernel)
    strides = _listed(node, "strides", (1,) * rank)
    dilations = _listed(node, "dilations", (1,) * rank)
    pads = _listed(node, "pads", (0,) * 2 * rank)
    before, after = pads[:rank], pads[rank:]
    if max((*kernel, *strides, *dilations, *pads), default=0) > WINDOW_MAX or min(kernel, default=1) < 1:
        refuse(f"a window of {list(kernel)}, or its padding, is impossible", node.place)
    reach = tuple((size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True))
    given, made = draft.shape(node.inputs[0])[2:], draft.shape(node.outputs[0])[2:]
    total = tuple(
        (count - 1) * stride + span - size
        for count, stride, span, size in zip(made, strides, reach, given, strict=True)
    )
    match text(node, "auto_pad", "NOTSET"):
        case "SAME_UPPER":
            before = tuple(max(each, 0) // 2 for each in total)
            after = tuple(max(each, 0) - first for each, first in zip(total, before, strict=True))
        case "SAME_LOWER":
            after = tuple(max(each, 0) // 2 for each in total)
            before = tuple(max(each, 0) - last for each, last in zip(total, after, strict=True))
        case "VALID":
            before = after = (0,) * rank
    if whole(node, "ceil_mode", 0):
        # Windows that start within the tensor may end beyond the padding.
        after = tuple(max(last, each - first) for last, each, first in zip(after, total, before, strict=True))
    return Window(kernel=kernel, strides=strides, dilations=dilations, before=before, after=after)


def _weights(draft: Draft, node: Node) -> Reals:
    return draft.reals(node, 1, "the weights")


def _bias(draft: Draft, node: Node, count: int) -> Reals:
    if len(node.inputs) < 3 or not node.inputs[2]:
        return np.zeros(count)
    return np.broadcast_to(draft.reals(node, 2, "the bias").reshape(-1), (count,)).copy()


def _convolution(draft: Draft, node: Node) -> list[Step]:
    weights = _weights(draft, node)
    return [
        Convolution(
            name=node.outputs[0],
            inputs=(node.inputs[0],),
            shape=draft.shape(node.outputs[0]),
            weights=weights,
            bias=_bias(draft, node, weights.shape[0]),
            window=_window(draft, node, weights.shape[2:]),
            groups=whole(node, "group", 1),
        )
    ]


def _transposed_convolution(draft: Draft, node: Node) -> list[Step]:
    weights, groups = _weights(draft, node), whole(node, "group", 1)
    kernel = weights.shape[2:]
    rank = len(kernel)
    if text(node, "auto_pad", "NOTSET") != "NOTSET" or "output_shape" in node.attributes:
        refuse("give the padding of a transposed convolution as pads and output_padding", node.place)
    pads = _listed(node, "pads", (0,) * 2 * rank)
    window = Window(
        kernel=kernel,
        strides=_listed(node, "strides", (1,) * rank),
        dilations=_listed(node, "dilations", (1,) * rank),
        before=pads[:rank],
        after=pads[rank:],
    )
    return [
        Convolution(
            name=node.outputs[0],
            inputs=(node.inputs[0],),
            shape=draft.shape(node.outputs[0]),
            weights=weights,
            bias=_bias(draft, node, weights.shape[1] * groups),
            window=window,
            groups=groups,
            transposed=True,
            output_padding=_listed(node, "output_padding", (0,) * rank),
        )
    ]


def _matrix(draft: Draft, node: Node, source: str, weights: Reals, bias: Reals) -> Matrix:
    return Matrix(
        name=node.outputs[0],
        inputs=(source,),
        shape=draft.shape(node.outputs[0]),
        weights=weights,
        bias=bias,
    )


def _gemm(draft: Draft, node: Node) -> list[Step]:
    if whole(node, "transA", 0):
        refuse("transA is not supported", node.place)
    if node.inputs[0] in draft.constants:
        refuse("the input must be computed and the weights constant", node.place)
    weights = _weights(draft, node) * number(node, "alpha", 1.0)
    weights = weights.T if whole(node, "transB", 0) else weights
    if len(node.inputs) > 2 and draft.shape(node.inputs[2])[:-1] not in ((), (1,)):
        refuse("the addend must be one number per output", node.place)
    bias = _bias(draft, node, weights.shape[1]) * number(node, "beta", 1.0)
    return [_matrix(draft, node, node.inputs[0], weights, bias)]


def _matmul(draft: Draft, node: Node) -> list[Step]:
    """With constant weights a Matrix; with two computed tensors, or a batch of constants, a Product."""
    left, right = node.inputs
    shape = draft.shape(right)
    if len(draft.shape(left)) > 1 and len(shape) == 1 and right in draft.constants:
        made = draft.shape(node.outputs[0])
        wanted = draft.constant("shape", np.array((*made, 1), dtype=np.int64))
        column = draft.extend("Reshape", [node.outputs[0], wanted], (*made, 1)).outputs[0]
        weights = _weights(draft, node).reshape(-1, 1)
        result = Move(name=node.outputs[0], inputs=(column,), shape=made, movement=Movement.RESHAPE)
        return [
            replace(_matrix(draft, node, left, weights, np.zeros(1)), name=column, shape=(*made, 1)),
            result,
        ]
    if len(draft.shape(left)) < 2 or len(shape) < 2:
        refuse("a product with a vector; give the vector a second dimension of 1", node.place)
    if right in draft.constants and all(size == 1 for size in shape[:-2]):
        weights = _weights(draft, node).reshape(shape[-2:])
        return [_matrix(draft, node, left, weights, np.zeros(shape[-1]))]
    steps: list[Step] = []
    inputs = tuple(operand(draft, name, steps) for name in node.inputs)
    terms = draft.shape(left)[-1]
    return [
        *steps,
        Product(name=node.outputs[0], inputs=inputs, shape=draft.shape(node.outputs[0]), terms=terms),
    ]


def _running_sum(draft: Draft, node: Node) -> list[Step]:
    """CumSum along the last dimension: a product with ones on and above the diagonal."""
    shape = draft.shape(node.outputs[0])
    (axis,) = draft.integers(node, 1, "axis") or (0,)
    if axis % len(shape) != len(shape) - 1:
        refuse("sums may run along the last dimension only: transpose before", node.place)
    size = shape[-1]
    if size > _RUN_MAX:
        refuse(f"a running sum of {size} numbers; up to {_RUN_MAX} are possible", node.place)
    weights = np.triu(np.ones((size, size)), whole(node, "exclusive", 0))
    weights = weights.T if whole(node, "reverse", 0) else weights
    return [_matrix(draft, node, node.inputs[0], weights, np.zeros(size))]


def _layer_norm(draft: Draft, node: Node) -> list[Step]:
    shape = draft.shape(node.inputs[0])
    axis = whole(node, "axis", -1) % len(shape)
    trailing = shape[axis:]
    gain = draft.reals(node, 1, "the gain") if len(node.inputs) > 1 else np.ones(())
    bias = draft.reals(node, 2, "the bias") if len(node.inputs) > 2 and node.inputs[2] else np.zeros(())
    return [
        Norm(
            name=node.outputs[0],
            inputs=(node.inputs[0],),
            shape=draft.shape(node.outputs[0]),
            axes=len(trailing),
            centred=node.operator == "LayerNormalization",
            epsilon=number(node, "epsilon", 1e-5),
            gain=_over(gain, trailing, node),
            bias=_over(bias, trailing, node),
        )
    ]


def _over(values: Reals, shape: Shape, node: Node) -> Reals:
    """Spread over the normalised dimensions."""
    while values.ndim > len(shape) and values.shape[0] == 1:
        values = values[0]
    if values.ndim > len(shape):
        refuse("the gain differs along dimensions that are not normalised", node.place)
    return np.broadcast_to(values, shape).copy()


def _softmax(draft: Draft, node: Node) -> list[Step]:
    shape = draft.shape(node.inputs[0])
    old = draft.version < 13
    axis = whole(node, "axis", 1 if old else -1) % len(shape)
    if old:
        # Older operator sets take every dimension from the axis on together.
        together = [at for at in range(axis, len(shape)) if shape[at] > 1]
        if len(together) > 1:
            refuse("a softmax over several dimensions; export with operator set 13 or later", node.place)
        axis = together[0] if together else axis
    return [Softmax(name=node.outputs[0], inputs=(node.inputs[0],), shape=shape, axis=axis)]


def _pool(reduction: Reduction) -> Handler:
    def handle(draft: Draft, node: Node) -> list[Step]:
        if len(node.outputs) > 1:
            refuse("the positions of the greatest are not supported", node.place)
        if whole(node, "storage_order", 0):
            refuse("storage_order is not supported", node.place)
        window = _window(draft, node, _listed(node, "kernel_shape", ()))
        counts = bool(whole(node, "count_include_pad", 0)) or not any(window.before + window.after)
        if reduction is Reduction.MEAN and whole(node, "ceil_mode", 0) and any(window.after):
            refuse("an average with ceil_mode over an incomplete window is not supported", node.place)
        return [
            Pool(
                name=node.outputs[0],
                inputs=(node.inputs[0],),
                shape=draft.shape(node.outputs[0]),
                reduction=reduction,
                window=window,
                counts_padding=counts,
            )
        ]

    return handle


def _reduce(reduction: Reduction) -> Handler:
    def handle(draft: Draft, node: Node) -> list[Step]:
        rank = len(draft.shape(node.inputs[0]))
        axes = draft.integers(node, 1, "axes") or tuple(range(rank))
        return [_reduced(draft, node, reduction, axes, bool(whole(node, "keepdims", 1)))]

    return handle


def _global(reduction: Reduction) -> Handler:
    def handle(draft: Draft, node: Node) -> list[Step]:
        return [_reduced(draft, node, reduction, range(2, len(draft.shape(node.inputs[0]))), True)]

    return handle


def _reduced(draft: Draft, node: Node, reduction: Reduction, axes: range | Shape, keep: bool) -> Reduce:
    rank = len(draft.shape(node.inputs[0]))
    return Reduce(
        name=node.outputs[0],
        inputs=(node.inputs[0],),
        shape=draft.shape(node.outputs[0]),
        reduction=reduction,
        axes=tuple(sorted({axis % rank for axis in axes})),
        keep=keep,
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "AveragePool": _pool(Reduction.MEAN),
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "CumSum": _running_sum,
    "Gemm": _gemm,
    "GlobalAveragePool": _global(Reduction.MEAN),
    "GlobalMaxPool": _global(Reduction.MAX),
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "MaxPool": _pool(Reduction.MAX),
    "RMSNormalization": _layer_norm,
    "ReduceMax": _reduce(Reduction.MAX),
    "ReduceMean": _reduce(Reduction.MEAN),
    "ReduceMin": _reduce(Reduction.MIN),
    "ReduceSum": _reduce(Reduction.SUM),
    "Softmax": _softmax,
}
