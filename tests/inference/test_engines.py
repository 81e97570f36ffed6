"""Every engine, at every setting, gives the bits that the integer function defines."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from random import Random

import onnx
import pytest

from inference.certificate import decode_outputs, encode_outputs, in_range
from inference.engines.interface import EngineError, InferenceEngine, run
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.operations import registry
from inference.engines.reference import NumpyEngine
from inference.graph import AttributeValue, Port
from inference.operators.registry import EXACT
from inference.prover import Proof, prove
from inference.refusal import Refused
from inference.tensor import Tensor, from_integers, integers
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node, two_layers

ENGINES: list[InferenceEngine] = [NumpyEngine()] + [
    OnnxRuntimeEngine(threads, optimization) for threads in (1, 2, 4) for optimization in Optimization
]


def deep(seed: int) -> bytes:
    """Three layers, with weights of mixed steps near the limit, MatMul with Add as well as Gemm."""
    random = Random(seed)
    sizes = (24, 33, 17, 5)
    nodes = [node("Cast", "x", "h0", to=TO_FLOAT)]
    constants = {"zero": floats((), (0,)), "top": floats((), (511,))}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        largest = 2**24 // (512 * inputs)
        columns = [2.0 ** random.randint(-9, 0) for _ in range(outputs)]
        weights = [random.randint(-largest, largest - 2) * scale for _ in range(inputs) for scale in columns]
        constants[f"w{layer}"] = floats((inputs, outputs), weights)
        constants[f"b{layer}"] = floats(
            (outputs,), [random.randint(-largest, largest) * each for each in columns]
        )
        if layer % 2:
            nodes.append(node("Gemm", f"h{layer} w{layer} b{layer}", f"s{layer}"))
        else:
            nodes.append(node("MatMul", f"h{layer} w{layer}", f"p{layer}"))
            nodes.append(node("Add", f"p{layer} b{layer}", f"s{layer}"))
        if layer < len(sizes) - 2:
            nodes.append(node("Clip", f"s{layer} zero top", f"c{layer}"))
            nodes.append(node("Round", f"c{layer}", f"h{layer + 1}"))
    nodes += [node("Round", "s2", "r"), node("Cast", "r", "y", to=TO_INT32)]
    return file(nodes, [Port("x", "int8", (1, sizes[0]))], [Port("y", "int32", (1, sizes[-1]))], constants)


def moved() -> bytes:
    """Flatten, Reshape, Relu, Sub, Mul and Identity."""
    nodes = [
        node("Flatten", "x", "flat", axis=1),
        node("Cast", "flat", "real", to=TO_FLOAT),
        node("Sub", "real offset", "centred"),
        node("Mul", "centred factor", "scaled"),
        node("Relu", "scaled", "positive"),
        node("Round", "positive", "whole"),
        node("Identity", "whole", "same"),
        node("Reshape", "same shape", "square"),
        node("Cast", "square", "y", to=TO_INT32),
    ]
    constants = {
        "offset": floats((4,), (3, -3, 0, 100)),
        "factor": floats((1, 4), (0.5, 0.25, -3, 1.5)),
        "shape": from_integers("int64", (3,), [1, -1, 2]),
    }
    return file(nodes, [Port("x", "int8", (1, 2, 2))], [Port("y", "int32", (1, 2, 2))], constants)


def scaled(before: Sequence[int], weight: int, after: Sequence[int], last: int) -> bytes:
    """Factors, all powers of two, before and after a MatMul: engines may make one factor of them."""
    names = ["x"]
    nodes = []
    constants = {"w": floats((2, 2), [2.0**weight, 0, 0, 2.0**weight])}

    def put(operator: str, second: str = "", **attributes: AttributeValue) -> None:
        nodes.append(node(operator, f"{names[-1]}{second}", f"t{len(names)}", **attributes))
        names.append(f"t{len(names)}")

    put("Cast", to=TO_FLOAT)
    for at, factor in enumerate((*before, None, *after, last)):
        if factor is not None:
            constants[f"f{at}"] = floats((), [2.0**factor])
        put(*(("MatMul", " w") if factor is None else ("Mul", f" f{at}")))
    put("Cast", to=TO_INT32)
    return file(nodes, [Port("x", "int8", (1, 2))], [Port(names[-1], "int32", (1, 2))], constants)


MODELS = {
    "small factors": scaled([-20, -16], 51, [-51], 36),
    "large factors": scaled([15], -51, [21, 30], -15),
    "no bias": file(
        [
            node("Cast", "x", "real", to=TO_FLOAT),
            node("Gemm", "real w -", "sums"),
            node("Cast", "sums", "y", to=TO_INT32),
        ],
        [Port("x", "int8", (1, 2))],
        [Port("y", "int32", (1, 2))],
        {"w": floats((2, 2), [1, 2, 3, 4])},
    ),
    "two layers": two_layers(),
    "moved": moved(),
} | {f"deep {seed}": deep(seed) for seed in range(6)}


def samples(proof: Proof, count: int) -> Iterator[tuple[Tensor, ...]]:
    """The corners of the input range, then random inputs."""
    port = proof.certificate.inputs[0]
    random = Random(7)
    size = 1
    for dimension in port.shape:
        size *= dimension
    for constant in (port.low, port.high, 0):
        yield (from_integers(port.dtype, port.shape, [constant] * size),)
    for _ in range(count):
        values = [random.randint(port.low, port.high) for _ in range(size)]
        yield (from_integers(port.dtype, port.shape, values),)


@pytest.mark.parametrize(
    ("before", "weight", "after", "last"), [([100], -100, [100], -100), ([-100], 126, [-26], 0)]
)
def test_factors_whose_product_leaves_float32_are_refused(
    before: list[int], weight: int, after: list[int], last: int
) -> None:
    with pytest.raises(Refused, match=r"outside|no multiple"):
        prove(scaled(before, weight, after, last))


@pytest.mark.parametrize("data", MODELS.values(), ids=list(MODELS))
def test_all_engines_agree_bit_for_bit(data: bytes) -> None:
    proof = prove(data)
    models = [engine.load(proof.canonical) for engine in ENGINES]
    for inputs in samples(proof, 15):
        answers = {model.run(inputs) for model in models}
        assert len(answers) == 1
        assert in_range(proof.certificate.outputs, answers.pop())


@pytest.mark.parametrize("engine", [NumpyEngine(), OnnxRuntimeEngine()], ids=["numpy", "onnxruntime"])
def test_the_answer_is_the_integer_function(engine: InferenceEngine) -> None:
    x = (5, -7, 100)
    weights = (3, -2, 0.5, 4, 1, -1, 2, 0.25, -5, 6, 7, -8)
    sums = [
        sum(Fraction(weights[row * 4 + column]) * x[row] for row in range(3)) + Fraction(bias)
        for column, bias in enumerate((1, -2.5, 3, 0))
    ]
    hidden = [round(min(max(each, Fraction(0)), Fraction(255))) for each in sums]
    scores = [sum((row + 1 + row) * hidden[row] for row in range(4)) + 10]
    scores.append(sum(-(2 * row + 2) * hidden[row] for row in range(4)) + 20)
    proof = prove(two_layers())
    outputs = run(engine, proof.canonical, (from_integers("int8", (1, 3), x),))
    assert [integers(output) for output in outputs] == [tuple(scores), (scores.index(max(scores)),)]
    attested = encode_outputs(proof.certificate, outputs)
    assert decode_outputs(proof.certificate, attested) == outputs[:1]


@pytest.mark.parametrize("engine", [NumpyEngine(), OnnxRuntimeEngine()], ids=["numpy", "onnxruntime"])
def test_trouble_is_an_engine_error(engine: InferenceEngine) -> None:
    with pytest.raises(EngineError):
        engine.load(b"nonsense")
    model = engine.load(prove(two_layers()).canonical)
    with pytest.raises(EngineError):
        model.run(())
    with pytest.raises(EngineError):
        model.run((from_integers("int8", (1, 2), (1, 2)),))


@pytest.mark.parametrize("data", MODELS.values(), ids=list(MODELS))
def test_the_onnx_checker_accepts_the_canonical_file(data: bytes) -> None:
    onnx.checker.check_model(onnx.load_from_string(prove(data).canonical), full_check=True)


def test_the_reference_engine_has_an_operation_for_each_operator_that_is_proved() -> None:
    admitted = [operator for operators in EXACT.operators.values() for operator in operators]
    assert sorted(registry.OPERATIONS) == sorted(admitted)
