"""From resizing, and padding by what is there, to steps: weights and choices along one axis each."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from inference.converter.draft import Draft, number, text, whole
from inference.converter.movements import move
from inference.converter.program import Integers, Matrix, Move, Movement, Reals, Step
from inference.graph import Node
from inference.refusal import refuse

Handler = Callable[[Draft, Node], list[Step]]

_PADS: Final = ("edge", "reflect", "wrap")

SIDE_MAX: Final = 4096
"""Longest side that is resized by weights: a row of them for each element."""


def _pad(draft: Draft, node: Node) -> list[Step]:
    mode = text(node, "mode", "constant")
    if mode not in ("constant", *_PADS):
        refuse(f"padding by {mode} is not supported; pad with a constant", node.place)
    given, rank = draft.integers(node, 1, "pads") or (), len(draft.shape(node.inputs[0]))
    axes = tuple(axis % rank for axis in draft.integers(node, 3, "axes") or range(rank))
    pads = [0] * (2 * rank)
    for at, axis in enumerate(axes):
        pads[axis], pads[rank + axis] = given[at], given[len(axes) + at]
    if min(pads) < 0:
        refuse("negative padding is not supported; slice instead", node.place)
    if mode in _PADS:
        shape = draft.shape(node.inputs[0])
        choices = {
            axis: _padded(shape[axis], pads[axis], pads[rank + axis], mode)
            for axis in range(rank)
            if pads[axis] or pads[rank + axis]
        }
        return _chosen(draft, node, choices)
    fill = number(node, "value", 0.0)
    if len(node.inputs) > 2 and node.inputs[2]:
        fill = float(draft.reals(node, 2, "the padding").reshape(-1)[0])
    return [move(draft, node.outputs[0], node.inputs[0], Movement.PAD, fill, pads=tuple(pads))]


def _padded(size: int, before: int, after: int, mode: str) -> Integers:
    """Which elements a padded axis has."""
    every = np.arange(size)
    if mode == "edge":
        return np.clip(np.arange(-before, size + after), 0, size - 1)
    return np.pad(every, (before, after), mode="reflect" if mode == "reflect" else "wrap")


def _chosen(draft: Draft, node: Node, choices: Mapping[int, Integers]) -> list[Step]:
    """Some elements along each of some axes."""
    source, shape = node.inputs[0], list(draft.shape(node.inputs[0]))
    steps: list[Step] = []
    for axis, indices in choices.items():
        shape[axis] = len(indices)
        name = node.outputs[0]
        if len(steps) + 1 < len(choices):
            given = draft.constant("indices", indices)
            name = draft.extend("Gather", [source, given], tuple(shape), {"axis": axis}).outputs[0]
        chosen = tuple(indices.tolist())
        steps.append(move(draft, name, source, Movement.GATHER, axis=(axis,), indices=chosen))
        source = name
    return steps or [move(draft, node.outputs[0], source, Movement.IDENTITY)]


def _resize(draft: Draft, node: Node) -> list[Step]:
    """By whole factors a Resize; else nearest neighbours are chosen, and lines between them are weights."""
    before, after = draft.shape(node.inputs[0]), draft.shape(node.outputs[0])
    mode, coordinates = text(node, "mode", "nearest"), _coordinates(draft, node)
    if mode not in ("linear", "nearest"):
        refuse(f"resizing by {mode} is not supported; use linear or nearest", node.place)
    if whole(node, "antialias", 0) or "axes" in node.attributes or coordinates == "tf_crop_and_resize":
        refuse(f"resizing with antialias, axes or {coordinates} is not supported", node.place)
    if mode == "nearest" and _repeats(draft, node):
        factors = tuple(new // old for new, old in zip(after, before, strict=True))
        return [move(draft, node.outputs[0], node.inputs[0], Movement.RESIZE, scales=factors)]
    changed = [axis for axis, size in enumerate(before) if size != after[axis]]
    places = {axis: _places(draft, node, axis) for axis in changed}
    if mode == "nearest":
        return _chosen(draft, node, {axis: _nearest(draft, node, axis, places[axis]) for axis in changed})
    if max((after[axis] for axis in changed), default=0) > SIDE_MAX:
        refuse(f"a side of more than {SIDE_MAX} is resized; use nearest", node.place)
    return _interpolated(draft, node, {axis: _lines(before[axis], places[axis]) for axis in changed})


def _coordinates(draft: Draft, node: Node) -> str:
    """Before operator set 11 there was one way."""
    if node.operator == "Upsample" or draft.version < 11:
        return "asymmetric"
    return text(node, "coordinate_transformation_mode", "half_pixel")


def _scales(draft: Draft, node: Node) -> Reals | None:
    given = draft.constants.get((*node.inputs, "", "")[1 if _inputs(draft, node) == 2 else 2])
    return given.astype(np.float64) if given is not None and given.size else None


def _inputs(draft: Draft, node: Node) -> int:
    """How many inputs the operator has at most: before operator set 11 there was no region of interest."""
    return 2 if node.operator == "Upsample" or draft.version < 11 else 4


def _repeats(draft: Draft, node: Node) -> bool:
    """Whether every element is repeated as often, in every way to round and to align."""
    before, after = draft.shape(node.inputs[0]), draft.shape(node.outputs[0])
    factors = [new / old for new, old in zip(after, before, strict=True)]
    scales = _scales(draft, node)
    coordinates = _coordinates(draft, node)
    rounding = text(node, "nearest_mode", "round_prefer_floor")
    old = node.operator == "Upsample" or draft.version < 11
    plain = old or (coordinates == "asymmetric" and rounding == "floor")
    centred = coordinates in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
    whole_factors = all(factor.is_integer() for factor in factors)
    return (plain or centred) and whole_factors and (scales is None or scales.tolist() == factors)


def _places(draft: Draft, node: Node, axis: int) -> Reals:
    """Where each element of the result lies along an axis of the input, as onnxruntime reckons in float32."""
    old, new = draft.shape(node.inputs[0])[axis], draft.shape(node.outputs[0])[axis]
    scales = _scales(draft, node)
    scale = np.float32(new / old if scales is None else scales[axis])
    every = np.arange(new, dtype=np.float32)
    match _coordinates(draft, node):
        case "align_corners":
            places = every * np.float32(old - 1) / np.float32(max(new - 1, 1))
        case "asymmetric":
            places = every / scale
        case "pytorch_half_pixel" if new == 1:
            places = np.zeros(1, dtype=np.float32)
        case _:
            places = (every + np.float32(0.5)) / scale - np.float32(0.5)
    return places.astype(np.float64)


def _nearest(draft: Draft, node: Node, axis: int, places: Reals) -> Integers:
    rounding = "floor" if draft.version < 11 else text(node, "nearest_mode", "round_prefer_floor")
    chosen = {
        "ceil": np.ceil(places),
        "floor": np.floor(places),
        "round_prefer_ceil": np.floor(places + 0.5),
        "round_prefer_floor": np.ceil(places - 0.5),
    }.get(rounding)
    if chosen is None:
        refuse(f"rounding by {rounding} is not supported", node.place)
    return np.clip(chosen, 0, draft.shape(node.inputs[0])[axis] - 1).astype(np.int64)


def _lines(size: int, places: Reals) -> Reals:
    """weights[old, new]: the two nearest elements by how near they are; beyond the ends, the end."""
    inside = np.clip(places, 0, size - 1)
    below = np.floor(inside).astype(np.int64)
    weights = np.zeros((size, len(places)))
    columns = np.arange(len(places))
    np.add.at(weights, (below, columns), 1 - (inside - below))
    np.add.at(weights, (np.minimum(below + 1, size - 1), columns), inside - below)
    return weights


def _interpolated(draft: Draft, node: Node, weights: Mapping[int, Reals]) -> list[Step]:
    """A product with a matrix along each axis, which is moved to the end for that."""
    source, last = node.inputs[0], len(draft.shape(node.inputs[0])) - 1
    steps: list[Step] = []
    for axis in sorted(weights, reverse=True):
        end = axis == min(weights)
        order = [*range(last + 1)]
        order[axis], order[last] = last, axis
        perm = tuple(order)
        if axis != last:
            source = _transposed(draft, steps, source, perm)
        shape = (*draft.shape(source)[:-1], weights[axis].shape[1])
        if end and axis == last:
            name = node.outputs[0]
        else:
            constant = draft.constant("weights", weights[axis].astype(draft.dtype(source)))
            name = draft.extend("MatMul", [source, constant], shape).outputs[0]
        bias = np.zeros(shape[-1])
        steps.append(Matrix(name=name, inputs=(source,), shape=shape, weights=weights[axis], bias=bias))
        source = name
        if axis != last and not end:
            source = _transposed(draft, steps, source, perm)
        elif axis != last:
            steps.append(move(draft, node.outputs[0], source, Movement.TRANSPOSE, perm=perm))
    return steps or [move(draft, node.outputs[0], source, Movement.IDENTITY)]


def _transposed(draft: Draft, steps: list[Step], source: str, perm: tuple[int, ...]) -> str:
    shape = tuple(draft.shape(source)[at] for at in perm)
    name = draft.extend("Transpose", [source], shape, {"perm": perm}).outputs[0]
    steps.append(
        Move(name=name, inputs=(source,), shape=shape, movement=Movement.TRANSPOSE, arguments={"perm": perm})
    )
    return name


HANDLERS: Final[Mapping[str, Handler]] = {"Pad": _pad, "Resize": _resize, "Upsample": _resize}
