"""Hard swishes and gates take sums as they are: what comes after them is rounded, not what comes before."""

import numpy as np
import pytest

from inference.converter.program import Combination, Form, Movement, Program, Reduction
from inference.engines.interface import InferenceEngine, run
from inference.engines.onnx_runtime import OnnxRuntimeEngine, Optimization
from inference.engines.reference import NumpyEngine
from inference.prover import examine, prove
from inference.tensor import from_integers
from tests.inference.converter.programs import Draft, exact, random, square


def operators(model: bytes) -> list[str]:
    return [finding.node.operator for finding in examine(model)[1]]


def ensure_alike(model: bytes) -> None:
    """Blocks of channels, other threads and the reference give the same bits."""
    proof, source = prove(model), np.random.default_rng(4)
    engines: list[InferenceEngine] = [
        NumpyEngine(),
        *(
            OnnxRuntimeEngine(threads, level)
            for threads, level in ((1, Optimization.ALL), (2, Optimization.NONE))
        ),
    ]
    for _ in range(4):
        inputs = [
            from_integers(
                port.dtype,
                port.shape,
                source.integers(port.low, port.high, int(np.prod(port.shape)), endpoint=True).tolist(),
            )
            for port in proof.certificate.inputs
        ]
        first, *others = (run(engine, proof.canonical, inputs) for engine in engines)
        assert all(other == first for other in others)


def swished(scale: float) -> Program:
    draft = Draft((1, 8, 6, 6))
    x = draft.convolution("x", random(8, 8, 1, 1, scale=scale), square(1), bias=random(8, seed=2))
    x = draft.map(x, Form.HARD_SWISH, 1 / 6, 0.5)
    return draft.program(draft.convolution(x, random(4, 8, 6, 6, seed=3), square(6)))


@pytest.mark.parametrize("scale", [0.3, 1.0, 40.0])
def test_a_hard_swish_takes_sums_unrounded(scale: float) -> None:
    """Whether they are about as large as its bend is wide, or far beyond."""
    done = exact(swished(scale), count=60)
    found = operators(done.model)
    rest = [each for each in found[found.index("Conv") + 1 :] if each != "Clip"]
    assert rest == ["HardSigmoid", "Mul", "Round", "Conv", "Cast"]
    (scores,) = done.report.outputs
    assert scores.relative_error < 0.01
    ensure_alike(done.model)


def test_a_hard_swish_of_small_sums_takes_integers() -> None:
    """Unrounded, they would have to be so coarse that their weights had too few bits."""
    done = exact(swished(0.01), count=60)
    found = operators(done.model)
    assert found[found.index("HardSigmoid") - 1] == "Round"
    (scores,) = done.report.outputs
    assert scores.relative_error < 0.004
    assert done.report.layers[0].weight_bits == 10
    ensure_alike(done.model)


def test_a_hard_swish_beside_another_reader_takes_integers() -> None:
    draft = Draft((1, 8, 6, 6))
    x = draft.convolution("x", random(8, 8, 1, 1), square(1))
    x = draft.combine(Combination.ADD, draft.map(x, Form.HARD_SWISH, 1 / 6, 0.5), x)
    done = exact(draft.program(draft.convolution(x, random(4, 8, 6, 6, seed=3), square(6))), count=60)
    found = operators(done.model)
    assert found[found.index("HardSigmoid") - 1] == "Round"
    ensure_alike(done.model)


def test_a_hard_swish_of_products_in_three_dimensions_takes_integers() -> None:
    """The bias is added by a node of its own there, with which an engine may merge what comes next."""
    draft = Draft((1, 5, 6))
    x = draft.map(draft.matrix("x", random(6, 8), random(8, seed=2)), Form.HARD_SWISH, 1 / 6, 0.5)
    done = exact(draft.program(draft.matrix(x, random(8, 3, seed=3))), count=60)
    found = operators(done.model)
    assert found[found.index("HardSigmoid") - 1] == "Round"
    ensure_alike(done.model)


def test_a_hard_swish_behind_a_shift_at_a_border_takes_sums_unrounded() -> None:
    """Zeros stand around what was shifted, so that the shift is no part of a bias: a Round keeps it from the
    product.
    """
    draft = Draft((1, 8, 6, 6))
    x = draft.map(draft.convolution("x", random(8, 8, 1, 1), square(1)), Form.HARD_SWISH, 1 / 6, 0.5)
    x = draft.map(x, Form.AFFINE, scale=np.full(1, 1.2), offset=np.full(1, 0.3))
    x = draft.convolution(x, random(8, 1, 3, 3, seed=2), square(3, padding=1), groups=8)
    x = draft.map(x, Form.HARD_SWISH, 1 / 6, 0.5)
    done = exact(draft.program(draft.convolution(x, random(4, 8, 6, 6, seed=3), square(6))), count=60)
    found = operators(done.model)
    assert found.count("HardSigmoid") == 2
    assert found[found.index("Add") : found.index("Add") + 5] == [
        "Add",
        "Round",
        "Conv",
        "Clip",
        "HardSigmoid",
    ]
    ensure_alike(done.model)


