"""Cast, between integers and float32, and ArgMax."""

from typing import Final

from inference.bounds import Bounds, Cell
from inference.operators.rule import REQUIRED, Application, Rule, Value
from inference.schema import ELEMENT_CODES
from inference.tensor import INTEGER_RANGES

_CAST_TO: Final = {ELEMENT_CODES[name]: name for name in ("float32", "int32", "int16", "int8", "uint8")}


def _cast(application: Application) -> Value:
    x = application.computed(0, "float32", "int32", "int16", "int8", "uint8")
    to = _CAST_TO.get(application.integer("to"))
    if to is None:
        application.refuse(f"a Cast to element type {application.integer('to')} is not allowed")
    application.work.spend_cells(len(x.bounds.cells))
    if to == "float32":
        return Value(to, x.shape, application.fitting(x.bounds.cells, to))
    low, high = INTEGER_RANGES[to]
    cells = []
    for cell in x.bounds.cells:
        if cell.step < 0:
            application.refuse("the numbers are not integers: Round them first")
        whole = cell.at(0)
        if whole.low < low or whole.high > high:
            application.refuse(f"numbers from {whole.low} to {whole.high} do not fit {to}: Clip them first")
        cells.append(whole)
    return Value(to, x.shape, Bounds(tuple(cells)))


def _argmax(application: Application) -> Value:
    """The index of the greatest, the lowest such index in a tie. The prover sees that the scores are an
    output."""
    x = application.computed(0, "int32")
    if application.integer("select_last_index") != 0 or application.integer("keepdims") not in (0, 1):
        application.refuse("select_last_index must be 0, and keepdims 0 or 1")
    if not x.shape:
        application.refuse("a single number has no greatest index")
    axis = application.axis("axis", len(x.shape))
    kept = (1,) if application.integer("keepdims") else ()
    shape = (*x.shape[:axis], *kept, *x.shape[axis + 1 :])
    return Value("int64", shape, Bounds((Cell(0, 0, x.shape[axis] - 1),)))


CAST = Rule(arity=range(1, 2), attributes={"to": (int, REQUIRED)}, apply=_cast)
ARGMAX = Rule(
    arity=range(1, 2),
    attributes={"axis": (int, 0), "keepdims": (int, 1), "select_last_index": (int, 0)},
    apply=_argmax,
)
