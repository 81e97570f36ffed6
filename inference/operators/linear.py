"""Gemm and MatMul with constant weights."""

from collections.abc import Sequence

from inference.bounds import Cell, subset_sum
from inference.operators.constants import cells, spread
from inference.operators.rule import Application, Rule, Value


def _gemm(application: Application) -> Value:
    """x[rows, in] * W + c, where W is [in, out] or, with transB, [out, in], and c is [out]."""
    if application.attributes["alpha"] != 1.0 or application.attributes["beta"] != 1.0:
        application.refuse("alpha and beta must be 1: fold them into the weights")
    if application.integer("transA") != 0 or application.integer("transB") not in (0, 1):
        application.refuse("transA must be 0, and transB 0 or 1")
    if len(application.computed(0, "float32").shape) != 2:
        application.refuse("input 0 must be a matrix")
    return _linear(application, transposed=application.integer("transB") == 1)


def _matmul(application: Application) -> Value:
    """x[..., in] * W[in, out]."""
    return _linear(application, transposed=False)


def _linear(application: Application, transposed: bool) -> Value:
    x = application.computed(0, "float32")
    weight = application.constant(1, "float32")
    if len(weight.shape) != 2 or not x.shape:
        application.refuse("the weights must be a matrix, and input 0 of rank 1 or more")
    outputs, inputs = weight.shape if transposed else weight.shape[::-1]
    if x.shape[-1] != inputs:
        application.refuse(f"{inputs} weights meet {x.shape[-1]} elements")
    application.work.spend(4 * inputs * outputs)
    weights = cells(weight, application)
    biases = _biases(application, outputs)
    terms = [cell.hull() for cell in spread(x.bounds, inputs)]
    found = []
    for out in range(outputs):
        column = weights[out * inputs : (out + 1) * inputs] if transposed else weights[out::outputs]
        found.append(_channel(terms, column, biases[out] if biases else None))
    application.work.macs += x.elements * outputs
    return Value("float32", (*x.shape[:-1], outputs), application.fitting(tuple(found), "float32"))


def _biases(application: Application, outputs: int) -> list[Cell]:
    """The cells of Gemm's optional third input; an empty list without one."""
    if len(application.inputs) < 3 or application.inputs[2] is None:
        return []
    bias = application.constant(2, "float32")
    if bias.shape != (outputs,):
        application.refuse(f"the bias is {list(bias.shape)}, not [{outputs}]")
    return cells(bias, application)


def _channel(terms: Sequence[Cell], weights: Sequence[Cell], bias: Cell | None) -> Cell:
    """Bounds of every subset of the products and the bias of one output."""
    products = [term.times(weight) for term, weight in zip(terms, weights, strict=True) if weight.low]
    if bias is not None and bias.low:
        products.append(bias)
    return subset_sum(products) if products else Cell(0, 0, 0)


GEMM = Rule(
    arity=range(2, 4),
    attributes={
        "alpha": (float, 1.0),
        "beta": (float, 1.0),
        "transA": (int, 0),
        "transB": (int, 0),
    },
    apply=_gemm,
)
MATMUL = Rule(arity=range(2, 3), attributes={}, apply=_matmul)
