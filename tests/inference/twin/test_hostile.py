"""Twins written by hand that differ from their originals in one thing which the proof must not miss."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from inference.engines.interface import Array, from_array, run
from inference.engines.reference import NumpyEngine
from inference.graph import Graph, Node, Port, read
from inference.prover import prove
from inference.tensor import Tensor
from inference.twin.proof import CONTRIBUTED, TWIN, Unequal, ensure_equal
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node
from tests.inference.twin.quantized import quantized
from tests.inference.twin.test_products import with_domain

WIDTH = 4
CONSTANTS: Mapping[str, Array] = {
    "one": np.array(1, np.float32),
    "two": np.array(2, np.float32),
    "ones": np.ones(1, np.float32),
    **{f"z{each}": np.array(each, np.uint8) for each in (0, 2, 4, 12, 94, 98, 99, 103, 255)},
    "zs": np.array([4], np.uint8),
}


def original(nodes: Sequence[Node], constants: Mapping[str, Tensor], outputs: int = WIDTH) -> bytes:
    """Of a, integers from -4 to 99, and b, from 0 to 255; the last node is cast to the output."""
    used = {name for each in nodes for name in each.inputs} & {"a", "b"}
    entry = {
        "a": [node("Cast", "p", "p0", to=TO_FLOAT), node("Clip", "p0 least most", "a")],
        "b": [node("Cast", "q", "b", to=TO_FLOAT)],
    }
    ports = {"a": Port("p", "int8", (1, WIDTH)), "b": Port("q", "uint8", (1, WIDTH))}
    limits = {"least": floats((), [-4]), "most": floats((), [99])}
    every = [each for name in sorted(used) for each in entry[name]]
    last = node("Cast", nodes[-1].outputs[0], "y", to=TO_INT32)
    model = file(
        [*every, *nodes, last],
        [ports[name] for name in sorted(used)],
        [Port("y", "int32", (1, outputs))],
        {**limits, **constants},
    )
    prove(model)
    return model


def by_hand(model: bytes, nodes: Sequence[Node], constants: Mapping[str, Array] = CONSTANTS) -> bytes:
    """The original with these nodes for those from a and b to the cast; its result is that of the last."""
    graph = read(model, TWIN)
    last = nodes[-1].outputs[0]
    coded = [
        Node(0, "QuantizeLinear", ("a", "one", "z4"), ("ca",), {}),
        Node(0, "QuantizeLinear", ("b", "one", "z0"), ("cb",), {}),
    ]
    tensors = {name: from_array(array) for name, array in {**CONSTANTS, **constants}.items()}
    ends = tuple(each for each in graph.nodes if each.inputs[0] == last)
    entry = tuple(each for each in graph.nodes if each.outputs[0] in ("p0", "a", "b"))
    known = {name for each in entry for name in each.outputs}
    every = (*entry, *(each for each in coded if each.inputs[0] in known), *nodes, *ends)
    return assembled(graph, every, tensors)


def assembled(graph: Graph, nodes: Sequence[Node], tensors: Mapping[str, Tensor]) -> bytes:
    """The file of a graph with other nodes and more constants."""
    numbered = tuple(replace(each, position=position) for position, each in enumerate(nodes))
    return with_domain(Graph(graph.inputs, graph.outputs, numbered, {**graph.constants, **tensors}, {}))


def made(operator: str, inputs: str, output: str, domain: str = "") -> Node:
    """`-` is an input that is left out."""
    names = tuple("" if name == "-" else name for name in inputs.split())
    return Node(0, operator, names, (output,), {}, domain)


def real(code: str, zero: str, output: str) -> Node:
    return made("DequantizeLinear", f"{code} one {zero}", output)


def ensure_right(model: bytes, derived: bytes) -> None:
    """The twin is accepted, and rightly."""
    ensure_equal(model, derived)
    random = np.random.default_rng(0)
    for _ in range(5):
        ports = read(model, TWIN).inputs
        values = [random.integers(0, 256, (1, WIDTH), dtype=np.uint8) for _ in ports]
        x = tuple(from_array(each.view(port.dtype)) for each, port in zip(values, ports, strict=True))
        assert run(quantized(), derived, x) == run(NumpyEngine(), model, x)


def refused(model: bytes, derived: bytes, reason: str | None = None) -> None:
    with pytest.raises(Unequal, match=reason):
        ensure_equal(model, derived)


# Sums of two.

LIMITS = {"low": floats((), [-4]), "high": floats((), [251])}


def combined(operator: str, left: str, right: str) -> bytes:
    steps = [node(operator, f"{left} {right}", "s"), node("Clip", "s low high", "c")]
    return original(steps, LIMITS)


def added(inputs: str) -> list[Node]:
    return [made("QLinearAdd", inputs, "cc", CONTRIBUTED), real("cc", "z4", "c")]


def test_a_sum_is_of_those_two_and_nothing_else() -> None:
    right = added("ca one z4 cb one z0 one z4")
    ensure_right(combined("Add", "a", "b"), by_hand(combined("Add", "a", "b"), right))
    ensure_right(combined("Add", "b", "a"), by_hand(combined("Add", "b", "a"), right))
    twice = added("cb one z0 cb one z0 one z4")
    ensure_right(combined("Add", "b", "b"), by_hand(combined("Add", "b", "b"), twice))
    refused(combined("Add", "a", "b"), by_hand(combined("Add", "a", "b"), twice))
    refused(combined("Add", "b", "b"), by_hand(combined("Add", "b", "b"), right))
    for other in ("Max", "Min", "Sub"):
        refused(combined(other, "a", "b"), by_hand(combined(other, "a", "b"), right))


@pytest.mark.parametrize(
    "inputs",
    [
        "ca two z4 cb one z0 one z4",
        "ca one z4 cb two z0 one z4",
        "ca one z4 cb one z0 two z4",
        "ca ones z4 cb one z0 one z4",
        "ca one z2 cb one z0 one z4",
        "ca one z4 cb one z2 one z4",
        "ca one z4 cb one z0 one z2",
        "ca one zs cb one z0 one z4",
        "ca one z4 cb one z0 one zs",
        "ca one z4 q one z2 one z4",
        "p one z0 cb one z0 one z4",
    ],
)
def test_every_scale_and_zero_of_a_sum_counts(inputs: str) -> None:
    model = combined("Add", "a", "b")
    refused(model, by_hand(model, added(inputs)))


def test_what_stands_for_a_tensor_is_no_other() -> None:
    """In the conversions from floats to bytes and back."""
    model = combined("Add", "a", "b")
    sums = added("ca one z4 cb one z0 one z4")[0]
    refused(model, by_hand(model, [sums, made("DequantizeLinear", "cc two z4", "c")]))
    refused(model, by_hand(model, [sums, real("cc", "z2", "c")]))
    for inputs in ("a two z4", "a one z2", "p0 one z4", "b one z4"):
        other = made("QuantizeLinear", inputs, "cd")
        refused(model, by_hand(model, [other, *added("cd one z4 cb one z0 one z4")]))
    short = made("QuantizeLinear", "a one z2", "cd")
    refused(model, by_hand(model, [short, *added("cd one z2 cb one z0 one z4")]), "fit into bytes")


def test_a_tensor_that_is_no_integer_is_no_bytes() -> None:
    model = original(
        [node("Mul", "b half", "s"), node("Clip", "s low high", "h"), node("Round", "h", "c")],
        LIMITS | {"half": floats((), [0.5])},
    )
    steps = read(model, TWIN).nodes
    nodes = [*steps[1:3], made("QuantizeLinear", "h one z4", "ch"), real("ch", "z4", "c")]
    refused(model, by_hand(model, nodes), "no tensor of integers")


# Moves.


def joined(inputs: str, zero: str) -> list[Node]:
    return [Node(0, "Concat", tuple(inputs.split()), ("cc",), {"axis": 1}), real("cc", zero, "c")]


def test_parts_with_different_zeros_are_not_joined() -> None:
    model = original([node("Concat", "a b", "c", axis=1)], {}, outputs=2 * WIDTH)
    for zero in ("z4", "z0"):
        refused(model, by_hand(model, joined("ca cb", zero)), "zeros")
    same = made("QuantizeLinear", "a one z4", "cd")
    twice = original([node("Concat", "a a", "c", axis=1)], {}, outputs=2 * WIDTH)
    ensure_right(twice, by_hand(twice, [same, *joined("ca cd", "z4")]))


def test_a_node_of_another_kind_is_not_the_original_s() -> None:
    model = combined("Add", "a", "b")
    limited = read(model, TWIN).nodes[4]
    for operator in ("Max", "Mul", "Sub"):
        refused(model, by_hand(model, [made(operator, "a b", "s"), limited]))


# Products.

SHARES = {
    "low": floats((), [-12]),
    "high": floats((), [243]),
    "fine": floats((), [2.0**-9]),
    "share": floats((), [2.0**-8]),
}


def test_a_product_of_more_bits_than_floats_hold_is_refused() -> None:
    """The sum with the zero would be rounded before it is rounded."""
    for left, factor, accepted in (("fine", 2.0**-9, False), ("share", 2.0**-8, True)):
        model = original(
            [
                node("Mul", f"a {left}", "a0"),
                node("Mul", "b share", "b0"),
                node("Mul", "a0 b0", "s"),
                node("Clip", "s low high", "h"),
                node("Round", "h", "c"),
            ],
            SHARES,
        )
        scales = {"left": np.array(factor, np.float32), "right": np.array(2.0**-8, np.float32)}
        nodes = [
            made("QLinearMul", "ca left z4 cb right z0 one z12", "cc", CONTRIBUTED),
            real("cc", "z12", "c"),
        ]
        if accepted:
            ensure_right(model, by_hand(model, nodes, scales))
        else:
            refused(model, by_hand(model, nodes, scales), "halves")


def gated(offset: int) -> bytes:
    """b * HardSigmoid(a), whose integers are a + offset limited to 0..64."""
    return original(
        [
            node("HardSigmoid", "a", "g", alpha=1 / 64, beta=offset / 64),
            node("Mul", "b g", "s"),
            node("Clip", "s low high", "h"),
            node("Round", "h", "c"),
        ],
        SHARES,
    )


def test_a_ramp_is_of_its_own_factor_and_exact_at_both_ends() -> None:
    model = gated(3)
    scales: dict[str, Array] = {"part": np.array(1 / 64, np.float32), "z1": np.array(1, np.uint8)}

    def product(source: str, low: str, high: str, other: str, zero: str = "z1") -> list[Node]:
        inputs = f"{other} ramp part {zero} one z12"
        return [
            made("Clip", f"{source} {low} {high}", "ramp"),
            made("QLinearMul", inputs, "cc", CONTRIBUTED),
            real("cc", "z12", "c"),
        ]

    scales |= {"z65": np.array(65, np.uint8), "z64": np.array(64, np.uint8), "z66": np.array(66, np.uint8)}
    ensure_right(model, by_hand(model, product("ca", "z1", "z65", "cb one z0"), scales))
    for low, high in (("z2", "z65"), ("z0", "z65"), ("z1", "z64"), ("z1", "z66")):
        refused(model, by_hand(model, product("ca", low, high, "cb one z0"), scales), "multiply")
    late = gated(-35)
    scales |= {f"z{each}": np.array(each, np.uint8) for each in (39, 102, 103)}
    ensure_right(late, by_hand(late, product("ca", "z39", "z103", "cb one z0", "z39"), scales))
    refused(late, by_hand(late, product("ca", "z39", "z102", "cb one z0", "z39"), scales), "multiply")
    refused(model, by_hand(model, product("cb", "z1", "z65", "ca one z4"), scales), "multiply")
    refused(model, by_hand(model, product("ca", "z1", "z65", "ca one z4"), scales), "multiply")


# Linear nodes.


def linear(weights: Array, bias: Sequence[float] = (), rounded: bool = True, outputs: int = WIDTH) -> bytes:
    numbers = {"w": from_array(weights.astype(np.float32)), "low": floats((), [0]), "high": floats((), [255])}
    if bias:
        numbers["o"] = floats((len(bias),), list(bias))
    nodes = [node("Gemm", "b w o" if bias else "b w", "s"), node("Clip", "s low high", "h")]
    return original([*nodes, node("Round", "h", "c")] if rounded else nodes, numbers, outputs)


def product(weights: Array, steps: Array, zeros: Array | None = None) -> tuple[list[Node], dict[str, Array]]:
    zeros = np.zeros(len(steps), np.int8) if zeros is None else zeros
    constants: dict[str, Array] = {
        "qw": weights.astype(np.int8),
        "steps": steps.astype(np.float32),
        "zeros": zeros,
    }
    gemm = made("QGemm", "cb one z0 qw steps zeros - one z0", "cc", CONTRIBUTED)
    return [gemm, real("cc", "z0", "c")], constants


EYE = np.eye(WIDTH)
HALVES = np.full(WIDTH, 0.5)


def test_weights_are_at_most_64_and_their_steps_powers_of_two() -> None:
    for weight, step, accepted in (
        (64, 0.5, True),
        (-64, 0.5, True),
        (65, 0.5, False),
        (-65, 0.5, False),
        (-128, 0.5, False),
        (11, 0.75, False),
    ):
        model = linear(EYE * weight * step)
        derived = by_hand(model, *product(EYE * weight, np.full(WIDTH, step)))
        if accepted:
            ensure_right(model, derived)
        else:
            refused(model, derived, "too large" if step == 0.5 else "power of two")


def test_weights_steps_and_zeros_have_the_originals_shapes() -> None:
    alike = np.ones((WIDTH, WIDTH))
    model = linear(alike / 2)
    ensure_right(model, by_hand(model, *product(alike, HALVES)))
    refused(model, by_hand(model, *product(alike[:, :1], HALVES[:1])))
    refused(model, by_hand(model, *product(alike[:1], HALVES)))
    refused(model, by_hand(model, *product(alike, HALVES[:1])))
    refused(model, by_hand(model, *product(alike, np.array(0.5), np.zeros(WIDTH, np.int8))))
    refused(model, by_hand(model, *product(alike, HALVES, np.zeros(1, np.int8))), "zero points")
    refused(model, by_hand(model, *product(alike, HALVES, np.ones(WIDTH, np.int8))), "zero points")


@pytest.mark.parametrize("index", [1, 7])
def test_the_scales_of_a_products_codes_are_one(index: int) -> None:
    model = linear(EYE / 2)
    (gemm, last), constants = product(EYE, HALVES)
    names = tuple("two" if at == index else name for at, name in enumerate(gemm.inputs))
    other = Node(0, "QGemm", names, gemm.outputs, {}, CONTRIBUTED)
    refused(model, by_hand(model, [other, last], constants), "not 1")


def test_what_the_original_does_not_round_the_twin_does_not() -> None:
    model = linear(EYE / 2, rounded=True)
    ensure_right(model, by_hand(model, *product(EYE, HALVES)))
    plain = [node("Gemm", "b w", "s"), node("Clip", "s low high", "c"), node("Round", "c", "r")]
    numbers = {
        "w": from_array((EYE / 2).astype(np.float32)),
        "low": floats((), [0]),
        "high": floats((), [255]),
    }
    nodes, constants = product(EYE, HALVES)
    model = original([*plain[:2], node("Mul", "c two", "d")], numbers | {"two": floats((), [2])})
    derived = by_hand(model, [*nodes, made("Mul", "c two", "d")], constants)
    refused(model, derived, "round|is c")


def test_a_sum_that_a_finer_step_makes_too_large_is_refused() -> None:
    """The same numbers: 32 in steps of one, where the original has multiples of 32."""
    terms = 2100
    numbers = {"w": floats((terms, 1), [32.0] * terms)}
    nodes = [
        node("Cast", "x", "b", to=TO_FLOAT),
        node("MatMul", "b w", "s"),
        node("Cast", "s", "y", to=TO_INT32),
    ]
    model = file(nodes, [Port("x", "uint8", (1, terms))], [Port("y", "int32", (1, 1))], numbers)
    prove(model)
    graph = read(model, TWIN)
    for weight, accepted in ((1, True), (32, False)):
        constants: dict[str, Array] = {
            "one": np.array(1, np.float32),
            "z0": np.array(0, np.uint8),
            "qw": np.full((terms, 1), weight, np.int8),
            "steps": np.array([32 / weight], np.float32),
        }
        steps = (
            graph.nodes[0],
            made("QuantizeLinear", "b one z0", "cb"),
            made("MatMulInteger", "cb qw z0", "sums"),
            Node(0, "Cast", ("sums",), ("real",), {"to": TO_FLOAT}),
            made("Mul", "real steps", "s"),
            graph.nodes[2],
        )
        derived = assembled(graph, steps, {name: from_array(each) for name, each in constants.items()})
        if accepted:
            ensure_equal(model, derived)
        else:
            refused(model, derived, "24 bits")
