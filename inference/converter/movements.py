"""From nodes that move elements to steps."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Final

import numpy as np

from inference.converter.draft import Draft, text, whole
from inference.converter.program import Move, Movement, Shape, Step, Table
from inference.converter.regions import operand
from inference.graph import Node
from inference.refusal import refuse

Handler = Callable[[Draft, Node], list[Step]]


def move(
    draft: Draft, name: str, source: str, movement: Movement, fill: float = 0.0, **arguments: tuple[int, ...]
) -> Move:
    """One tensor, moved."""
    return Move(
        name=name,
        inputs=(source,),
        shape=draft.shape(name),
        movement=movement,
        arguments=arguments,
        fill=fill,
    )


def _reshape(draft: Draft, node: Node) -> list[Step]:
    return [move(draft, node.outputs[0], node.inputs[0], Movement.RESHAPE)]


def _transpose(draft: Draft, node: Node) -> list[Step]:
    rank = len(draft.shape(node.inputs[0]))
    order = draft.integers(node, 1, "perm") or tuple(range(rank))[::-1]
    return [move(draft, node.outputs[0], node.inputs[0], Movement.TRANSPOSE, perm=order)]


def _slice(draft: Draft, node: Node) -> list[Step]:
    """Bounds are made to lie within the tensor."""
    shape = draft.shape(node.inputs[0])
    starts, ends = draft.integers(node, 1, "starts") or (), draft.integers(node, 2, "ends") or ()
    axes = draft.integers(node, 3, "axes") or tuple(range(len(starts)))
    strides = draft.integers(node, 4, "steps") or (1,) * len(starts)
    if min(strides) < 1:
        refuse("slicing backwards is not supported", node.place)
    axes = tuple(axis % len(shape) for axis in axes)
    bounds = [
        slice(start, end, step).indices(shape[axis])
        for axis, start, end, step in zip(axes, starts, ends, strides, strict=True)
    ]
    return [
        move(
            draft,
            node.outputs[0],
            node.inputs[0],
            Movement.SLICE,
            starts=tuple(start for start, _, _ in bounds),
            ends=tuple(end for _, end, _ in bounds),
            axes=axes,
            steps=tuple(step for _, _, step in bounds),
        )
    ]


def _split(draft: Draft, node: Node) -> list[Step]:
    axis = whole(node, "axis", 0) % len(draft.shape(node.inputs[0]))
    steps: list[Step] = []
    start = 0
    for name in node.outputs:
        end = start + draft.shape(name)[axis]
        steps.append(
            move(
                draft,
                name,
                node.inputs[0],
                Movement.SLICE,
                starts=(start,),
                ends=(end,),
                axes=(axis,),
                steps=(1,),
            )
        )
        start = end
    return steps


def _concat(draft: Draft, node: Node) -> list[Step]:
    steps: list[Step] = []
    inputs = tuple(operand(draft, name, steps) for name in node.inputs)
    shape = draft.shape(node.outputs[0])
    axis = whole(node, "axis", 1) % len(shape)
    made = Move(
        name=node.outputs[0],
        inputs=inputs,
        shape=shape,
        movement=Movement.CONCAT,
        arguments={"axis": (axis,)},
    )
    return [*steps, made]


def _gather(draft: Draft, node: Node) -> list[Step]:
    """By constant indices, or rows of a constant table by computed indices."""
    data, indices = node.inputs[:2]
    name, axis = node.outputs[0], whole(node, "axis", 0)
    if indices in draft.constants:
        size = draft.shape(data)[axis]
        chosen = tuple(int(index) % size for index in draft.constants[indices].reshape(-1))
        axis %= len(draft.shape(data))
        return [move(draft, name, data, Movement.GATHER, axis=(axis,), indices=chosen)]
    if axis or data not in draft.constants or draft.dtype(data) not in ("float32", "float64"):
        refuse("only rows of a constant table can be looked up by what is computed", node.place)
    rows = draft.reals(node, 0, "the rows")
    return [Table(name=name, inputs=(indices,), shape=draft.shape(name), rows=rows)]


def _gather_all(draft: Draft, node: Node) -> list[Step]:
    """GatherND by constant indices along one dimension, the others that they name having one element.

    So PyTorch's exporter takes the mask of a single text.
    """
    data, indices = node.inputs
    if indices not in draft.constants or whole(node, "batch_dims", 0):
        refuse("only constant indices are supported here", node.place)
    chosen, shape = draft.constants[indices], draft.shape(data)
    axes = [axis for axis in range(chosen.shape[-1]) if shape[axis] > 1] or [0]
    if len(axes) > 1:
        refuse("indices of several dimensions at once; choose along one", node.place)
    (axis,) = axes
    along = tuple(int(index) % shape[axis] for index in chosen[..., axis].reshape(-1))
    return [move(draft, node.outputs[0], data, Movement.GATHER, axis=(axis,), indices=along)]


def _gather_each(draft: Draft, node: Node) -> list[Step]:
    """GatherElements by constant indices: a gathering from what the dimensions that they differ along hold.

    So transformers take the scores of relative positions.
    """
    data, indices = node.inputs
    if indices not in draft.constants:
        refuse("only constant indices are supported here", node.place)
    shape, chosen = draft.shape(data), draft.constants[indices]
    axis = whole(node, "axis", 0) % len(shape)
    lead = 0
    while lead < axis and chosen.shape[0] == shape[lead] and (chosen == chosen[:1]).all():
        # The same for each index of a leading dimension.
        chosen, lead = chosen[0], lead + 1
    inner = shape[lead:]
    places = np.indices(chosen.shape)
    places[axis - lead] = chosen % shape[axis]
    flat = tuple(int(at) for at in np.ravel_multi_index(tuple(places), inner).reshape(-1))
    steps: list[Step] = []
    rows = (prod(shape[:lead]), prod(inner))
    source = _respelled(draft, steps, data, rows, node)
    columns = draft.constant("indices", np.array(flat, dtype=np.int64))
    found = draft.extend("Gather", [source, columns], (rows[0], len(flat)), {"axis": 1}).outputs[0]
    steps.append(move(draft, found, source, Movement.GATHER, axis=(1,), indices=flat))
    _respelled(draft, steps, found, draft.shape(node.outputs[0]), node, last=True)
    return steps


def _repeat(draft: Draft, node: Node) -> list[Step]:
    """Expand and Tile: one gathering for each axis that grows."""
    source, wanted = node.inputs[0], draft.shape(node.outputs[0])
    shape = draft.shape(source)
    aligned = (1,) * (len(wanted) - len(shape)) + shape
    grown = [at for at, size in enumerate(wanted) if size != aligned[at]]
    steps: list[Step] = []
    if shape != aligned or not grown:
        source = _respelled(draft, steps, source, aligned, node, last=not grown)
    shape = aligned
    for axis in grown:
        indices = tuple(at % shape[axis] for at in range(wanted[axis]))
        shape = (*shape[:axis], wanted[axis], *shape[axis + 1 :])
        if axis == grown[-1]:
            name = node.outputs[0]
        else:
            indices_name = draft.constant("indices", np.array(indices, dtype=np.int64))
            name = draft.extend("Gather", [source, indices_name], shape, {"axis": axis}).outputs[0]
        steps.append(move(draft, name, source, Movement.GATHER, axis=(axis,), indices=indices))
        source = name
    return steps


def _respelled(
    draft: Draft, steps: list[Step], source: str, shape: Shape, node: Node, last: bool = False
) -> str:
    """`source` in another shape: as the result of `node` if that is all it does."""
    name = node.outputs[0] if last else _reshaped(draft, source, shape)
    steps.append(move(draft, name, source, Movement.RESHAPE))
    return name


def _reshaped(draft: Draft, source: str, shape: Shape) -> str:
    """A new tensor in the folded file."""
    wanted = draft.constant("shape", np.array(shape, dtype=np.int64))
    return draft.extend("Reshape", [source, wanted], shape).outputs[0]


def _depth_to_space(draft: Draft, node: Node) -> list[Step]:
    batch, channels, height, width = draft.shape(node.inputs[0])
    block = whole(node, "blocksize", 1)
    depth = channels // block**2
    columns_first = text(node, "mode", "DCR") == "CRD"
    pieces = (batch, depth, block, block) if columns_first else (batch, block, block, depth)
    order = (0, 1, 4, 2, 5, 3) if columns_first else (0, 3, 4, 1, 5, 2)
    steps: list[Step] = []
    shape = (*pieces, height, width)
    assert prod(shape) == prod(draft.shape(node.inputs[0]))
    source = _respelled(draft, steps, node.inputs[0], shape, node)
    moved = draft.extend("Transpose", [source], tuple(shape[at] for at in order), {"perm": order}).outputs[0]
    steps.append(move(draft, moved, source, Movement.TRANSPOSE, perm=order))
    _respelled(draft, steps, moved, draft.shape(node.outputs[0]), node, last=True)
    return steps


def _features(draft: Draft, node: Node) -> list[Step]:
    """ArrayFeatureExtractor: columns by constant indices."""
    if node.inputs[1] not in draft.constants:
        refuse("the features must be chosen by constants", node.place)
    axis = len(draft.shape(node.inputs[0])) - 1
    chosen = tuple(int(index) for index in draft.constants[node.inputs[1]].reshape(-1))
    name = node.outputs[0]
    return [move(draft, name, node.inputs[0], Movement.GATHER, axis=(axis,), indices=chosen)]


HANDLERS: Final[Mapping[str, Handler]] = {
    "ArrayFeatureExtractor": _features,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _repeat,
    "FeatureVectorizer": _concat,
    "Flatten": _reshape,
    "Gather": _gather,
    "GatherElements": _gather_each,
    "GatherND": _gather_all,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Tile": _repeat,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
