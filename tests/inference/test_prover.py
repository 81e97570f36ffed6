"""What the prover certifies, and each reason for which it refuses."""

import pytest

from inference import graph
from inference.certificate import VERDICT_BYTES_MAX, Scale, decode_verdict, encode_verdict
from inference.graph import AttributeValue, Port
from inference.operators.rule import work_on
from inference.prover import OUTPUT_BYTES_MAX, prove, verdict
from inference.refusal import Refusal, Refused
from inference.tensor import Tensor, from_integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node, one_node, two_layers

X = Port("x", "int8", (1, 3))


def reason(data: bytes) -> str:
    """Why the file is refused, with the node."""
    with pytest.raises(Refused) as refused:
        prove(data)
    return str(refused.value)


def test_a_dense_network_is_certified() -> None:
    certificate = prove(two_layers()).certificate
    scores, chosen = certificate.outputs
    assert [(port.name, port.low, port.high) for port in certificate.inputs] == [("x", -128, 127)]
    assert (scores.dtype, scores.shape, scores.low, scores.high) == ("int32", (1, 2), -5100, 4090)
    assert (chosen.dtype, chosen.shape, chosen.low, chosen.high) == ("int64", (1,), 0, 1)
    assert certificate.attested == (0,)
    assert (certificate.macs, certificate.elements, certificate.nodes) == (12 + 8, 22, 8)


def test_a_verdict_survives_its_bytes() -> None:
    for data in (two_layers(), b"nonsense"):
        assert decode_verdict(encode_verdict(verdict(data))) == verdict(data)


def test_the_canonical_file_is_its_own_canonical_file() -> None:
    proof = prove(two_layers())
    assert prove(proof.canonical) == proof


def test_scales_come_from_the_file() -> None:
    metadata = {"exact.scale.x": "1/3 5/2 7/1", "exact.zero.x": "-4", "other": "ignored"}
    certificate = prove(two_layers(metadata=metadata)).certificate
    assert certificate.inputs[0].scales == tuple(
        Scale(numerator=top, denominator=bottom) for top, bottom in ((1, 3), (5, 2), (7, 1))
    )
    assert certificate.inputs[0].zero_points == (-4,)
    assert certificate.model_hash != prove(two_layers()).certificate.model_hash


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"exact.scale.x": "2/4"}, "lowest terms"),
        ({"exact.scale.x": "0/1"}, "not numerator/denominator"),
        ({"exact.scale.x": "1/2 1/2"}, "2 scales or zero points for 3 channels"),
        ({"exact.scale.x": "9999999999999999999/1"}, "too long"),
        ({"exact.zero.x": "1.5"}, "not an integer"),
        ({"exact.zero.nobody": "1"}, "belongs to no input or output"),
    ],
)
def test_a_false_declaration_is_refused(metadata: dict[str, str], why: str) -> None:
    assert why in reason(two_layers(metadata=metadata))


def test_a_certificate_too_long_to_be_kept_is_refused() -> None:
    def wide(scales: int) -> bytes:
        nodes = [node("Cast", "x", "r", to=TO_FLOAT), node("Cast", "r", "y", to=TO_INT32)]
        ports = [Port("x", "int8", (1, scales))], [Port("y", "int32", (1, scales))]
        return file(nodes, *ports, metadata={"exact.scale.x": " ".join(["12345/1099511627776"] * scales)})

    assert len(encode_verdict(verdict(wide(290)))) < VERDICT_BYTES_MAX
    assert "the certificate is longer than 4096 bytes" in reason(wide(320))
    assert "1025 scales or zero points, more than 1024" in reason(wide(1025))


def test_a_clip_gives_an_input_its_range() -> None:
    nodes = [
        node("Clip", "x low high", "limited"),
        node("Cast", "limited", "real", to=TO_FLOAT),
        node("Cast", "real", "y", to=TO_INT32),
    ]
    limits = {"low": from_integers("int32", (), [-2000]), "high": from_integers("int32", (), [1999])}
    data = file(nodes, [Port("x", "int32", (1, 3))], [Port("y", "int32", (1, 3))], limits)
    certificate = prove(data).certificate
    for port in (certificate.inputs[0], certificate.outputs[0]):
        assert (port.low, port.high) == (-2000, 1999)