def gated(bias: float = 0.0, *, shared: bool = False) -> Program:
    """x * g, g a part of one for each channel; `shared`: something else reads g."""
    draft = Draft((1, 8, 6, 6))
    x = draft.relu(draft.convolution("x", random(8, 8, 1, 1), square(1)))
    mean = draft.reduce(x, Reduction.MEAN, (2, 3), keep=True)
    gate = draft.convolution(mean, random(8, 8, 1, 1, seed=2), square(1), bias=np.full(8, bias))
    gate = draft.map(gate, Form.HARD_SIGMOID, 0.2, 0.5)
    y = draft.combine(Combination.MULTIPLY, gate, x)
    if shared:
        y = draft.combine(Combination.ADD, y, gate)
    return draft.program(draft.convolution(y, random(4, 8, 6, 6, seed=3), square(6)))


def test_a_gate_takes_sums_unrounded() -> None:
    done = exact(gated(), count=60)
    found = operators(done.model)
    assert found[-7:] == ["Gemm", "HardSigmoid", "Reshape", "Mul", "Round", "Conv", "Cast"]
    (scores,) = done.report.outputs
    assert scores.relative_error < 0.02
    ensure_alike(done.model)


def test_a_gate_that_something_else_reads_takes_integers() -> None:
    done = exact(gated(shared=True), count=60)
    found = operators(done.model)
    at = max(at for at, operator in enumerate(found) if operator == "Mul")
    assert "Round" in found[at - 3 : at]
    ensure_alike(done.model)


def test_a_gate_of_a_sum_in_parts_is_rounded() -> None:
    """Constants met the parts, so that the gate gets the bits that the product leaves."""
    done = exact(gated(bias=1e6), count=60)
    found = operators(done.model)
    at = max(at for at, operator in enumerate(found) if operator == "Mul")
    assert [each for each in found[at - 5 : at] if each != "Reshape"] == [
        "HardSigmoid",
        "Mul",
        "Round",
        "Mul",
    ]
    (scores,) = done.report.outputs
    assert scores.relative_error < 0.01
    ensure_alike(done.model)


@pytest.mark.parametrize(("size", "rounded"), [(4, False), (32, True)])
def test_a_mean_of_few_is_read_as_a_sum(size: int, rounded: bool) -> None:
    """The sum of many has too many bits for that; it needs no limit, for no mean leaves its terms' range."""
    draft = Draft((1, 8, size, size))
    x = draft.relu(draft.convolution("x", random(8, 8, 1, 1), square(1)))
    x = draft.reduce(x, Reduction.MEAN, (2, 3), keep=True)
    x = draft.relu(draft.convolution(x, random(8, 8, 1, 1, seed=2), square(1), bias=random(8, seed=4)))
    x = draft.move(Movement.RESHAPE, x, shape=(1, 8))
    done = exact(draft.program(draft.matrix(x, random(8, 4, seed=3))), count=60)
    found = operators(done.model)
    at = found.index("ReduceSum")
    between = ["Mul", "Round"] if rounded else []
    assert found[at:] == ["ReduceSum", *between, "Gemm", "Clip", "Round", "Gemm", "Cast"]
    (scores,) = done.report.outputs
    assert scores.relative_error < 0.01
    ensure_alike(done.model)


@pytest.mark.parametrize("scores", [False, True])
def test_a_mean_before_a_flat_product_is_read_as_a_sum_unless_scores_follow(scores: bool) -> None:
    draft = Draft((1, 8, 4, 4))
    x = draft.relu(draft.convolution("x", random(8, 8, 1, 1), square(1)))
    x = draft.move(Movement.RESHAPE, draft.reduce(x, Reduction.MEAN, (2, 3), keep=True), shape=(1, 8))
    x = draft.matrix(x, random(8, 4, seed=3))
    done = exact(draft.program(x if scores else draft.matrix(draft.relu(x), random(4, 4, seed=4))), count=60)
    found = operators(done.model)
    assert (found[found.index("ReduceSum") + 1] == "Gemm") is not scores
    ensure_alike(done.model)
