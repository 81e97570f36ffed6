"""Gemm and MatMul with constant weights."""

from collections.abc import Sequence

from inference.bounds import Cell, along
from inference.operators.constants import Numbers, decode, ensure_channels
from inference.operators.rule import Application, Flow, Rule, Value


def _gemm(application: Application) -> tuple[Value, ...]:
    """x[rows, in] * W + c, where W is [in, out] or, with transB, [out, in], and c is [out]."""
    if application.attributes["alpha"] != 1.0 or application.attributes["beta"] != 1.0:
        application.refuse("alpha and beta must be 1: fold them into the weights")
    if application.integer("transA") != 0 or application.integer("transB") not in (0, 1):
        application.refuse("transA must be 0, and transB 0 or 1")
    if len(application.computed(0, "float32").shape) != 2:
        application.refuse("input 0 must be a matrix")
    return _linear(application, transposed=application.integer("transB") == 1)


def _matmul(application: Application) -> tuple[Value, ...]:
    """x[..., in] * W[in, out]."""
    return _linear(application, transposed=False)


def _linear(application: Application, transposed: bool) -> tuple[Value, ...]:
    x = application.computed(0, "float32")
    weight = application.constant(1, "float32")
    if len(weight.shape) != 2 or not x.shape:
        application.refuse("the weights must be a matrix, and input 0 of rank 1 or more")
    outputs, inputs = weight.shape if transposed else weight.shape[::-1]
    if x.shape[-1] != inputs:
        application.refuse(f"{inputs} weights meet {x.shape[-1]} elements")
    ensure_channels(max(inputs, outputs), application)
    application.work.spend(3 * inputs * outputs)
    application.work.spend_cells(outputs)
    weights = decode(weight, application)
    biases = _biases(application, outputs)
    terms = [cell.hull() for cell in x.bounds.at(len(x.shape) - 1, inputs)]
    cells = []
    for out in range(outputs):
        chosen = slice(out * inputs, (out + 1) * inputs) if transposed else slice(out, None, outputs)
        cells.append(_channel(terms, weights.part(chosen), biases.part(slice(out, out + 1))))
    application.work.macs += x.elements * outputs
    bounds = application.fitting(along(len(x.shape) - 1, cells), "float32")
    return (Value("float32", (*x.shape[:-1], outputs), bounds),)


def _biases(application: Application, outputs: int) -> Numbers:
    """Gemm's optional third input; no numbers without one."""
    if len(application.inputs) < 3 or application.inputs[2] is None:
        return Numbers((), ())
    bias = application.constant(2, "float32")
    if bias.shape != (outputs,):
        application.refuse(f"the bias is {list(bias.shape)}, not [{outputs}]")
    return decode(bias, application)


def _channel(terms: Sequence[Cell], weights: Numbers, bias: Numbers) -> Cell:
    """The hull of all products, and of the bias if there is one, of one output.

    Written out in integers, and walked twice, because a large model has millions of products.
    """
    products = list(zip(weights.mantissas, weights.steps, strict=True))
    steps = [term.step + step for term, (mantissa, step) in zip(terms, products, strict=True) if mantissa]
    steps += [step for mantissa, step in zip(bias.mantissas, bias.steps, strict=True) if mantissa]
    least = min(steps, default=0)
    low = high = 0
    for term, (mantissa, step) in zip(terms, products, strict=True):
        factor = mantissa << (term.step + step - least) if mantissa else 0
        low += factor * (term.low if factor > 0 else term.high)
        high += factor * (term.high if factor > 0 else term.low)
    for mantissa, step in zip(bias.mantissas, bias.steps, strict=True):
        value = mantissa << (step - least) if mantissa else 0
        low, high = low + min(value, 0), high + max(value, 0)
    return Cell(least, low, high)


GEMM = Rule(
    arity=range(2, 4),
    attributes={
        "alpha": (float, 1.0),
        "beta": (float, 1.0),
        "transA": (int, 0),
        "transB": (int, 0),
    },
    apply=_gemm,
    flow=Flow.LINEAR,
)
MATMUL = Rule(arity=range(2, 3), attributes={}, apply=_matmul, flow=Flow.LINEAR)
