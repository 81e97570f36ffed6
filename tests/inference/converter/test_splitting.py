"""Sums that 24 bits are too few for are made in parts, which are rounded and added exactly."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import onnx
import pytest

from inference.converter import lower_linear, splitting
from inference.converter.exact import make_exact
from inference.converter.measure import codes_of
from inference.converter.options import Options, unwatched
from inference.converter.program import Convolution, Movement, Program, Reals
from inference.converter.report import Conversion
from inference.converter.splitting import part_of, split
from inference.converter.sums import FINE_MAX, SUM_MAX, Kernel, Terms, kernel_of
from inference.engines.interface import from_array
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.prover import prove
from inference.refusal import Refused
from tests.inference.converter.programs import Draft, Samples, exact, random, samples, square

TERMS = 1 << 16
"""With bytes for inputs, so many terms of a sum leave nothing of 24 bits."""


def even(*shape: int) -> Reals:
    """Weights of about one size, so that every term counts."""
    return (1 + random(*shape, scale=0.2).clip(-0.8, 0.8)).astype(np.float32).astype(np.float64)


def pictures(program: Program, count: int, seed: int) -> Samples:
    """Bytes by 255, whose eight bits cannot be fewer."""
    values = np.random.default_rng(seed).integers(0, 256, size=(count, *program.sources[0].shape))
    return [{"x": (each / 255).astype(np.float32)} for each in values]


def pictured(program: Program, options: Options | None = None) -> Conversion:
    seen, unseen = pictures(program, 6, 1), pictures(program, 4, 2)
    return make_exact(program, seen, unseen, options or Options(), OnnxRuntimeEngine(), unwatched)


def long_convolution() -> Program:
    draft = Draft((1, TERMS // 64, 8, 8))
    x = draft.convolution("x", even(2, TERMS // 64, 8, 8), square(8), bias=np.full(2, -0.5 * TERMS))
    return draft.program(draft.convolution(draft.relu(x), random(2, 2, 1, 1, seed=3), square(1)))


def long_scores() -> Program:
    """Half as many terms are too many for scores."""
    terms = 9 * TERMS // 16
    draft = Draft((1, terms // 64, 8, 8))
    x = draft.move(Movement.RESHAPE, "x", shape=(1, terms))
    return draft.program(draft.matrix(x, even(terms, 2), np.full(2, -0.5 * terms)), class_axis=1)


def one_channel() -> Program:
    """A single window of 65,536: there are no channels to part."""
    draft = Draft((1, 1, TERMS // 64, 64))
    window = replace(square(1), kernel=(TERMS // 64, 64))
    return draft.program(draft.relu(draft.convolution("x", even(1, 1, TERMS // 64, 64), window)))


def lopsided(size: float) -> Program:
    """A bias far larger than what is added to it."""
    draft = Draft((1, 16))
    x = draft.matrix("x", random(16, 4, scale=size), np.full(4, 3.0))
    return draft.program(draft.matrix(draft.relu(x), random(4, 2, seed=3), np.ones(2)))


def rows() -> Program:
    """A matrix along the last of three dimensions."""
    draft = Draft((1, 3, 16))
    x = draft.matrix("x", random(16, 4, scale=0.3), random(4, seed=2))
    return draft.program(draft.matrix(draft.relu(x), random(4, 2, seed=3)))


def grouped(groups: int, transposed: bool) -> Program:
    draft = Draft((1, 16 * groups, 4, 4))
    shape = (16 * groups, 3, 2, 2) if transposed else (3 * groups, 16, 2, 2)
    bias, window = random(3 * groups, seed=2), square(2, stride=2)
    weights = random(*shape, scale=0.3)
    x = draft.convolution("x", weights, window, groups=groups, bias=bias, transposed=transposed)
    return draft.program(draft.convolution(draft.relu(x), random(2, 3 * groups, 1, 1, seed=3), square(1)))


def groups_of(program: Program) -> int:
    first = program.steps[0]
    return first.groups if isinstance(first, Convolution) else 1


def operators(done: Conversion) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(done.model).graph.node)


def ensure_exact(done: Conversion, sample: Samples) -> None:
    """Proven from its bytes, and the same on every engine and level."""
    assert prove(done.model).certificate == done.certificate
    inputs = [from_array(codes_of(port, sample[0][port.name])[0]) for port in done.certificate.inputs]
    engines = [
        OnnxRuntimeEngine(threads, level)
        for threads, level in product((1, 2), (Optimization.NONE, Optimization.ALL))
    ]
    expected = NumpyEngine().load(done.model).run(inputs)
    assert [each.load(done.model).run(inputs) for each in engines] == [expected] * len(engines)


def test_a_convolution_with_too_many_terms_is_split() -> None:
    program = long_convolution()
    done = pictured(program)
    assert (operators(done)["Conv"], operators(done)["Gemm"]) == (16, 1)
    assert operators(done)["Slice"] == 16
    assert done.report.layers[0].relative_error < 0.04
    ensure_exact(done, pictures(program, 1, 3))


def test_scores_with_too_many_terms_are_split() -> None:
    program = long_scores()
    done = pictured(program)
    assert operators(done)["Gemm"] == 16
    assert done.report.layers[-1].relative_error < 0.04
    ensure_exact(done, pictures(program, 1, 3))


@pytest.mark.parametrize(
    ("program", "operator"),
    [
        (rows(), "MatMul"),
        (grouped(1, transposed=False), "Conv"),
        (grouped(2, transposed=False), "Conv"),
        (grouped(1, transposed=True), "ConvTranspose"),
        (grouped(2, transposed=True), "ConvTranspose"),
    ],
    ids=["rows", "convolution", "groups", "transposed", "transposed groups"],
)
def test_parts_are_of_the_channels_of_every_group(
    program: Program, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All layers are made to be short of bits, though they are small."""
    monkeypatch.setattr(splitting, "PARTS", (2,))
    monkeypatch.setattr(lower_linear, "finest", lambda *_: None)
    done = exact(program, count=20)
    assert operators(done)[operator] == (2 if operator == "ConvTranspose" else 4)
    assert operators(done)["Gather"] == (2 if groups_of(program) > 1 else 0)
    assert done.report.layers[0].relative_error < 5e-3
    ensure_exact(done, samples(program.sources[0].shape, 1, 3))


