"""Softmax, layer norm, tables and activations: proved, alike everywhere, never fused, close to the reals."""

from math import erf
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from inference.certificate import Assumption
from inference.converter import spellings
from inference.converter.program import Reals
from inference.converter.spellings import Activation, Centring, Shape
from inference.engines.interface import Array, InferenceEngine, from_array, to_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.graph import Port
from inference.prover import Proof, prove
from inference.refusal import Refused
from inference.schema import ELEMENT_CODES
from tests.inference.build import Grown

ENGINES: list[InferenceEngine] = [NumpyEngine()] + [
    OnnxRuntimeEngine(threads, optimization) for threads in (1, 3) for optimization in Optimization
]
FOUR = Assumption(ulps=4)
TOKENS, HEADS, WIDTH = 19, 2, 48


def started(low: int, high: int) -> tuple[Grown, str]:
    """A graph with an int16 input that is limited and cast."""
    grown = Grown()
    limits = [grown.constant(np.array(limit, np.int32)) for limit in (low, high)]
    clipped = grown.add("Clip", "x", *limits)
    return grown, grown.add("Cast", clipped, to=ELEMENT_CODES["float32"])


def softmax(low: int, high: int, scale: float, top: int) -> bytes:
    """Attention scores x[1, heads, tokens, tokens]."""
    grown, x = started(low, high)
    shape = (1, HEADS, TOKENS, TOKENS)
    shares = spellings.softmax(grown, x, span=high - low, scale=scale, axis=3, shape=shape, top=top)
    return grown.file(shares, Port("x", "int32", shape), shape)


def layer_norm(
    limit: int,
    width: int,
    epsilon: float,
    gain: Reals,
    limits: tuple[int, int] | None = (-2000, 2000),
    **options: Any,
) -> bytes:
    grown, x = started(-limit, limit)
    shape = (1, TOKENS, width)
    normed = spellings.norm(
        grown, x, axes=(2,), count=width, epsilon=epsilon, gain=gain, limits=limits, **options
    )
    return grown.file(normed, Port("x", "int32", shape), shape)


def run(engine: InferenceEngine, proof: Proof, x: Array) -> Array:
    return to_array(engine.load(proof.canonical).run((from_array(x.astype(np.int32)),))[0])


def agreed(proof: Proof, x: Array) -> Array:
    """What all engines compute, within the bounds."""
    first, *others = (run(engine, proof, x) for engine in ENGINES)
    assert all(np.array_equal(other, first) for other in others)
    (port,) = proof.certificate.outputs
    assert port.low <= first.min()
    assert first.max() <= port.high
    return first


