"""One correctly rounded operator off the lattice: what is admitted is computed alike, what is not differs."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from random import Random

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.engines.interface import InferenceEngine
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import AttributeValue, Port
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import Tensor, from_integers, integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node

ENGINES: list[InferenceEngine] = [NumpyEngine()] + [
    OnnxRuntimeEngine(threads, optimization)
    for threads, optimization in ((1, Optimization.NONE), (1, Optimization.ALL), (3, Optimization.EXTENDED))
]
TO_DOUBLE = 11
WIDTH = 64
X = Port("x", "int16", (1, WIDTH))
Y = Port("y", "int32", (1, WIDTH))


CONSTANTS = {
    "one": floats((), [1]),
    "two": Tensor(dtype="float64", shape=(), data=bytes(7) + b"\x40"),
    "three": floats((), [3]),
    "third": floats((), [1 / 3]),
    "gains": floats((WIDTH,), [0.1 * at - 3 for at in range(WIDTH)]),
    "unit": Tensor(dtype="float64", shape=(), data=bytes(6) + b"\xf0\x3f"),
    "less": floats((), [-1]),
    "falls": floats((WIDTH,), [-0.2 * at for at in range(WIDTH)]),
    "zero": floats((), [0]),
    "below": floats((), [-0.5]),
    "low": floats((), [-1000]),
    "high": floats((), [1000]),
    "top": floats((), [2**20]),
    "weights": floats((WIDTH, WIDTH), [(at * 7 % 11 - 5) for at in range(WIDTH * WIDTH)]),
}


def chain(*steps: tuple[str, str, str], to: Sequence[tuple[str, int]] = (), alpha: float = 2.0**-12) -> bytes:
    """int16 x[1,64] -> Cast to real -> steps (operator, inputs, output) to `r` -> Cast -> y."""
    targets = dict(to)
    nodes = [node("Cast", "x", "real", to=TO_FLOAT)]
    for operator, inputs, output in steps:
        attributes: dict[str, AttributeValue] = {}
        if operator == "Cast":
            attributes["to"] = targets.get(output, TO_DOUBLE)
        attributes |= {"axes": (1,), "keepdims": 1} if operator == "ReduceSumSquare" else {}
        attributes |= {"alpha": alpha, "beta": 0.5} if operator == "HardSigmoid" else {}
        nodes.append(node(operator, inputs, output, **attributes))
    nodes.append(node("Cast", "r", "y", to=TO_INT32))
    used = {name for each in nodes for name in each.inputs}
    return file(nodes, [X], [Y], {name: value for name, value in CONSTANTS.items() if name in used})


MUL = (("Mul", "real third", "m"), ("Round", "m", "r"))
SMALL = (
    ("Clip", "real low high", "c"),
    ("Mul", "c c", "s"),
    ("Add", "s one", "a"),
    ("Clip", "a one top", "d"),
)
"""c * c + 1 for |c| <= 1000: from its hull alone, the sum may be 0."""
ROOT = (
    *SMALL,
    ("Cast", "d", "wide"),
    ("Sqrt", "wide", "root"),
    ("Cast", "c", "c64"),
    ("Div", "c64 root", "q"),
)
NORM = (
    ("Clip", "real low high", "c"),
    ("Cast", "c", "wide"),
    ("ReduceSumSquare", "wide", "s"),
    ("Add", "s unit", "a"),
    ("Sqrt", "a", "root"),
)
"""The root of a sum of squares and one: no less than the magnitude of any of them."""
ADMITTED = {
    "Mul": chain(*MUL),
    "Mul per channel": chain(("Mul", "gains real", "m"), ("Round", "m", "r")),
    "Mul of two": chain(("Mul", "real real", "m"), ("Clip", "m low top", "l"), ("Round", "l", "r")),
    "Mul of two sums, Clip": chain(
        ("MatMul", "real weights", "s"),
        ("Clip", "s low high", "c"),
        ("Mul", "c s", "m"),
        ("Clip", "m low high", "l"),
        ("Round", "l", "r"),
    ),
    "Mul by a hard sigmoid of a sum": chain(
        ("MatMul", "real weights", "s"),
        ("HardSigmoid", "s", "h"),
        ("Mul", "s h", "m"),
        ("Round", "m", "r"),
    ),
    "Mul, Clip": chain(("Mul", "real third", "m"), ("Clip", "m low high", "l"), ("Round", "l", "r")),
    "Div": chain(*SMALL, ("Div", "c d", "q"), ("Mul", "q high", "m"), ("Round", "m", "r")),
    "Div, Round": chain(*SMALL, ("Div", "d d", "q"), ("Round", "q", "r")),
    "Sqrt": chain(*SMALL, ("Cast", "d", "wide"), ("Sqrt", "wide", "root"), ("Round", "root", "r")),
    "Div by what is above 0": chain(
        *SMALL[:3], ("Div", "c a", "q"), ("Mul", "q high", "m"), ("Round", "m", "r")
    ),
    "Div by a root of squares": chain(*NORM, ("Div", "wide root", "q"), ("Round", "q", "r")),
    "Sqrt, Div, Cast, Mul": chain(
        *ROOT,
        ("Cast", "q", "n"),
        ("Mul", "n gains", "g"),
        ("Clip", "g low high", "l"),
        ("Round", "l", "r"),
        to=[("n", TO_FLOAT)],
    ),
}


@pytest.mark.parametrize("data", ADMITTED.values(), ids=list(ADMITTED))
def test_what_rounds_once_is_computed_alike_and_within_bounds(data: bytes) -> None:
    random, proof = Random(3), prove(data)
    assert prove(proof.canonical) == proof
    onnx.checker.check_model(onnx.load_from_string(proof.canonical), full_check=True)
    (port,) = proof.certificate.outputs
    models = [engine.load(proof.canonical) for engine in ENGINES]
    for _ in range(20):
        largest = 2 ** random.randint(0, 15)
        values = [random.randint(-largest, largest - 1) for _ in range(WIDTH)]
        first, *others = (model.run((from_integers("int16", X.shape, values),)) for model in models)
        assert all(other == first for other in others)
        assert all(port.low <= value <= port.high for value in integers(first[0]))


def test_a_bound_of_a_rounded_result_is_reached() -> None:
    (port,) = prove(ADMITTED["Mul"]).certificate.outputs
    assert (port.low, port.high) == (round(-(2**15) * Fraction(1, 3)), round(Fraction(2**15 - 1, 3)))
    (port,) = prove(chain(("Mul", "real falls", "m"), ("Round", "m", "r"))).certificate.outputs
    assert (port.low, port.high) == (round(-12.6 * (2**15 - 1)), round(12.6 * 2**15))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            chain(("MatMul", "real weights", "s"), ("Mul", "s third", "m"), ("Round", "m", "r")),
            "channel 0 needs 46 bits, float32 holds 24",
        ),
        (
            chain(
                ("MatMul", "real weights", "s"),
                ("Clip", "s low high", "c"),
                ("Mul", "c third", "m"),
                ("Round", "m", "r"),
            ),
            "needs",
        ),
        (
            chain(
                ("MatMul", "real weights", "s"),
                ("Clip", "s one high", "c"),
                ("Div", "real c", "m"),
                ("Round", "m", "r"),
            ),
            "put a Round between",
        ),
        (
            chain(("Mul", "real three", "s"), ("Mul", "s third", "m"), ("Round", "m", "r")),
            r"Mul -> m\): needs",
        ),
        (
            chain(("Add", "real three", "s"), ("Mul", "s third", "m"), ("Round", "m", "r")),
            r"Mul -> m\): needs",
        ),
        (
            chain(("Sub", "three real", "s"), ("Mul", "s third", "m"), ("Round", "m", "r")),
            r"Mul -> m\): needs",
        ),
        (
            chain(
                ("MatMul", "real weights", "s"),
                ("Add", "real s", "a"),
                ("Clip", "a low high", "c"),
                ("Mul", "c third", "m"),
                ("Round", "m", "r"),
            ),
            r"Mul -> m\): needs",
        ),
        (
            chain(("Add", "real three", "s"), ("Mul", "s real", "m"), ("Round", "m", "r")),
            r"Mul -> m\): needs 31 bits",
        ),
        (
            chain(("Mul", "real three", "s"), ("Mul", "real s", "m"), ("Round", "m", "r")),
            r"Mul -> m\): needs 32 bits",
        ),
        (
            chain(
                ("HardSigmoid", "real", "s"), ("Mul", "real s", "m"), ("Round", "m", "r"), alpha=3 * 2.0**-14
            ),
            r"Mul -> m\): needs 30 bits",
        ),
        (
            chain(("Mul", "real real", "m"), ("Add", "m one", "n"), ("Round", "n", "r")),
            "rounded already: only Clip, Round may follow",
        ),
        (
            chain(("Mul", "real real", "m"), ("Mul", "m third", "n"), ("Round", "n", "r")),
            "rounded already: only Clip, Round may follow",
        ),
        (
            chain(("Mul", "real real", "m"), ("Mul", "m real", "n"), ("Round", "n", "r")),
            "rounded already: only Clip, Round may follow",
        ),
        (chain(("Div", "one real", "q"), ("Round", "q", "r")), "input 0 must be computed"),
        (chain(("Div", "real third", "q"), ("Round", "q", "r")), "input 1 must be computed"),
        (
            chain(*SMALL, ("MatMul", "c weights", "t"), ("Div", "t d", "q"), ("Round", "q", "r")),
            "put a Round between",
        ),
        (
            chain(("Clip", "real zero high", "c"), ("Div", "real c", "q"), ("Round", "q", "r")),
            "the divisor may be 0",
        ),
        (
            chain(("Clip", "real low zero", "c"), ("Div", "real c", "q"), ("Round", "q", "r")),
            "the divisor may be 0",
        ),
        (
            chain(
                *SMALL,
                ("Div", "c d", "q"),
                ("Mul", "q third", "m"),
                ("Mul", "m third", "n"),
                ("Round", "n", "r"),
            ),
            "only Cast, Clip, Round may follow",
        ),
        (
            chain(
                ("Clip", "real below high", "c"), ("Cast", "c", "w"), ("Sqrt", "w", "q"), ("Round", "q", "r")
            ),
            "may be below 0",
        ),
        (
            chain(
                ("MatMul", "real weights", "s"),
                ("Clip", "s one top", "c"),
                ("Cast", "c", "w"),
                ("Sqrt", "w", "q"),
                ("Round", "q", "r"),
            ),
            "put a Round between",
        ),
        (
            chain(("Mul", "real third", "m"), ("Clip", "m high low", "l"), ("Round", "l", "r")),
            "the lower limit is above the upper",
        ),
        (
            chain(
                ("Mul", "real third", "m"),
                ("Clip", "m low high", "l"),
                ("Add", "l one", "a"),
                ("Round", "a", "r"),
            ),
            "only Clip, Round may follow",
        ),
        (chain(("Div", "real real", "q"), ("Round", "q", "r")), "the divisor may be 0"),
        (
            chain(*SMALL[:2], ("Add", "s less", "a"), ("Div", "c a", "q"), ("Round", "q", "r")),
            "the divisor may be 0",
        ),
        (
            chain(*SMALL[:1], ("Add", "c one", "a"), ("Div", "c a", "q"), ("Round", "q", "r")),
            "the divisor may be 0",
        ),
        (chain(*SMALL, ("Sqrt", "d", "q"), ("Round", "q", "r")), "input 0 is float32, not float64"),
        (chain(("Cast", "real", "w"), ("Sqrt", "w", "q"), ("Round", "q", "r")), "may be below 0"),
        (
            chain(("Mul", "gains real", "m"), ("Mul", "m third", "n"), ("Round", "n", "r")),
            "rounded already: only Clip, ",
        ),
        (
            chain(("Mul", "gains real", "m"), ("Add", "m one", "n"), ("Round", "n", "r")),
            "rounded already: only Clip, ",
        ),
        (
            chain(("Mul", "gains real", "m"), ("Relu", "m", "n"), ("Round", "n", "r")),
            "rounded already: only Clip, ",
        ),
        (chain(("Mul", "gains real", "m"), ("Floor", "m", "r")), "rounded already: only Clip, "),
        (chain(("Mul", "gains real", "m"), ("Identity", "m", "r")), "rounded already: only Clip, "),
        (chain(("Mul", "real gains", "r")), "rounded already: only Clip, "),
        (chain(*ROOT, ("Div", "wide q", "p"), ("Round", "p", "r")), "only Cast, Clip, Mul, Round may follow"),
        (chain(*ROOT, ("Cast", "q", "r"), to=[("r", 6)]), "Round them first"),
        (chain(*ROOT, ("Mul", "q root", "p"), ("Round", "p", "r")), "must be a constant"),
    ],
)
def test_other_ways_off_the_lattice_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        prove(data)


@pytest.mark.parametrize(
    ("steps", "reach"),
    [
        ((("Div", "wide root", "q"),), 1),
        ((("Mul", "wide two", "v"), ("Div", "v root", "q")), 2000),
        ((("Clip", "root unit two", "l"), ("Div", "wide l", "q")), 1000),
    ],
)
def test_only_what_was_squared_is_no_greater_than_the_root(
    steps: tuple[tuple[str, str, str], ...], reach: int
) -> None:
    """Each bound is reached by a row of one number, or of a limited root; none is exceeded."""
    proof = prove(chain(*NORM, *steps, ("Round", "q", "r")))
    (port,) = proof.certificate.outputs
    assert (port.low, port.high) == (-reach, reach)
    values = [1000] + [0] * (WIDTH - 1)
    for model in (engine.load(proof.canonical) for engine in ENGINES):
        found = integers(model.run((from_integers("int16", X.shape, values),))[0])
        assert max(found) <= reach


def test_sums_of_squares_without_their_dimension_bound_nothing() -> None:
    """[64] squares summed to one number, which then meets other rows: nothing is known of those."""
    nodes = [
        node("Cast", "x", "wide", to=TO_DOUBLE),
        node("ReduceSumSquare", "wide", "s", axes=(0,), keepdims=0),
        node("Add", "s unit", "a"),
        node("Sqrt", "a", "root"),
        node("Div", "wide root", "q"),
        node("Round", "q", "r"),
        node("Cast", "r", "y", to=TO_INT32),
    ]
    port = Port("x", "int8", (3, 3)), Port("y", "int32", (3, 3))
    (found,) = prove(file(nodes, [port[0]], [port[1]], {"unit": CONSTANTS["unit"]})).certificate.outputs
    assert (found.low, found.high) == (-128, 127)


def test_a_factor_after_weights_does_change_bits() -> None:
    """The reason for the refusal: onnxruntime folds a factor after a convolution into its weights."""
    random = Random(1)
    weights = [random.randint(-99, 99) for _ in range(8 * 8 * 9)]
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,8,12,12] x, float[8,8,3,3] w, float third) => (float[1,8,10,10] y)
        { s = Conv(x, w)  m = Mul(s, third)  y = Round(m) }"""
    )
    del model.graph.input[1:]
    for name, shape, values in (("w", [8, 8, 3, 3], weights), ("third", [], [0.3])):
        model.graph.initializer.append(onnx.helper.make_tensor(name, 1, shape, [float(v) for v in values]))
    x = floats((1, 8, 12, 12), [random.randint(-255, 255) for _ in range(8 * 144)])
    plain, folded = (
        OnnxRuntimeEngine(1, level).load(model.SerializeToString()).run((x,))
        for level in (Optimization.NONE, Optimization.ALL)
    )
    assert plain != folded