@pytest.mark.parametrize(("size", "bits"), [(1e-6, 7), (1e-12, 1)], ids=["small weights", "next to none"])
def test_a_bias_does_not_take_the_bits_of_its_weights(size: float, bits: int) -> None:
    """It is added to the rounded sum; weights too small to shift that need no bits at all."""
    program = lopsided(size)
    done = exact(program, count=20)
    assert done.report.layers[0].weight_bits == bits
    assert done.report.outputs[0].relative_error < 1e-3
    ensure_exact(done, samples((1, 16), 1, 3))


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(Refused, match=r"conv0.*24 bits leave 2 for weights, which need 3"):
        pictured(one_channel())


def test_bytes_are_never_split() -> None:
    with pytest.raises(Refused, match=r"24 bits leave .* for weights|no room for weights"):
        pictured(long_scores(), Options(int8=True))


def test_there_are_at_most_sixteen_parts() -> None:
    """4,096 terms, added up to a step as fine as 24 bits allow."""
    kernel = Kernel(even(1, 4096, 1), np.full(1, 0.5), np.arange(4096)[None])
    terms = Terms(np.array(-65535.0), np.array(65535.0), np.zeros(()))
    found = split(kernel, terms, 0.0, 2.0**23, FINE_MAX)
    assert found is not None
    assert (found.bits, len(found.parts)) == (2, 16)
    assert SUM_MAX // 4 < np.ldexp(found.high, found.fine)[0] <= SUM_MAX


def test_no_more_parts_are_made_than_bring_something() -> None:
    kernel = Kernel(even(1, 4096, 1), np.full(1, 0.5), np.arange(4096)[None])
    found = split(kernel, Terms(np.array(0.0), np.array(255.0), np.zeros(())), 0.0, 2.0**23, FINE_MAX)
    assert found is not None
    assert (found.bits, len(found.parts)) == (8, 8)


def test_a_result_is_no_finer_than_its_reader_allows() -> None:
    kernel = Kernel(even(1, 16, 1), np.zeros(1), np.arange(16)[None])
    found = split(kernel, Terms(np.array(0.0), np.array(255.0), np.zeros(())), 0.0, 2.0**23, 3)
    assert found is not None
    assert found.fine.tolist() == [3]
    assert [part.whole.fine.tolist() for part in found.parts] == [[11]]


@pytest.mark.parametrize("transposed", [False, True])
def test_the_weights_of_a_part_are_those_of_its_channels(transposed: bool) -> None:
    step = grouped(2, transposed).steps[0]
    assert isinstance(step, Convolution)
    kernel, ends = kernel_of(step), [0, 5, 16]
    found = split(kernel, Terms(np.array(0.0), np.array(1.0), np.zeros(())), 0.0, 2.0**23, FINE_MAX)
    assert found is not None
    for first, last in pairwise(ends):
        weights = part_of(step, replace(found.parts[0], first=first, last=last))
        given = kernel_of(replace(step, weights=weights)).weights
        np.testing.assert_array_equal(given, kernel.weights[:, first:last])
