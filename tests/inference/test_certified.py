"""Functions that libraries compute differently, and the certificate that it makes no difference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from inference.bounds import Bounds, Cell
from inference.certificate import Assumption, decode_verdict, encode_verdict
from inference.enclosures import ONE, enclose
from inference.engines.interface import Array, InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.operations.registry import OPERATIONS
from inference.engines.reference import NumpyEngine
from inference.graph import Graph, Node, Port, read
from inference.operators.certified import POINTS_MAX, root_of
from inference.operators.registry import EXACT
from inference.operators.rule import Value
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import from_integers, integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node

ENGINES: list[InferenceEngine] = [
    NumpyEngine(),
    *(OnnxRuntimeEngine(1, optimization) for optimization in Optimization),
]
EVERY = range(-128, 128)
FOUR = Assumption(ulps=4)

Steps = Sequence[tuple[str, str, str]]


def curve(steps: Steps, constants: dict[str, float]) -> bytes:
    """int8 x[256] -> Cast to real -> steps (operator, inputs, output) to r -> Cast -> y."""
    nodes = [node("Cast", "x", "real", to=TO_FLOAT)]
    nodes += [node(operator, inputs, output) for operator, inputs, output in steps]
    nodes.append(node("Cast", "r", "y", to=TO_INT32))
    tensors = {name: floats((), (value,)) for name, value in constants.items()}
    return file(nodes, [Port("x", "int8", (256,))], [Port("y", "int32", (256,))], tensors)


def simple(operator: str, factor: float, scale: float) -> bytes:
    steps = [("Mul", "real factor", "a"), (operator, "a", "f"), ("Mul", "f scale", "s"), ("Round", "s", "r")]
    return curve(steps, {"factor": factor, "scale": scale})


def gelu(factor: float, scale: float) -> bytes:
    """x * (1 + erf(x * factor)) * scale."""
    steps = [
        ("Mul", "real factor", "a"),
        ("Erf", "a", "e"),
        ("Add", "e one", "p"),
        ("Mul", "real p", "g"),
        ("Mul", "g scale", "s"),
        ("Round", "s", "r"),
    ]
    return curve(steps, {"factor": factor, "scale": scale, "one": 1.0})


SILU: Steps = [
    ("Sigmoid", "real", "f"),
    ("Mul", "f real", "g"),
    ("Mul", "g scale", "s"),
    ("Clip", "s low high", "c"),
    ("Round", "c", "r"),
]
MODELS = {
    "Exp": curve(
        [
            ("Clip", "real low zero", "d"),
            ("Mul", "d factor", "a"),
            ("Exp", "a", "f"),
            ("Mul", "f scale", "s"),
            ("Round", "s", "r"),
        ],
        {"low": -128, "zero": 0, "factor": 0.043, "scale": 250.6},
    ),
    "Erf": simple("Erf", 0.0213, 99.3),
    "Sigmoid": simple("Sigmoid", 0.0613, 99.3),
    "Tanh": simple("Tanh", 0.0313, 99.3),
    "Gelu": gelu(0.0441, 0.371),
    "Gelu in onnxruntime's own words": gelu(0.70710678, 0.5 * 0.3713),
    "SiLU": curve(SILU, {"scale": 0.7713, "low": -5, "high": 60}),
}


def all_numbers(data: bytes, engine: InferenceEngine) -> tuple[int, ...]:
    return integers(engine.load(data).run((from_integers("int8", (256,), list(EVERY)),))[0])


@pytest.mark.parametrize("data", MODELS.values(), ids=list(MODELS))
def test_every_engine_gives_the_same_integers(data: bytes) -> None:
    proof = prove(data, FOUR)
    first, *others = (all_numbers(proof.canonical, engine) for engine in ENGINES)
    assert all(other == first for other in others)
    (port,) = proof.certificate.outputs
    assert (port.low, port.high) == (min(first), max(first))
    assert proof.certificate.gap is not None
    assert proof.certificate.gap.assumption == FOUR
    assert decode_verdict(encode_verdict(proof.certificate)) == proof.certificate
    assert prove(proof.canonical, FOUR) == proof


@pytest.mark.parametrize("operator", ["Erf", "Exp", "Sigmoid", "Tanh"])
def test_without_an_assumption_they_are_refused(operator: str) -> None:
    with pytest.raises(Refused, match=f"libraries differ in {operator}: take a table"):
        prove(simple(operator, 0.03, 100.0))


def test_a_proof_that_needs_no_assumption_says_so() -> None:
    data = curve([("Mul", "real third", "s"), ("Round", "s", "r")], {"third": 1 / 3})
    assert prove(data, FOUR) == prove(data)
    assert prove(data).certificate.gap is None


def test_products_and_sums_that_round_are_followed_without_an_assumption() -> None:
    """x * 0.3 + 0.77, and a polynomial of x: how often an engine rounds on the way makes no difference."""
    line = [("Mul", "real a", "m"), ("Add", "m b", "s"), ("Round", "s", "r")]
    power = [("Mul", "real a", "m"), ("Add", "m b", "s"), ("Mul", "s real", "p"), ("Mul", "p c", "q")]
    values = {"a": 0.3, "b": 0.77, "c": 0.111}
    for steps in (line, [*power, ("Clip", "q b top", "l"), ("Round", "l", "r")]):
        data = curve(steps, values | {"top": 300.25})
        proof = prove(data)
        assert proof.certificate.gap is None
        assert prove(data, FOUR) == proof
        first, *others = (all_numbers(proof.canonical, engine) for engine in ENGINES)
        assert all(other == first for other in others)
        (port,) = proof.certificate.outputs
        assert (port.low, port.high) == (min(first), max(first))
    with pytest.raises(Refused, match="for -125 the result may round in two ways"):
        prove(curve(line, {"a": 0.1, "b": 1.0}))


def test_every_rounding_on_the_way_counts() -> None:
    """127 * 1000.3 lies 0.02 from a boundary: more than one rounding of 2^-23 takes, less than two."""
    line = [("Mul", "real a", "m"), ("Add", "m b", "s"), ("Round", "s", "r")]
    product = 127 * Fraction(float(np.float32(1000.3)))
    wanted = Fraction(round(product) + 100) + Fraction(1, 2) - product
    near, far = (curve(line, {"a": 1000.3, "b": float(wanted - distance)}) for distance in (0.02, 0.04))
    assert prove(far).certificate.gap is None
    with pytest.raises(Refused, match="the result may round in two ways"):
        prove(near)


def test_the_margin_is_the_least_distance_to_a_boundary() -> None:
    """Compared with the true values: what is missing to the distance is what the assumption takes."""
    scale = Fraction(float(np.float32(99.3)))
    gap = prove(simple("Sigmoid", 0.0625, 99.3), FOUR).certificate.gap
    assert gap is not None
    distances = []
    for x in EVERY:
        value = Fraction(sum(enclose("Sigmoid", (x * ONE // 16,) * 2)), 2 * ONE) * scale
        distances.append(abs(value - Fraction(1, 2) - round(value - Fraction(1, 2))))
    taken = min(distances) - Fraction(gap.margin, 2**32)
    assert 4 * Fraction(1, 2**23) * scale <= taken <= 8 * Fraction(1, 2**23) * scale


def test_a_value_near_a_boundary_is_refused_unless_libraries_are_better() -> None:
    """A scale for which one value lies 2^-13 from a boundary: enough for one ulp, not for sixteen."""
    value = Fraction(sum(enclose("Sigmoid", (ONE // 2,) * 2)), 2 * ONE)
    scale = float((Fraction(121, 2) + Fraction(1, 2**13)) / value)
    data = simple("Sigmoid", 2.0**-6, scale)
    assert prove(data, Assumption(ulps=1)).certificate.gap is not None
    with pytest.raises(Refused, match="the result may round in two ways"):
        prove(data, Assumption(ulps=16))


class Wrong:
    """The reference with functions that are off by so many ulps, up or down at random."""

    def __init__(self, ulps: float, seed: int) -> None:
        self._ulps, self._random = ulps, np.random.default_rng(seed)

    def __call__(self, data: bytes) -> tuple[int, ...]:
        graph: Graph = read(data, EXACT)
        values: dict[str, Array] = {"x": np.array(EVERY, np.int8)}
        values |= {
            name: np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)
            for name, tensor in graph.constants.items()
        }
        for each in graph.nodes:
            values[each.outputs[0]] = self._computed(each, values)
        return tuple(int(value) for value in values["y"])

    def _computed(self, each: Node, values: dict[str, Array]) -> Array:
        result = OPERATIONS[each.operator]([values[name] for name in each.inputs], each.attributes)
        assert isinstance(result, np.ndarray)
        if each.operator not in ("Erf", "Exp", "Sigmoid", "Tanh"):
            return result
        unit = np.abs(result) if each.operator == "Exp" else np.float32(1)
        signs = self._random.choice([-1.0, 1.0], result.shape)
        off = (result.astype(np.float64) + signs * self._ulps * 2.0**-23 * unit).astype(np.float32)
        assert isinstance(off, np.ndarray)
        return off


@pytest.mark.parametrize("data", MODELS.values(), ids=list(MODELS))
def test_a_library_within_the_assumption_never_changes_the_output(data: bytes) -> None:
    proof = prove(data, FOUR)
    right = all_numbers(proof.canonical, NumpyEngine())
    assert all(Wrong(3.5, seed)(proof.canonical) == right for seed in range(20))


def test_a_library_beyond_the_assumption_is_seen() -> None:
    """So the search above can find a certificate that is too generous."""
    value = Fraction(sum(enclose("Sigmoid", (ONE // 2,) * 2)), 2 * ONE)
    scale = float((Fraction(121, 2) + Fraction(1, 2**15)) / value)
    proof = prove(simple("Sigmoid", 2.0**-6, scale), Assumption(ulps=1))
    right = all_numbers(proof.canonical, NumpyEngine())
    assert any(Wrong(64, seed)(proof.canonical) != right for seed in range(20))


def test_random_scales_are_admitted_only_if_engines_agree() -> None:
    random, admitted = Random(5), 0
    for _ in range(40):
        operator = random.choice(["Erf", "Sigmoid", "Tanh"])
        data = simple(operator, random.uniform(0.001, 0.1), random.uniform(10, 2000))
        try:
            proof = prove(data, FOUR)
        except Refused:
            continue
        admitted += 1
        right = all_numbers(proof.canonical, ENGINES[-1])
        assert all(Wrong(3.5, seed)(proof.canonical) == right for seed in range(3))
    assert 10 < admitted < 40


def refused(steps: Steps, **constants: float) -> str:
    with pytest.raises(Refused) as caught:
        prove(curve(steps, {"one": 1.0, "third": 1 / 3, **constants}), FOUR)
    return str(caught.value)


def test_other_uses_are_refused() -> None:
    used = [("Add", "real one", "x1"), ("Round", "x1", "x2"), ("Mul", "x2 third", "a")]
    assert "may be above 64" in refused([*used, ("Exp", "x2", "f"), ("Mul", "f a", "r")])
    assert "needs 31 bits" in refused([used[0], ("Mul", "x1 third", "a"), ("Tanh", "a", "r")])
    start = [*used, ("Tanh", "a", "f")]
    assert "the tensor it is a function of, alone" in refused(
        [*start, ("Mul", "f real", "m"), ("Round", "m", "r")]
    )
    assert "the tensor it is a function of, alone" in refused(
        [*start, ("Add", "f x2", "m"), ("Round", "m", "r")]
    )
    assert "only Add, Clip, Mul, Round may follow" in refused([*start, ("Relu", "f", "r")])
    assert "only Add, Clip, Mul, Round may follow" in refused([*used, ("Tanh", "a", "r")])
    assert "only Clip, Round may follow" in refused(
        [*used, ("Clip", "a one one", "c"), ("Tanh", "c", "f"), ("Mul", "f one", "m"), ("Round", "m", "r")]
    )
    assert "may be above 2^100" in refused(
        [*start, ("Mul", "f huge", "m"), ("Mul", "m huge", "n"), ("Round", "n", "r")], huge=2.0**60
    )
    assert "the lower limit is above the upper" in refused(
        [*start, ("Clip", "f one zero", "c"), ("Round", "c", "r")], zero=0.0
    )


def test_a_root_has_a_bounded_number_of_values() -> None:
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Add", "real real", "wide"),
        node("Mul", "wide factor", "a"),
        node("Tanh", "a", "f"),
        node("Mul", "f hundred", "s"),
        node("Round", "s", "r"),
        node("Cast", "r", "y", to=TO_INT32),
    ]
    constants = {"factor": floats((), (0.3,)), "hundred": floats((), (100,))}
    ports = [Port("x", "int16", (3,))], [Port("y", "int32", (3,))]
    with pytest.raises(Refused, match="only Clip, Round may follow"):
        prove(file(nodes, *ports, constants), FOUR)
    alone = [each for each in nodes if each.operator != "Mul"]
    alone[2:4] = [node("Tanh", "wide", "f"), node("Round", "f", "r")]
    with pytest.raises(Refused, match="more than 65536 values, or no Round before it"):
        prove(file(alone, *ports), FOUR)
    narrow = [each for each in nodes if each.operator != "Add"]
    narrow[1] = node("Mul", "real factor", "a")
    with pytest.raises(Refused, match="too many for so short a file"):
        prove(file(narrow, *ports, constants), FOUR)


def test_a_root_has_65536_numbers_and_no_more() -> None:
    assert root_of("c", Value("float32", (3,), Bounds((Cell(0, 0, POINTS_MAX - 1),)))) is not None
    assert root_of("c", Value("float32", (3,), Bounds((Cell(0, 0, POINTS_MAX),)))) is None


def test_an_engine_may_fold_a_factor_into_weights_so_a_root_has_none() -> None:
    value = Value("float32", (3,), Bounds((Cell(0, 0, 9),)))
    assert root_of("c", value) is not None
    assert root_of("c", replace(value, linear=True)) is None


ULP = 2.0**-23
"""What one rounding of a number near 1 is taken to be off by."""


def alone(number: float, *steps: tuple[str, str, str], **constants: float) -> bytes:
    """Steps from the tensor `c`, which holds just that number."""
    return curve(
        [("Clip", "real at at", "c"), *steps, ("Round", steps[-1][2], "r")], {"at": number, **constants}
    )


def product_then_sum(ulps: int) -> bytes:
    """4.5 - 4, and three times the ulps: 4.5 for the product and, by its greater term, 4.5 for the sum are
    the room it takes."""
    return alone(3, ("Mul", "c a", "m"), ("Add", "m b", "s"), a=1.5 + ulps * ULP, b=-4.0)


def product_twice(ulps: int) -> bytes:
    """4.5, and three times the ulps: 4.5 for each product are the room it takes."""
    return alone(3, ("Mul", "c a", "m"), ("Mul", "m b", "s"), a=1.5 + ulps * ULP, b=1.0)


def exponential(ulps: int) -> bytes:
    """1 + 0.5, and some ulps: 4 for the function, as assumed, and 1.5 for the sum are the room it takes."""
    return alone(0, ("Exp", "c", "e"), ("Add", "e b", "s"), b=0.5 + ulps * ULP)


@pytest.mark.parametrize(("build", "ulps"), [(product_then_sum, 2), (product_twice, 2), (exponential, 5)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_value_needs_room_to_the_boundary_on_either_side(
    build: Callable[[int], bytes], ulps: int, sign: int
) -> None:
    with pytest.raises(Refused, match="may round in two ways"):
        prove(build(sign * ulps), FOUR)
    assert prove(build(sign * (ulps + 3)), FOUR).certificate.outputs[0].low >= 0


def test_the_argument_of_an_exponential_is_bounded_with_what_rounding_adds() -> None:
    """11 * 12201611 / 2^21 is 64 less half of what its rounding is taken to add."""
    steps = [("Mul", "c a", "m"), ("Exp", "m", "e"), ("Clip", "e zero top", "s")]
    with pytest.raises(Refused, match="the argument of Exp may be above 64"):
        prove(alone(11, *steps, a=12201611 / 2**21, zero=0.0, top=9.0), FOUR)
