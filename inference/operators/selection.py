"""Operators that choose elements, or put tensors together."""

from collections.abc import Sequence
from math import prod
from typing import Final

from inference.bounds import Bounds, Cell, along, union
from inference.graph import PORTS_MAX
from inference.operators.broadcasting import grouped
from inference.operators.constants import CHANNELS_MAX, ensure_channels, scalar
from inference.operators.rule import REQUIRED, Application, Rule, Value
from inference.operators.weights import Weights
from inference.tensor import ELEMENTS_MAX, ITEM_BYTES, RANK_MAX, integers

FACTOR_MAX: Final = 64
"""Greatest factor of a Resize."""

RESIZED_MAX: Final = 65_536
"""Longest dimension that a Resize makes: engines compute its indices in float32."""


def _slice(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    lists = [application.whole_numbers(at, most=RANK_MAX) for at in range(1, len(application.inputs))]
    if len({len(each) for each in lists}) != 1:
        application.refuse("starts, ends, axes and steps differ in length")
    starts, ends, axes = lists[:3]
    steps = lists[3] if len(lists) > 3 else (1,) * len(starts)
    if any(step < 1 for step in steps):
        application.refuse("steps must be 1 or more")
    application.dimensions(axes, len(x.shape))
    shape, bounds = list(x.shape), x.bounds
    for axis, *limits in zip(axes, starts, ends, steps, strict=True):
        at = application.dimension(axis, len(shape))
        indices = range(*slice(*limits).indices(shape[at]))
        if not indices:
            application.refuse(f"nothing is left of dimension {at}")
        shape[at] = len(indices)
        bounds = _chosen(application, bounds, at, indices)
    return (Value(x.dtype, tuple(shape), bounds),)


def _chosen(application: Application, bounds: Bounds, axis: int, indices: Sequence[int]) -> Bounds:
    """The bounds after the elements at some indices of a dimension were taken."""
    if bounds.axis != axis:
        application.work.spend_cells(len(bounds.cells))
        return bounds
    ensure_channels(len(indices), application)
    application.work.spend_cells(len(indices))
    return along(axis, [bounds.cells[index] for index in indices])


def _split(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    axis = application.axis("axis", len(x.shape))
    sizes = application.whole_numbers(1, most=PORTS_MAX)
    if any(size < 1 for size in sizes) or sum(sizes) != x.shape[axis]:
        application.refuse(f"parts {list(sizes)} do not make up dimension {axis} of {list(x.shape)}")
    parts, start = [], 0
    for size in sizes:
        bounds = _chosen(application, x.bounds, axis, range(start, start + size))
        parts.append(Value(x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1 :]), bounds))
        start += size
    return tuple(parts)


def _concat(application: Application) -> tuple[Value, ...]:
    """Constants among the parts are welcome, but one part must be computed."""
    parts = [value for value in application.inputs if value is not None]
    if len(parts) != len(application.inputs) or all(part.constant is not None for part in parts):
        application.refuse("every input must be there, and one of them computed")
    for index, part in enumerate(parts):
        if part.constant is None:
            application.computed(index, *ITEM_BYTES)
    first = parts[0]
    axis = application.axis("axis", len(first.shape))
    for part in parts:
        if part.dtype != first.dtype or _without(part.shape, axis) != _without(first.shape, axis):
            application.refuse(
                f"{part.dtype}{list(part.shape)} cannot follow {first.dtype}{list(first.shape)}"
            )
    size = sum(part.shape[axis] for part in parts)
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    application.ensure_shape(shape)
    other = next((part.bounds.axis for part in parts if part.bounds.axis not in (None, axis)), axis)
    return (Value(first.dtype, shape, _joined(application, parts, axis, other, size)),)


def _without(shape: Sequence[int], axis: int) -> list[int]:
    return [size for at, size in enumerate(shape) if at != axis]


def _joined(
    application: Application, parts: Sequence[Value], axis: int, cells_axis: int, size: int
) -> Bounds:
    """The bounds of parts in a row: along the dimension they are joined in, unless one has them elsewhere."""
    if cells_axis != axis:
        count = parts[0].shape[cells_axis]
        application.work.spend_cells(count * len(parts))
        columns = [_cells(application, part, cells_axis) for part in parts]
        return along(cells_axis, [union(each) for each in zip(*columns, strict=True)])
    alike = {part.bounds for part in parts}
    if len(alike) == 1 and parts[0].bounds.cells and parts[0].bounds.axis is None:
        return parts[0].bounds
    if size > CHANNELS_MAX:
        return Bounds((union(_whole(application, part) for part in parts),))
    application.work.spend_cells(size)
    return along(axis, [cell for part in parts for cell in _cells(application, part, axis)])


