"""Floor, Ceil and HardSigmoid: the values that their definitions give, within bounds that are reached."""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import pytest

from inference.engines.interface import InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import AttributeValue, Node, Port
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import from_integers, integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node

ENGINES: list[InferenceEngine] = [
    NumpyEngine(),
    OnnxRuntimeEngine(1, Optimization.NONE),
    OnnxRuntimeEngine(2, Optimization.ALL),
]
EVERY = range(-128, 128)


def applied(function: Node, factors: tuple[float, ...], after: float) -> bytes:
    """int8 x[256, channels] * factors -> function -> * after -> Cast -> y."""
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Mul", "real factors", "scaled"),
        function,
        node("Mul", "f after", "whole"),
        node("Cast", "whole", "y", to=TO_INT32),
    ]
    shape = (len(EVERY), len(factors))
    constants = {"factors": floats((len(factors),), factors), "after": floats((), (after,))}
    return file(nodes, [Port("x", "int8", shape)], [Port("y", "int32", shape)], constants)


def hard(slope: float, shift: float) -> Callable[[Fraction], Fraction]:
    return lambda x: min(max(Fraction(slope) * x + Fraction(shift), Fraction(0)), Fraction(1))


@pytest.mark.parametrize(
    ("operator", "attributes", "after", "meaning"),
    [
        ("Floor", {}, 1.0, lambda x: Fraction(floor(x))),
        ("Ceil", {}, 1.0, lambda x: Fraction(ceil(x))),
        ("HardSigmoid", {"alpha": 2.0**-6, "beta": 0.5}, 256.0 * 64, hard(2.0**-6, 0.5)),
        ("HardSigmoid", {"alpha": -0.25, "beta": 0.125}, 4096.0, hard(-0.25, 0.125)),
    ],
)
def test_every_number_gives_what_the_definition_says(
    operator: str,
    attributes: dict[str, AttributeValue],
    after: float,
    meaning: Callable[[Fraction], Fraction],
) -> None:
    factors = (1.0, 2.0**-3, -(2.0**-8), 5.0 * 2.0**-6)
    proof = prove(applied(node(operator, "scaled", "f", **attributes), factors, after))
    expected = [int(meaning(x * Fraction(factor)) * Fraction(after)) for x in EVERY for factor in factors]
    inputs = (from_integers("int8", (len(EVERY), len(factors)), [x for x in EVERY for _ in factors]),)
    for engine in ENGINES:
        assert list(integers(engine.load(proof.canonical).run(inputs)[0])) == expected
    for at, factor in enumerate(factors):
        alone = prove(applied(node(operator, "scaled", "f", **attributes), (factor,), after))
        (port,) = alone.certificate.outputs
        results = expected[at :: len(factors)]
        assert (port.low, port.high) == (min(0, *results), max(0, *results))


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({}, "needs"),
        ({"alpha": 0.2}, "needs"),
        ({"alpha": 0.25, "beta": float("nan")}, "infinite or not a number"),
        ({"alpha": 1e-40, "beta": 0.5}, "subnormal"),
        ({"alpha": 2.0**-30, "beta": 0.5}, "needs"),
        ({"alpha": 2.0**20, "beta": 0.5}, "needs"),
        ({"alpha": 1}, "wrong type"),
    ],
)
def test_a_hard_sigmoid_that_rounds_is_refused(attributes: dict[str, AttributeValue], why: str) -> None:
    with pytest.raises(Refused, match=why):
        prove(applied(node("HardSigmoid", "scaled", "f", **attributes), (1.0,), 1.0))