def random_integers(low: int, high: int, *shape: int) -> list[Array]:
    """Wide, narrow and constant rows: sharp and flat distributions."""
    generator = np.random.default_rng(11)
    rows = [generator.integers(low, high + 1, shape), generator.integers(low // 16, high // 16 + 1, shape)]
    return [*rows, np.full(shape, low), np.full(shape, high), np.zeros(shape, np.int64)]


@pytest.mark.parametrize(
    ("low", "high", "scale", "top"),
    [(-128, 127, 0.06, 255), (-2000, 2000, 0.004, 4095), (0, 15, 1.0, 1024), (-128, 127, 0.5, 1)],
)
def test_softmax_is_exact_and_close(low: int, high: int, scale: float, top: int) -> None:
    proof = prove(softmax(low, high, scale, top))
    for x in random_integers(low, high, 1, HEADS, TOKENS, TOKENS):
        real = np.exp((x - x.max(axis=3, keepdims=True)) * scale)
        wanted = top * real / real.sum(axis=3, keepdims=True)
        assert np.abs(agreed(proof, x) - wanted).max() <= 0.5 + top * 2.0**-15


@pytest.mark.parametrize(("limit", "width"), [(127, WIDTH), (2047, 96), (255, 768), (90, 1)])
def test_layer_norm_is_exact_and_close(limit: int, width: int) -> None:
    gain = np.linspace(-40, 90, width)
    proof = prove(layer_norm(limit, width, 0.3, gain))
    for x in random_integers(-limit, limit, 1, TOKENS, width):
        centred = x - x.mean(axis=2, keepdims=True)
        wanted = gain * centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 0.3)
        assert np.abs(agreed(proof, x) - np.clip(wanted, -2000, 2000)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("limit", "width"), [(2047, WIDTH), (32767, 768)])
def test_norm_about_zero_is_exact_and_close(limit: int, width: int) -> None:
    gain = np.linspace(-40, 90, width)
    proof = prove(layer_norm(limit, width, 2.0, gain, centring=Centring.NOTHING))
    for x in random_integers(-limit, limit, 1, TOKENS, width):
        wanted = gain * x / np.sqrt((np.asarray(x, np.float64) ** 2).mean(axis=2, keepdims=True) + 2.0)
        assert np.abs(agreed(proof, x) - np.clip(wanted, -2000, 2000)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("limit", "width", "fraction"), [(2047, 3000, 7), (1023, 4096, 2)])
def test_norm_about_a_rounded_mean_is_exact_and_close(limit: int, width: int, fraction: int) -> None:
    gain = np.linspace(-40, 90, width)
    data = layer_norm(limit, width, 0.3, gain, centring=Centring.ROUNDED_MEAN, fraction=fraction)
    proof = prove(data)
    for x in random_integers(-limit, limit, 1, TOKENS, width):
        centred = x - x.mean(axis=2, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=2, keepdims=True) + 0.3)
        wanted = np.clip(gain * centred / deviation, -2000, 2000)
        allowed = 0.5 + 1e-3 + 90 * 2.0 ** -(fraction + 1) / deviation * (deviation > 1)
        assert (np.abs(agreed(proof, x) - wanted) <= allowed).all()


def test_layer_norm_without_limits_reaches_what_it_may() -> None:
    """With one number in the row, no other: its deviation is nearly the root of the sum of all squares."""
    gain = np.linspace(-9, 30, WIDTH)
    proof = prove(layer_norm(2047, WIDTH, 0.3, gain, None))
    (port,) = proof.certificate.outputs
    reach = spellings.norm_reach(gain, WIDTH)
    assert (port.low, port.high) == (-reach, reach)
    x = np.zeros((1, TOKENS, WIDTH))
    x[..., -1] = 2047
    assert agreed(proof, x).max() == np.rint(30 * np.sqrt(WIDTH - 1))


@pytest.mark.parametrize("width", [1, 48, 64, 384, 768, 1024, 4096])
@pytest.mark.parametrize("centring", Centring)
def test_layer_norm_takes_integers_up_to_its_limit_and_no_greater(width: int, centring: Centring) -> None:
    fraction = 3 if centring is Centring.ROUNDED_MEAN else 0
    limit = spellings.norm_limit(width, centring, fraction)
    gain = np.ones(1)
    prove(layer_norm(limit, width, 1e-5, gain, centring=centring, fraction=fraction))
    beyond = limit + limit // 16 + 1
    with pytest.raises(Refused, match="needs"):
        prove(layer_norm(beyond, width, 1e-5, gain, centring=centring, fraction=fraction))


def test_an_epsilon_beyond_float64_is_refused() -> None:
    with pytest.raises(Refused, match="epsilon of a layer norm is too large"):
        layer_norm(100, 768, 1e7, np.ones(768))


@pytest.mark.parametrize("shape", [(1, 20), (20,), (1, 20, 15), ()])
@pytest.mark.parametrize("low", [-19, -7, 0, 3])
def test_a_table_gives_its_values(shape: tuple[int, ...], low: int) -> None:
    grown, x = started(low, low + 19)
    values = np.array([(at * 37 % 101) / 8 - 3 for at in range(20)])
    looked_up = spellings.table(grown, x, low, values, shape)
    whole = grown.add("Mul", looked_up, grown.constant(np.array(8.0)))
    proof = prove(grown.file(whole, Port("x", "int32", shape), shape))
    every = np.resize(np.arange(low, low + 20), shape)
    assert np.array_equal(agreed(proof, every), values[every - low] * 8)