def test_a_clip_beside_another_reader_gives_an_input_no_range() -> None:
    nodes = [node("Clip", "x low high", "y"), node("Identity", "x", "z")]
    limits = {"low": from_integers("int8", (), [-2]), "high": from_integers("int8", (), [1])}
    data = file(nodes, [X], [Port("y", "int8", (1, 3)), Port("z", "int8", (1, 3))], limits)
    (entering,) = prove(data).certificate.inputs
    assert (entering.low, entering.high) == (-128, 127)


def test_outputs_are_as_long_as_a_reply_and_no_longer() -> None:
    def wide(size: int) -> bytes:
        return file([node("Identity", "x", "y")], [Port("x", "int8", (size,))], [Port("y", "int8", (size,))])

    assert prove(wide(OUTPUT_BYTES_MAX)).certificate.elements == OUTPUT_BYTES_MAX
    assert "the outputs take 8388609 bytes" in reason(wide(OUTPUT_BYTES_MAX + 1))


def test_a_file_whose_canonical_form_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes that have their defaults may be left out, but not of the canonical file."""
    data = two_layers()
    assert len(prove(data).canonical) > len(data)
    monkeypatch.setattr(graph, "MODEL_BYTES_MAX", len(data))
    assert f"more than {len(data)}" in reason(data)


def test_what_follows_a_ranking_is_not_attested() -> None:
    nodes = [node("ArgMax", "x32", "class", axis=1, keepdims=0), node("Cast", "class", "y", to=TO_INT32)]
    nodes = [node("Cast", "x", "x32", to=TO_INT32), *nodes]
    outputs = [Port("y", "int32", (1,)), Port("x32", "int32", (1, 3))]
    assert prove(file(nodes, [X], outputs)).certificate.attested == (1,)


def test_a_sum_of_what_is_never_0_may_hold_a_part_of_the_terms() -> None:
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Clip", "r low high", "c"),
        node("ReduceSum", "c axes", "s", keepdims=0),
        node("Cast", "s", "y", to=TO_INT32),
    ]
    constants = {"low": floats((), [4]), "high": floats((), [5]), "axes": from_integers("int64", (1,), [1])}
    (output,) = prove(file(nodes, [X], [Port("y", "int32", (1,))], constants)).certificate.outputs
    assert (output.low, output.high) == (0, 15)


def test_what_is_below_0_everywhere_is_0_after_a_relu() -> None:
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Clip", "r low high", "c"),
        node("Relu", "c", "p"),
        node("Cast", "p", "y", to=TO_INT32),
    ]
    constants = {"low": floats((), [-5]), "high": floats((), [-4])}
    (output,) = prove(file(nodes, [X], [Port("y", "int32", (1, 3))], constants)).certificate.outputs
    assert (output.low, output.high) == (0, 0)


def test_an_unlimited_int32_is_refused() -> None:
    assert "needs 32 bits, float32 holds 24" in reason(one_node("Relu", dtype="int32"))


def test_a_sum_is_exact_up_to_the_mantissa_and_no_further() -> None:
    below = [43690.0, -43690.0, 43690.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert prove(two_layers(first=below, first_bias=(3, 0, 0, 0))).certificate.nodes == 8
    above = [50000.0, 50000.0, 50000.0, 0] * 3
    assert "node 1 (Gemm -> sums): channel 0 needs 25 bits" in reason(two_layers(first=above))


def test_a_lower_limit_of_a_type_counts_too() -> None:
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Clip", "r low high", "c"),
        node("Cast", "c", "y", to=2),
    ]
    limits = {"low": floats((), [-1]), "high": floats((), [9])}
    data = file(nodes, [X], [Port("y", "uint8", (1, 3))], limits)
    assert "numbers from -1 to 9, beyond uint8" in reason(data)


def test_bounds_hold_for_every_subset_of_the_terms() -> None:
    """The bias alone, the products alone: an engine may add them in any order."""
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Clip", "r low high", "c"),
        node("Gemm", "c w b", "s"),
        node("Mul", "s three", "m"),
        node("Cast", "m", "y", to=TO_INT32),
    ]
    constants = {
        "low": floats((), [4]),
        "high": floats((), [5]),
        "w": floats((3, 1), [10, 10, -1]),
        "b": floats((1,), [-7]),
        "three": floats((), [3]),
    }
    (output,) = prove(file(nodes, [X], [Port("y", "int32", (1, 1))], constants)).certificate.outputs
    assert (output.low, output.high) == (3 * (-5 - 7), 3 * (50 + 50))


def test_a_product_is_bounded_with_zero() -> None:
    """Because an engine may move the factor into weights, and add in between."""
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Clip", "r low high", "c"),
        node("Mul", "c three", "m"),
        node("Cast", "m", "y", to=TO_INT32),
    ]
    constants = {"low": floats((), [4]), "high": floats((), [5]), "three": floats((), [3])}
    (output,) = prove(file(nodes, [X], [Port("y", "int32", (1, 3))], constants)).certificate.outputs
    assert (output.low, output.high) == (0, 15)


def test_a_small_bias_costs_bits_too() -> None:
    bias = (2.0**-16, 0, 0, 0)
    assert "channel 0 needs 25 bits" in reason(two_layers(first=[1] * 12, first_bias=bias))


@pytest.mark.parametrize(
    ("operator", "constant", "attributes", "why"),
    [
        ("MatMul", floats((2, 3), [1] * 6), {}, "2 weights meet 3 elements"),
        ("MatMul", floats((3,), [1] * 3), {}, "weights must be matrices"),
        ("Gemm", floats((3, 3), [1] * 9), {"alpha": 0.5}, "alpha and beta must be 1"),
        ("Gemm", floats((3, 3), [1] * 9), {"beta": 0.5}, "alpha and beta must be 1"),
        ("Gemm", floats((3, 3), [1] * 9), {"transA": 1}, "transA must be 0"),
        ("Gemm", floats((3, 3), [1] * 9), {"alpha": 1}, "wrong type"),
        ("Gemm", floats((3, 3), [1] * 9), {"fast": 1}, "the attribute 'fast' is not allowed"),
        ("Gemm", floats((3, 3), [1.0] * 8 + [float("nan")]), {}, "infinite or not a number"),
        ("Gemm", floats((3, 3), [1.0] * 8 + [float("-inf")]), {}, "infinite or not a number"),
        ("Gemm", floats((3, 3), [1.0] * 8 + [2.0**-140]), {}, "subnormal"),
        ("Add", floats((2,), [1] * 2), {}, "the shapes [1, 3] and [2] do not meet"),
        ("Mul", floats((3,), [1, 2**16 + 1, 2**-3]), {}, "node 2 (Round -> rounded): needs 32 bits"),
        ("Mul", from_integers("int32", (), [2]), {}, "not float32 or float64"),
        ("Clip", None, {}, "1 inputs are not allowed"),
    ],
)
def test_an_operator_out_of_its_bounds_is_refused(
    operator: str, constant: Tensor | None, attributes: dict[str, AttributeValue], why: str
) -> None:
    assert why in reason(one_node(operator, constant, dtype="int16", **attributes))


def test_limits_in_the_wrong_order_are_refused() -> None:
    constants = {"low": from_integers("int8", (), [3]), "high": from_integers("int8", (), [2])}
    nodes = [node("Clip", "x low high", "y")]
    assert "lower limit is above" in reason(file(nodes, [X], [Port("y", "int8", (1, 3))], constants))


def test_a_bias_must_be_one_per_output() -> None:
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Gemm", "r w b", "s"),
        node("Cast", "s", "y", to=TO_INT32),
    ]
    constants = {"w": floats((3, 3), [1] * 9), "b": floats((1, 3), [1] * 3)}
    assert "the bias is [1, 3], not [3]" in reason(file(nodes, [X], [Port("y", "int32", (1, 3))], constants))


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (TO_FLOAT, "no integer tensor"),
        (10, "element type 10 is not allowed"),
        (3, "numbers from -32768 to 32767, beyond int8"),
        (2, "beyond uint8: Clip them first"),
    ],
)
def test_an_output_is_an_integer_that_fits(to: int, why: str) -> None:
    dtype = {TO_FLOAT: "float32", 2: "uint8", 3: "int8"}.get(to, "int32")
    nodes = [node("Cast", "x", "r", to=TO_FLOAT), node("Cast", "r", "y", to=to)]
    assert why in reason(file(nodes, [Port("x", "int16", (1, 3))], [Port("y", dtype, (1, 3))]))


def test_a_cast_of_fractions_is_refused() -> None:
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Mul", "r h", "s"),
        node("Cast", "s", "y", to=TO_INT32),
    ]
    data = file(nodes, [X], [Port("y", "int32", (1, 3))], {"h": floats((), [0.5])})
    assert reason(data) == "node 2 (Cast -> y): holds numbers that are not integers: Round them first"


def test_a_wrong_output_shape_is_refused() -> None:
    nodes = [node("Cast", "x", "r", to=TO_FLOAT), node("Cast", "r", "y", to=TO_INT32)]
    assert "int32[1, 3], not int32[3]" in reason(file(nodes, [X], [Port("y", "int32", (3,))]))


def test_the_scores_of_a_class_must_be_an_output() -> None:
    nodes = [
        node("Cast", "x", "r", to=TO_FLOAT),
        node("Cast", "r", "s", to=TO_INT32),
        node("ArgMax", "s", "y", axis=1, keepdims=0),
    ]
    assert "the scores must be an output as well" in reason(file(nodes, [X], [Port("y", "int64", (1,))]))


def test_wiring_is_checked() -> None:
    out = [Port("y", "int8", (1, 3))]
    same = node("Identity", "x", "y")
    assert "lacks inputs, outputs or nodes" in reason(file([], [X], out))
    assert "has no name" in reason(file([same], [X, X], out))
    assert "has no name" in reason(file([same], [X, Port("", "int8", (1,))], out))
    assert "an input is an output" in reason(file([same], [X], [*out, X]))
    assert "not computed before" in reason(file([node("Identity", "z", "y")], [X], out))
    assert "outputs must have names of their own" in reason(file([same, same], [X], out))
    assert "computed nowhere" in reason(file([same], [X], [Port("z", "int8", (1, 3))]))
    assert "given twice" in reason(file([same], [X], out * 2))
    assert "nothing uses 'z'" in reason(file([same, node("Identity", "x", "z")], [X], out))
    assert "nothing uses 'z'" in reason(file([same], [X, Port("z", "int8", (1,))], out))
    pair = [node("Identity", "c", "y"), node("Identity", "x", "z")]
    both = [*out, Port("z", "int8", (1, 3))]
    constant = {"c": from_integers("int8", (), [1])}
    assert "all inputs are constants" in reason(file(pair, [X], both, constant))


def test_reshapes_keep_the_elements() -> None:
    def reshaped(sizes: list[int], shape: tuple[int, ...]) -> bytes:
        constants = {"s": from_integers("int64", (len(sizes),), sizes)}
        return file([node("Reshape", "x s", "y")], [X], [Port("y", "int8", shape)], constants)

    assert prove(reshaped([3, 0 - 1], (3, 1))).certificate.elements == 3
    assert prove(reshaped([0, -1, 1], (1, 3, 1))).certificate.elements == 3
    assert "cannot take the shape" in reason(reshaped([2, -1], (2, 1)))
    assert "cannot take the shape" in reason(reshaped([-1, -1], (1, 3)))


def test_a_refusal_names_the_node() -> None:
    assert verdict(one_node("Add", floats((2,), [1, 2]))) == Refusal(
        node="node 1 (Add -> result)", reason="the shapes [1, 3] and [2] do not meet"
    )


def test_a_proof_has_a_bounded_number_of_steps() -> None:
    work = work_on(1_000)
    work.spend(work.steps_max)
    with pytest.raises(Refused, match="the proof takes more than"):
        work.spend(1)


@pytest.mark.parametrize("operator", ["Identity", "Reshape", "Relu", "MatMul"])
def test_a_short_file_cannot_ask_for_a_long_proof(operator: str) -> None:
    second = {"Reshape": " shape", "MatMul": " weights"}.get(operator, "")
    channels = 256
    chain = [node(operator, f"t{at}{second}", f"t{at + 1}") for at in range(1_000)]
    nodes = [node("Cast", "x", "real", to=TO_FLOAT), node("Mul", "real factors", "t0"), *chain]
    constants = {
        "factors": floats((channels,), range(channels)),
        "shape": from_integers("int64", (2,), [1, channels]),
        "weights": floats((channels, channels), [0] * channels**2),
    }
    data = file(
        [*nodes, node("Cast", "t1000", "y", to=TO_INT32)],
        [Port("x", "int8", (1, channels))],
        [Port("y", "int32", (1, channels))],
        constants,
    )
    assert "too many for so short a file" in reason(data)
