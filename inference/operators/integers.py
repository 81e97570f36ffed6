"""Cast, and the operators that rank scores: ArgMax and TopK."""

from typing import Final

from inference.bounds import Bounds, Cell
from inference.operators import rounded
from inference.operators.rule import REQUIRED, Application, Rule, Value
from inference.schema import ELEMENT_CODES
from inference.tensor import INTEGER_RANGES, ITEM_BYTES

_CAST_TO: Final = {ELEMENT_CODES[name]: name for name in ITEM_BYTES}


def _cast(application: Application) -> tuple[Value, ...]:
    x = application.computed(0, *ITEM_BYTES)
    to = _CAST_TO.get(application.integer("to"))
    if to is None:
        application.refuse(f"a Cast to element type {application.integer('to')} is not allowed")
    application.work.spend_cells(len(x.bounds.cells))
    bounds = application.fitting(x.bounds, to)
    return (Value(to, x.shape, bounds.mapped(lambda cell: cell.at(0)) if to in INTEGER_RANGES else bounds),)


def _argmax(application: Application) -> tuple[Value, ...]:
    """The index of the greatest, the lowest such index in a tie. The prover sees that the scores are an
    output."""
    x = application.computed(0, "int32", "int64")
    if application.integer("select_last_index") != 0 or application.integer("keepdims") not in (0, 1):
        application.refuse("select_last_index must be 0, and keepdims 0 or 1")
    if not x.shape:
        application.refuse("a single number has no greatest index")
    axis = application.axis("axis", len(x.shape))
    kept = (1,) if application.integer("keepdims") else ()
    shape = (*x.shape[:axis], *kept, *x.shape[axis + 1 :])
    return (Value("int64", shape, Bounds((Cell(0, 0, x.shape[axis] - 1),))),)


def _top(application: Application) -> tuple[Value, ...]:
    """The k greatest or least, in order, and their indices; of equal ones, the lower index comes first.

    Source: ONNX, TopK: "Given two equivalent values, this operator uses the indices along the axis as a
    tiebreaker".
    """
    x = application.computed(0, "int32", "int64")
    if application.integer("sorted") != 1 or application.integer("largest") not in (0, 1):
        application.refuse("sorted must be 1, and largest 0 or 1")
    axis = application.axis("axis", len(x.shape))
    (count,) = application.whole_numbers(1, most=1)
    if not 1 <= count <= x.shape[axis]:
        application.refuse(f"there are no {count} among {x.shape[axis]}")
    application.work.spend_cells(len(x.bounds.cells))
    application.work.macs += x.elements * count.bit_length()
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    bounds = x.bounds.single() if x.bounds.axis == axis else x.bounds
    return Value(x.dtype, shape, bounds), Value("int64", shape, Bounds((Cell(0, 0, x.shape[axis] - 1),)))


RULES = {
    "ArgMax": Rule(
        arity=range(1, 2),
        attributes={"axis": (int, 0), "keepdims": (int, 1), "select_last_index": (int, 0)},
        apply=_argmax,
    ),
    "Cast": Rule(
        arity=range(1, 2), attributes={"to": (int, REQUIRED)}, apply=rounded.either(_cast, rounded.cast)
    ),
    "TopK": Rule(
        arity=range(2, 3), attributes={"axis": (int, -1), "largest": (int, 1), "sorted": (int, 1)}, apply=_top
    ),
}

RANKING = frozenset({"ArgMax", "TopK"})
"""Operators whose outputs say which element, not how great: an attestation must cover the scores."""