def _whole(application: Application, part: Value) -> Cell:
    if part.constant is None:
        return part.bounds.whole()
    return Weights(part.constant, application).cell(slice(None))


def _cells(application: Application, part: Value, axis: int) -> Sequence[Cell]:
    if part.constant is None:
        return part.bounds.at(axis, part.shape[axis])
    return grouped(application, part, axis)


def _pad(application: Application) -> tuple[Value, ...]:
    """With a constant, before and after each dimension."""
    x = application.computed(0, "float32", "float64", "int8", "uint8", "int32", "int64")
    if application.text("mode") != b"constant":
        application.refuse("the mode must be constant")
    pads = application.whole_numbers(1, most=2 * RANK_MAX)
    rank = len(x.shape)
    if len(pads) != 2 * rank or any(not 0 <= pad <= ELEMENTS_MAX for pad in pads):
        application.refuse(f"pads must be {2 * rank} numbers of 0 or more")
    fill = scalar(2, x.dtype, application)
    shape = tuple(pads[axis] + size + pads[rank + axis] for axis, size in enumerate(x.shape))
    application.ensure_shape(shape)
    bounds = _padded(application, x, pads, fill, shape)
    return (Value(x.dtype, shape, application.fitting(bounds, x.dtype)),)


def _padded(
    application: Application, x: Value, pads: Sequence[int], fill: Cell, shape: tuple[int, ...]
) -> Bounds:
    """Where all padding is along the dimension of the cells, it gets cells of its own."""
    axis, rank = x.bounds.axis, len(x.shape)
    before, after = (pads[axis], pads[rank + axis]) if axis is not None else (0, 0)
    filled = (lambda cell: union([cell, fill])) if sum(pads) > before + after else _same
    application.work.spend_cells(len(x.bounds.cells) + before + after)
    if axis is None or not before + after:
        return x.bounds.mapped(filled)
    ensure_channels(shape[axis], application)
    return along(axis, [fill] * before + [filled(cell) for cell in x.bounds.cells] + [fill] * after)


def _same(cell: Cell) -> Cell:
    return cell


def _gather(application: Application) -> tuple[Value, ...]:
    data = application.inputs[0]
    if data is not None and data.constant is not None:
        return _looked_up(application)
    return _taken(application)


def _taken(application: Application) -> tuple[Value, ...]:
    """The elements of a computed tensor at constant indices of one dimension."""
    x = application.computed(0, *ITEM_BYTES)
    axis = application.axis("axis", len(x.shape))
    tensor = application.constant(1, "int64", "int32")
    if prod(tensor.shape) > CHANNELS_MAX:
        application.refuse(f"more than {CHANNELS_MAX} indices")
    application.work.spend(prod(tensor.shape))
    indices = integers(tensor)
    size = x.shape[axis]
    if any(not -size <= index < size for index in indices):
        application.refuse(f"an index is outside dimension {axis}, which has {size}")
    shape = (*x.shape[:axis], *tensor.shape, *x.shape[axis + 1 :])
    application.ensure_shape(shape)
    bounds = x.bounds
    if bounds.axis == axis and len(tensor.shape) != 1:
        bounds = bounds.single()
    elif bounds.axis is not None and bounds.axis > axis:
        bounds = bounds.moved(bounds.axis + len(tensor.shape) - 1)
    else:
        bounds = _chosen(application, bounds, axis, [index % size for index in indices])
    return (Value(x.dtype, shape, bounds),)


def _looked_up(application: Application) -> tuple[Value, ...]:
    """Rows of a constant table at computed indices, which are proved to be rows of it."""
    table, indices = application.constant(0, *ITEM_BYTES), application.computed(1, "int64", "int32")
    if not table.shape or application.integer("axis") != 0:
        application.refuse("a table is looked up along its dimension 0")
    used = _rows(application, indices.bounds.whole().at(0), table.shape[0])
    shape = (*indices.shape, *table.shape[1:])
    application.ensure_shape(shape)
    width = prod(table.shape[1:])
    weights = Weights(table, application)
    if len(table.shape) != 2:
        cells = [weights.cell(slice(rows.start * width, rows.stop * width)) for rows in used]
        bounds = Bounds((union(cells),))
    else:
        ensure_channels(width, application)
        application.work.spend_cells(width)
        columns = (
            union(weights.cell(slice(rows.start * width + column, rows.stop * width, width)) for rows in used)
            for column in range(width)
        )
        bounds = along(len(shape) - 1, list(columns))
    return (Value(table.dtype, shape, application.fitting(bounds, table.dtype)),)