POINT: Mapping[str, AttributeValue] = {
    "dilations": (1, 1),
    "group": 1,
    "kernel_shape": (1, 1),
    "pads": (0, 0, 0, 0),
    "strides": (1, 1),
}


def test_products_of_sums_are_computed_alike_in_blocks() -> None:
    """A hard swish of a convolution, and a gate on it: sums of 22 bits, which engines keep in blocks."""
    random, channels = Random(5), 16
    image = (1, channels, 6, 6)
    port = Port("x", "int16", image), Port("y", "int32", image)
    weights = [random.randint(-63, 63) * 2.0**-8 for _ in range(channels * channels)]
    constants = {
        "low": floats((), [-1000]),
        "high": floats((), [1000]),
        "none": floats((), [0]),
        "one": floats((), [1]),
        "w": floats((channels, channels, 1, 1), weights),
        "b": floats((channels,), [random.randint(-99, 99) for _ in range(channels)]),
        "v": floats((channels, channels, 1, 1), [each * 2.0**-5 for each in weights]),
    }
    nodes = [
        node("Cast", "x", "wide", to=TO_FLOAT),
        node("Clip", "wide low high", "real"),
        node("Conv", "real w b", "sums", **POINT),
        node("Clip", "sums low high", "limited"),
        node("HardSigmoid", "limited", "part", alpha=2.0**-9, beta=0.5),
        node("Mul", "limited part", "swish"),
        node("Round", "swish", "whole"),
        node("ReduceMax", "whole", "greatest", axes=(2, 3), keepdims=1),
        node("Conv", "greatest v", "gates", **POINT),
        node("Clip", "gates none one", "gate"),
        node("Mul", "whole gate", "gated"),
        node("Round", "gated", "r"),
        node("Cast", "r", "y", to=TO_INT32),
    ]
    proof = prove(file(nodes, [port[0]], [port[1]], constants))
    models = [engine.load(proof.canonical) for engine in ENGINES]
    size = channels * 36
    for _ in range(30):
        largest = 2 ** random.randint(6, 10)
        x = from_integers("int16", image, [random.randint(-largest, largest) for _ in range(size)])
        first, *others = (model.run((x,)) for model in models)
        assert all(other == first for other in others)
        assert len({*integers(first[0])}) > 4