MEANINGS = {
    ("Erf", Shape.GELU): lambda x: x * (1 + np.vectorize(erf)(x * 0.7071 / 24)),
    ("Sigmoid", Shape.GATE): lambda x: x / (1 + np.exp(-x * 0.7071 / 24)),
    ("Tanh", Shape.PLAIN): lambda x: np.tanh(x * 0.7071 / 24),
}


@pytest.mark.parametrize(("operator", "shape"), list(MEANINGS))
def test_an_activation_settles_on_a_scale(operator: str, shape: Shape) -> None:
    activation = Activation(operator, shape, -128, 127, 0.7071 / 24)
    wanted = 100.0 if shape is Shape.PLAIN else 0.5
    scale = activation.settled(wanted, FOUR)
    assert 0.98 * wanted < scale <= wanted
    grown, x = started(-128, 127)
    proof = prove(grown.file(activation.append(grown, x, scale), Port("x", "int32", (256,)), (256,)), FOUR)
    every = np.arange(-128, 128)
    assert np.abs(agreed(proof, every) - MEANINGS[operator, shape](every) * scale).max() <= 0.5001


def test_an_activation_with_too_many_bits_does_not_settle() -> None:
    with pytest.raises(Refused, match="64 scales of Tanh come near a boundary"):
        Activation("Tanh", Shape.PLAIN, -5, 5, 1e-3).settled(2.0**22, FOUR)


def everything() -> Proof:
    """Layer norm, attention scores, softmax and Gelu in one graph, as a transformer has them."""
    grown, x = started(-127, 127)
    normed = spellings.norm(
        grown, x, axes=(2,), count=WIDTH, epsilon=0.3, gain=np.full(WIDTH, 20.0), limits=(-63, 63)
    )
    biased = grown.add("Add", normed, grown.constant(np.arange(WIDTH) % 9.0))
    scores = grown.add("MatMul", biased, grown.add("Transpose", biased, perm=(0, 2, 1)))
    reduced = grown.add("Round", grown.add("Mul", scores, grown.constant(np.array(2.0**-9))))
    shares = spellings.softmax(grown, reduced, span=1024, scale=0.02, axis=2, shape=(1, TOKENS, TOKENS))
    mixed = grown.add("MatMul", shares, biased)
    limits = [grown.constant(np.array(limit)) for limit in (-127.0, 127.0)]
    small = grown.add("Mul", mixed, grown.constant(np.array(2.0**-8)))
    whole = grown.add("Round", grown.add("Clip", small, *limits))
    activation = Activation("Erf", Shape.GELU, -127, 127, 0.7071 / 24)
    active = activation.append(grown, whole, activation.settled(0.4, FOUR))
    shape = (1, TOKENS, WIDTH)
    return prove(grown.file(active, Port("x", "int32", shape), shape), FOUR)


def test_a_transformer_of_spellings_agrees() -> None:
    random = Random(3)
    proof = everything()
    x = np.array([random.randint(-127, 127) for _ in range(TOKENS * WIDTH)]).reshape(1, TOKENS, WIDTH)
    assert len(np.unique(agreed(proof, x))) > 10


def test_no_engine_fuses_a_spelling(tmp_path: Path) -> None:
    """onnxruntime has fusions of norms, softmax, Gelu and bias: none of them takes these spellings."""
    proof = everything()
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(proof.canonical, options, providers=["CPUExecutionProvider"])
    before = {node.op_type for node in onnx.load_from_string(proof.canonical).graph.node}
    after = {(node.domain, node.op_type) for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert {operator for _, operator in after} <= before | {"FusedMatMul"}