def _rows(application: Application, indices: Cell, count: int) -> list[range]:
    """The rows of a table that such indices choose: those below 0 count from its end."""
    if indices.low < -count or indices.high >= count:
        application.refuse(f"indices from {indices.low} to {indices.high} leave a table of {count} rows")
    found = [range(max(indices.low, 0), indices.high + 1)]
    if indices.low < 0:
        found.append(range(count + indices.low, count + min(indices.high, -1) + 1))
    return [rows for rows in found if rows]


def _elements(application: Application) -> tuple[Value, ...]:
    """Of a table of one dimension at as many indices as there are: a Gather, which engines do faster."""
    if len(application.constant(0, *ITEM_BYTES).shape) != 1:
        application.refuse("the table has one dimension")
    if len(application.computed(1, "int64", "int32").shape) != 1:
        application.refuse("the indices have one dimension")
    return _looked_up(application)


def _resize(application: Application) -> tuple[Value, ...]:
    """Each element repeated a whole number of times along the dimensions after the second."""
    x = application.computed(0, "float32", "int8", "uint8", "int32")
    wanted = {"coordinate_transformation_mode": b"asymmetric", "mode": b"nearest", "nearest_mode": b"floor"}
    for name, value in wanted.items():
        if application.text(name) != value:
            application.refuse(f"{name} must be {value.decode()}")
    if application.inputs[1] is not None:
        application.refuse("a Resize takes no region")
    tensor = application.constant(2, "float32")
    if tensor.shape != (len(x.shape),) or len(x.shape) not in (3, 4):
        application.refuse("a Resize takes 3 or 4 dimensions, and a factor for each")
    cells = [Weights(tensor, application).cell(slice(at, at + 1)) for at in range(len(x.shape))]
    factors = [cell.at(0).low if cell.step >= 0 else 0 for cell in cells]
    if factors[:2] != [1, 1] or not all(1 <= factor <= FACTOR_MAX for factor in factors):
        application.refuse(f"factors must be 1, 1 and whole numbers from 1 to {FACTOR_MAX}")
    if not all(map(_divides_alike, factors)):
        application.refuse(
            "a factor's reciprocal in float32 is below the true one: engines differ in its floor"
        )
    shape = tuple(size * factor for size, factor in zip(x.shape, factors, strict=True))
    application.ensure_shape(shape)
    if max(shape[2:]) > RESIZED_MAX:
        application.refuse(f"a resized dimension is longer than {RESIZED_MAX}")
    application.work.spend_cells(len(x.bounds.cells))
    return (Value(x.dtype, shape, x.bounds if x.bounds.axis in (0, 1) else x.bounds.single()),)


def _divides_alike(factor: int) -> bool:
    """Whether engines that multiply by 1 / factor in float32, not divide, find the same floor: 1 / factor is
    not rounded down.
    """
    bits = 23 + factor.bit_length()
    rest = (1 << bits) % factor
    return rest == 0 or 2 * rest > factor


RULES = {
    "Concat": Rule(arity=range(1, PORTS_MAX + 1), attributes={"axis": (int, REQUIRED)}, apply=_concat),
    "Gather": Rule(arity=range(2, 3), attributes={"axis": (int, 0)}, apply=_gather),
    "GatherElements": Rule(arity=range(2, 3), attributes={"axis": (int, 0)}, apply=_elements),
    "Pad": Rule(arity=range(3, 4), attributes={"mode": (bytes, b"constant")}, apply=_pad),
    "Resize": Rule(
        arity=range(3, 4),
        attributes={
            "coordinate_transformation_mode": (bytes, REQUIRED),
            "mode": (bytes, REQUIRED),
            "nearest_mode": (bytes, REQUIRED),
        },
        apply=_resize,
    ),
    "Slice": Rule(arity=range(4, 6), attributes={}, apply=_slice),
    "Split": Rule(arity=range(2, 3), attributes={"axis": (int, 0)}, apply=_split),
}