reals = st.one_of(
    st.integers(-300, 300).map(float), st.floats(-50, 50, width=32).filter(lambda x: abs(x) > 1e-3)
)


ALONE: Mapping[str, Mapping[str, AttributeValue]] = {
    "HardSigmoid": {"alpha": 2.0**-12, "beta": 0.5},
    "Relu": {},
    "Round": {},
    "Sqrt": {},
}
"""Operators of one tensor, and their attributes."""


@st.composite
def chains(draw: st.DrawFn) -> bytes:
    """Operators in any order, on two tensors: most are refused; those that pass are what this looks for."""
    nodes = [node("Cast", "x", "v0", to=TO_FLOAT)]
    constants = {"low": floats((), [1]), "high": floats((), [1000]), "weights": CONSTANTS["weights"]}
    doubles: set[str] = set()
    kinds = ["Mul", "Mul", "Div", "Div", "Sqrt", "Clip", "Round", "Round", "MatMul", "Add", "Relu", "Widen"]
    kinds.append("HardSigmoid")
    for at in range(draw(st.integers(2, 9))):
        operator, out = draw(st.sampled_from(kinds)), f"v{at + 1}"
        left = draw(st.sampled_from([f"v{at}", f"v{at}", f"v{draw(st.integers(0, at))}"]))
        if operator == "Widen":
            nodes.append(node("Cast", left, out, to=TO_FLOAT if left in doubles else TO_DOUBLE))
        elif operator == "MatMul":
            nodes.append(node(operator, f"{left} weights", out))
        elif operator == "Clip":
            nodes.append(node(operator, f"{left} low high", out))
        elif operator in ALONE:
            nodes.append(node(operator, left, out, **ALONE[operator]))
        elif operator == "Div" or draw(st.booleans()):
            nodes.append(node(operator, f"{left} v{draw(st.integers(0, at))}", out))
        else:
            constants[f"c{at}"] = floats((), [draw(reals)])
            nodes.append(node(operator, f"{left} c{at}", out))
        if (operator == "Widen" and left not in doubles) or (operator != "Widen" and left in doubles):
            doubles.add(out)
    last = f"v{len(nodes) - 1}"
    nodes += [node("Round", last, "r"), node("Cast", "r", "y", to=TO_INT32)]
    wanted, kept = {"y"}, []
    for each in reversed(nodes):
        if each.outputs[0] in wanted:
            wanted.update(each.inputs)
            kept.append(each)
    return file(kept[::-1], [X], [Y], {name: value for name, value in constants.items() if name in wanted})


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.integers(0, 2**32))
def test_whatever_is_admitted_is_computed_alike(data: bytes, seed: int) -> None:
    try:
        proof = prove(data)
    except Refused:
        return
    random = Random(seed)
    (port,) = proof.certificate.outputs
    models = [engine.load(proof.canonical) for engine in ENGINES]
    for largest in (2, 2**7, 2**15):
        values = [random.randint(-largest, largest - 1) for _ in range(WIDTH)]
        first, *others = (model.run((from_integers("int16", X.shape, values),)) for model in models)
        assert all(other == first for other in others)
        assert all(port.low <= value <= port.high for value in integers(first[0]))


def test_a_relu_of_float64_is_refused() -> None:
    """With a Clip after it, onnxruntime would not load the model."""
    with pytest.raises(Refused, match="input 0 is float64, not float32"):
        prove(chain(("Cast", "real", "wide"), ("Relu", "wide", "r")))
