"""Steps that only move elements: scales and ranges move with them."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.converter.code import Code
from inference.converter.lowering import Lowering
from inference.converter.program import Move, Movement, Reals, Shape
from inference.converter.rule import Rule, Want

Array = NDArray[Any]


def _lower(lowering: Lowering, step: Move) -> Code:
    if step.movement is Movement.CONCAT:
        return _concat(lowering, step)
    (source,) = step.inputs
    x = lowering.raw(source) if source in lowering.plan.means else lowering.integers(source)
    name = _NODES[step.movement](lowering, step, x)
    known = _known_after(step, x)
    parts = {each: move_values(step, getattr(known, each), x.shape) for each in _JOINED}
    if step.movement is Movement.PAD:
        fill = _fill(step, x)
        parts["low"], parts["high"] = np.minimum(parts["low"], fill), np.maximum(parts["high"], fill)
    return lowering.changed(x, name, shape=step.shape, **parts)


def _known_after(step: Move, x: Code) -> Code:
    """What the prover still knows once the shape is another: limits for each index of a dimension if it
    keeps its size and its place among the elements, else for all.
    """
    ends = (x.step, x.low, x.high)
    axes = {axis for each in ends for axis in _varying(each, len(x.shape))}
    if step.movement is not Movement.RESHAPE or all(_survives(axis, x.shape, step.shape) for axis in axes):
        return x
    return replace(x, step=x.step.min(), low=x.low.min(), high=x.high.max())


def _varying(values: Array, rank: int) -> list[int]:
    return [axis + rank - values.ndim for axis, size in enumerate(values.shape) if size > 1]


def _survives(axis: int, before: Shape, after: Shape) -> bool:
    front = prod(before[:axis])
    return any(size == before[axis] and prod(after[:at]) == front for at, size in enumerate(after))


def _concat(lowering: Lowering, step: Move) -> Code:
    """Parts with scales of their own keep them if every reader can fold them; else all have one."""
    grid = lowering.grid(step.name)
    codes = [lowering.integers(name) for name in step.inputs]
    if grid.uniform:
        codes = [lowering.onto(code, grid, step.name) for code in codes]
    (axis,) = step.arguments["axis"]
    parts = {each: joined([getattr(code, each) for code in codes], codes, axis) for each in _JOINED}
    name = lowering.add("Concat", *(code.name for code in codes), axis=axis)
    return lowering.changed(codes[0], name, shape=step.shape, **parts)


_JOINED: Final = ("scale", "step", "low", "high")


def joined(values: list[Array], codes: list[Any], axis: int) -> Array:
    """Arrays that broadcast against parts, joined along one dimension; of anything with a shape."""
    if len({float(each.reshape(-1)[0]) for each in values}) == 1 and all(each.size == 1 for each in values):
        return values[0]
    full = []
    for each, code in zip(values, codes, strict=True):
        rank = len(code.shape)
        padded = each.reshape((1,) * (rank - each.ndim) + each.shape)
        shape = list(padded.shape)
        shape[axis] = code.shape[axis]
        full.append(np.broadcast_to(padded, shape))
    sizes = np.broadcast_shapes(*(_without(each.shape, axis) for each in full))
    parts = [np.broadcast_to(each, (*sizes[:axis], each.shape[axis], *sizes[axis:])) for each in full]
    return compressed(np.concatenate(parts, axis=axis))


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def move_values(step: Move, values: Array, shape: Shape) -> Array:
    """What broadcasts against the input, moved to broadcast against the result."""
    if values.size == 1:
        return values.reshape(())
    full = np.broadcast_to(values, shape)
    arguments = step.arguments
    match step.movement:
        case Movement.RESHAPE:
            moved = full.reshape(step.shape)
        case Movement.TRANSPOSE:
            moved = full.transpose(arguments["perm"])
        case Movement.SLICE:
            moved = full[_slices(step, len(shape))]
        case Movement.PAD:
            half = len(arguments["pads"]) // 2
            pads = list(zip(arguments["pads"][:half], arguments["pads"][half:], strict=True))
            moved = np.pad(full, pads, mode="edge")
        case Movement.RESIZE:
            moved = full
            for axis, factor in enumerate(arguments["scales"]):
                moved = np.repeat(moved, factor, axis=axis)
        case Movement.GATHER:
            moved = np.take(full, arguments["indices"], axis=arguments["axis"][0]).reshape(step.shape)
        case _:
            moved = full
    return compressed(moved)


def compressed(values: Array) -> Array:
    """Without the dimensions along which nothing varies."""
    for axis in range(values.ndim):
        first = np.take(values, [0], axis=axis)
        if (values == first).all():
            values = first
    return values.reshape(()) if values.size == 1 else values


def _slices(step: Move, rank: int) -> tuple[slice, ...]:
    found = [slice(None)] * rank
    arguments = step.arguments
    each = zip(*(arguments[name] for name in ("starts", "ends", "axes", "steps")), strict=True)
    for start, end, axis, stride in each:
        found[axis] = slice(start, end, stride)
    return tuple(found)


def _fill(step: Move, x: Code) -> float:
    return float(np.rint(step.fill / float(x.scale.reshape(-1)[0])))


def _whole(values: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _reshape(lowering: Lowering, step: Move, x: Code) -> str:
    return lowering.add("Reshape", x.name, lowering.constant(_whole(step.shape)))


def _transpose(lowering: Lowering, step: Move, x: Code) -> str:
    return lowering.add("Transpose", x.name, perm=step.arguments["perm"])


def _slice(lowering: Lowering, step: Move, x: Code) -> str:
    names = ("starts", "ends", "axes", "steps")
    parts = [lowering.constant(_whole(step.arguments[name])) for name in names]
    return lowering.add("Slice", x.name, *parts)


def _pad(lowering: Lowering, step: Move, x: Code) -> str:
    """The padding is the integer nearest to what the float model pads with."""
    if step.fill and x.scale.size > 1:
        lowering.refuse(step.name, "padding with another number than 0 needs one scale", "pad with 0")
    fill = lowering.constant(np.array(_fill(step, x)))
    return lowering.add("Pad", x.name, lowering.constant(_whole(step.arguments["pads"])), fill)


def _resize(lowering: Lowering, step: Move, x: Code) -> str:
    scales = lowering.constant(np.array(step.arguments["scales"], dtype=np.float64))
    return lowering.add(
        "Resize",
        x.name,
        "",
        scales,
        coordinate_transformation_mode=b"asymmetric",
        mode=b"nearest",
        nearest_mode=b"floor",
    )


def _gather(lowering: Lowering, step: Move, x: Code) -> str:
    """Perhaps with the dimension left out."""
    indices, (axis,) = step.arguments["indices"], step.arguments["axis"]
    name = looked_up(lowering, x.name, indices, axis)
    if len(step.shape) == len(x.shape):
        return name
    return lowering.add("Reshape", name, lowering.constant(_whole(step.shape)))


def looked_up(lowering: Lowering, name: str, indices: tuple[int, ...], axis: int) -> str:
    """Elements along a dimension; neighbours are a slice."""
    if indices != tuple(range(indices[0], indices[0] + len(indices))):
        return lowering.add("Gather", name, lowering.constant(_whole(indices)), axis=axis)
    ends = (_whole((indices[0],)), _whole((indices[-1] + 1,)), _whole((axis,)), _whole((1,)))
    return lowering.add("Slice", name, *(lowering.constant(each) for each in ends))


def _identity(lowering: Lowering, step: Move, x: Code) -> str:
    return x.name


_NODES: Final[dict[Movement, Callable[[Lowering, Move, Code], str]]] = {
    Movement.GATHER: _gather,
    Movement.IDENTITY: _identity,
    Movement.PAD: _pad,
    Movement.RESHAPE: _reshape,
    Movement.RESIZE: _resize,
    Movement.SLICE: _slice,
    Movement.TRANSPOSE: _transpose,
}


def _wants(step: Move, index: int) -> Want:
    """A number other than zero can only be padded with in one scale."""
    return Want(follows=not (step.movement is Movement.PAD and step.fill))


def _ties(step: Move) -> tuple[int, ...]:
    """The parts of a concatenation are tied, if at all, by the allocation."""
    return () if step.movement is Movement.CONCAT else (0,)


def moved_scale(step: Move, scale: Reals, shape: Shape) -> Reals:
    """The scale of a moved tensor."""
    moved: Reals = move_values(step, scale, shape)
    return moved


MOVE: Final = Rule(lower=_lower, wants=_wants, ties=_ties)
