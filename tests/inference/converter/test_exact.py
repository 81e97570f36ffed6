"""Programs of every kind of step become exact models that say what the float model says."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from inference.converter.options import Method, Options
from inference.converter.program import Combination, Form, Head, Movement, Program, Reduction
from inference.converter.report import Conversion
from inference.engines.interface import run
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import from_integers
from tests.inference.converter.programs import Draft, exact, random, samples, square

Built = Callable[[], Program]


def dense() -> Program:
    """Two layers with features of very different sizes."""
    draft = Draft((1, 6))
    x = draft.map("x", Form.AFFINE, scale=np.array([0.5] * 6), offset=np.array([0.25] * 6))
    x = draft.relu(draft.matrix(x, random(6, 12), random(12, seed=2)))
    x = draft.map(draft.matrix(x, random(12, 9, seed=3), random(9, seed=4)), Form.CLIP, 0.0, 6.0)
    return draft.program(draft.matrix(x, random(9, 4, seed=5), random(4, seed=6)), class_axis=1)


def one_score() -> Program:
    draft = Draft((1, 6))
    x = draft.relu(draft.matrix("x", random(6, 12), random(12, seed=2)))
    return draft.program(draft.matrix(x, random(12, 1, seed=3), random(1, seed=4)), Head.SIGMOID)


def sequence() -> Program:
    """A matrix along the last of three dimensions, moved about."""
    draft = Draft((1, 4, 6))
    x = draft.relu(draft.matrix("x", random(6, 8), random(8, seed=2)))
    x = draft.move(Movement.RESHAPE, x, shape=(1, 32))
    return draft.program(draft.matrix(x, random(32, 3, seed=3)))


def hard() -> Program:
    """Hard swish, and a hard sigmoid as a gate."""
    draft = Draft((1, 6))
    x = draft.map(draft.matrix("x", random(6, 12), random(12, seed=2)), Form.HARD_SWISH, 1 / 6, 0.5)
    gate = draft.map(draft.matrix(x, random(12, 12, seed=3)), Form.HARD_SIGMOID, 0.2, 0.5)
    x = draft.combine(Combination.MULTIPLY, x, gate)
    return draft.program(draft.matrix(x, random(12, 4, seed=4)))


def residual() -> Program:
    """x + f(x), limited afterwards, then both branches linear."""
    draft = Draft((1, 6))
    x = draft.relu(draft.matrix("x", random(6, 8), random(8, seed=2)))
    y = draft.matrix(draft.relu(draft.matrix(x, random(8, 8, seed=3))), random(8, 8, seed=4))
    x = draft.relu(draft.combine(Combination.ADD, y, x))
    left, right = (draft.matrix(x, random(8, 8, seed=seed)) for seed in (5, 6))
    x = draft.combine(Combination.SUBTRACT, left, right)
    return draft.program(draft.matrix(x, random(8, 3, seed=7)))


def leaky() -> Program:
    draft = Draft((1, 6))
    x = draft.map(draft.matrix("x", random(6, 12), random(12, seed=2)), Form.LEAKY, 0.01)
    return draft.program(draft.matrix(x, random(12, 4, seed=3)))


def network() -> Program:
    """A small residual network with every kind of pool."""
    draft = Draft((1, 3, 12, 12))
    x = draft.convolution("x", random(8, 3, 3, 3, scale=0.3), square(3, padding=1), bias=random(8, seed=2))
    x = draft.pool(draft.relu(x), Reduction.MAX, square(2, stride=2))
    y = draft.relu(draft.convolution(x, random(8, 8, 3, 3, seed=3, scale=0.2), square(3, padding=1)))
    y = draft.convolution(y, random(8, 8, 3, 3, seed=4, scale=0.2), square(3, padding=1))
    x = draft.relu(draft.combine(Combination.ADD, y, x))
    x = draft.pool(x, Reduction.MEAN, square(2, stride=2))
    x = draft.move(Movement.RESHAPE, draft.reduce(x, Reduction.MEAN, (2, 3)), shape=(1, 8))
    return draft.program(draft.matrix(x, random(8, 4, seed=5), random(4, seed=6)))


def mobile() -> Program:
    """An inverted residual with a gate, as in mobile networks; two sums are added without a limit."""
    draft = Draft((1, 4, 8, 8))
    x = draft.convolution("x", random(6, 4, 1, 1, scale=0.5), square(1))
    y = draft.map(
        draft.convolution(x, random(12, 6, 1, 1, seed=2, scale=0.4), square(1)), Form.CLIP, 0.0, 6.0
    )
    weights = random(12, 1, 3, 3, seed=3, scale=0.4)
    y = draft.map(draft.convolution(y, weights, square(3, padding=1), groups=12), Form.HARD_SWISH, 1 / 6, 0.5)
    gate = draft.reduce(y, Reduction.MEAN, (2, 3))
    gate = draft.relu(draft.convolution(gate, random(4, 12, 1, 1, seed=4), square(1)))
    gate = draft.convolution(gate, random(12, 4, 1, 1, seed=5), square(1), bias=random(12, seed=6))
    y = draft.combine(Combination.MULTIPLY, y, draft.map(gate, Form.HARD_SIGMOID, 1 / 6, 0.5))
    y = draft.convolution(y, random(6, 12, 1, 1, seed=7, scale=0.4), square(1))
    x = draft.combine(Combination.ADD, x, y)
    x = draft.reduce(
        draft.convolution(x, random(5, 6, 1, 1, seed=8), square(1)), Reduction.MEAN, (2, 3), False
    )
    return draft.program(x)


def normalised() -> Program:
    """A picture that is centred and scaled by channel before a padded convolution."""
    draft = Draft((1, 3, 8, 8))
    scale, offset = np.array([[[2.0]], [[3.0]], [[4.0]]]), np.array([[[0.4]], [[-0.7]], [[1.3]]])
    x = draft.map("x", Form.AFFINE, scale=scale, offset=offset)
    x = draft.relu(draft.convolution(x, random(6, 3, 3, 3, scale=0.3), square(3, padding=1)))
    return draft.program(draft.convolution(x, random(4, 6, 8, 8, seed=2, scale=0.2), square(8)))


def branches() -> Program:
    """Parts with scales of their own, joined; then moved about."""
    draft = Draft((1, 4, 8, 8))
    left = draft.relu(draft.convolution("x", random(3, 4, 1, 1), square(1)))
    right = draft.relu(draft.convolution("x", random(5, 4, 1, 1, seed=2, scale=20.0), square(1)))
    x = draft.move(Movement.CONCAT, left, right, axis=(1,))
    x = draft.convolution(x, random(4, 8, 1, 1, seed=3), square(1))
    x = draft.move(Movement.SLICE, draft.relu(x), starts=(2,), ends=(6,), axes=(2,), steps=(2,))
    x = draft.move(Movement.TRANSPOSE, x, perm=(0, 2, 3, 1))
    x = draft.relu(draft.matrix(x, random(4, 6, seed=4), random(6, seed=5)))
    x = draft.combine(Combination.MAXIMUM, x, draft.reduce(x, Reduction.MAX, (1, 2)))
    return draft.program(draft.matrix(x, random(6, 3, seed=6)))


def upwards() -> Program:
    """Larger again: by a transposed convolution, by copies, and by padding."""
    draft = Draft((1, 4, 4, 4))
    x = draft.relu(draft.convolution("x", random(6, 4, 1, 1), square(1), bias=random(6, seed=2)))
    x = draft.convolution(x, random(6, 4, 2, 2, seed=3), square(2, stride=2), transposed=True)
    x = draft.move(Movement.RESIZE, draft.relu(x), scales=(1, 1, 2, 2))
    x = draft.move(Movement.PAD, x, pads=(0, 0, 1, 1, 0, 0, 1, 1), fill=0.25)
    x = draft.convolution(x, random(3, 4, 3, 3, seed=4), square(3))
    return draft.program(x)


@cache
def converted(build: Built) -> Conversion:
    return exact(build(), count=120)


BUILT = [dense, one_score, sequence, leaky, hard, residual, network, mobile, normalised, branches, upwards]


@pytest.mark.parametrize("build", BUILT, ids=lambda build: build.__name__)
def test_a_program_is_proved_and_says_what_the_float_model_says(build: Built) -> None:
    conversion = converted(build)
    report = conversion.report
    assert prove(conversion.model).certificate == conversion.certificate
    assert report.outputs[0].relative_error < 0.03
    assert report.outputs[0].sure_matched >= 0.95 * report.outputs[0].sure_total
    assert report.total == 30
    assert len(report.differing) == report.total - report.matched


@pytest.mark.parametrize("build", BUILT, ids=lambda build: build.__name__)
def test_engines_agree_far_outside_the_range(build: Built) -> None:
    conversion = converted(build)
    port = conversion.certificate.inputs[0]
    size = int(np.prod(port.shape))
    for value in (-(2**31), port.low, port.high + 1):
        inputs = (from_integers("int32", port.shape, [value] * size),)
        results = [run(engine, conversion.model, inputs) for engine in (OnnxRuntimeEngine(), NumpyEngine())]
        assert results[0] == results[1]


def test_one_score_before_a_sigmoid_becomes_two() -> None:
    certificate = exact(one_score()).certificate
    assert [(port.name, port.shape) for port in certificate.outputs] == [("matrix2", (1, 2)), ("class", (1,))]


@pytest.mark.parametrize("method", list(Method))
def test_every_method_of_calibration_works(method: Method) -> None:
    assert exact(dense(), Options(method=method)).report.outputs[0].relative_error < 0.1


def test_fewer_bits_of_weights_leave_more_for_activations() -> None:
    coarse, fine = (exact(dense(), Options(weight_bits=bits)).report for bits in (5, 15))
    limits, matrices = ([each for each in coarse.layers if each.kind == kind] for kind in ("clip", "Matrix"))
    assert max(each.weight_bits or 0 for each in matrices) <= 5
    assert limits[0].bits > next(each for each in fine.layers if each.kind == "clip").bits
    assert all(each.weight_bits is None for each in limits)


def test_a_target_is_met_by_other_settings_or_refused_with_what_was_reached() -> None:
    met = exact(dense(), Options(weight_bits=3, target_agreement=Fraction(1)))
    assert met.report.matched == met.report.total
    draft = Draft((1, 4))
    x = draft.relu(draft.matrix("x", random(4, 9), random(9, seed=2)))
    ties = draft.matrix(x, random(9, 1, seed=3) * (1 + np.arange(5) * 1e-7))
    with pytest.raises(Refused, match=r"the best of the settings agrees on .*%.* not 100.00%"):
        exact(draft.program(ties), Options(target_agreement=Fraction(1)))


def test_the_same_input_gives_the_same_bytes_in_every_process() -> None:
    code = (
        "from tests.inference.converter.test_exact import *\n"
        "import hashlib\n"
        "print(hashlib.blake2b(exact(residual()).model).hexdigest())"
    )
    found = set()
    for seed in ("0", "77"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_a_step_without_a_rule_is_refused_by_its_name() -> None:
    draft = Draft((1, 6))
    program = draft.program(draft.map("x", Form.LEAKY, 2.0))
    with pytest.raises(Refused, match=r"map0.*slope 2 is not from 0 to 1"):
        exact(program)


def test_a_sum_that_leaves_no_bits_for_weights_is_refused() -> None:
    """A hundred thousand equal terms of 12 bits."""
    draft = Draft((1, 4))
    x = draft.relu(draft.matrix("x", np.ones((4, 40000)), np.arange(40000) / 1e4))
    program = draft.program(draft.relu(draft.matrix(x, np.ones((40000, 2)))))
    with pytest.raises(Refused, match=r"24 bits leave .* for weights.*more weight bits"):
        exact(program, Options(weight_bits=3), count=2)


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        ({"y": np.zeros((1, 6))}, "sample 0 has no input 'x', only y"),
        ({"x": np.zeros((1, 5))}, r"sample 0 is \[1, 5\], the model takes \[1, 6\]"),
        ({"x": np.full((1, 6), np.nan)}, "infinite or not a number"),
    ],
)
def test_samples_that_do_not_fit_are_refused(sample: dict[str, np.ndarray], why: str) -> None:
    from inference.converter.exact import make_exact
    from inference.converter.options import unwatched

    good = samples((1, 6), 3, 1)
    for seen, unseen in (([sample], good), (good, [sample])):
        with pytest.raises(Refused, match=why):
            make_exact(dense(), seen, unseen, Options(), OnnxRuntimeEngine(), unwatched)
    with pytest.raises(Refused, match="there are no samples"):
        make_exact(dense(), good, [], Options(), OnnxRuntimeEngine(), unwatched)


def test_progress_is_told_by_phase() -> None:
    from inference.converter.exact import make_exact

    heard: list[tuple[str, int, int]] = []
    good = samples((1, 6), 3, 1)
    make_exact(dense(), good, good, Options(), OnnxRuntimeEngine(), lambda *each: heard.append(each))
    phases = list(dict.fromkeys(phase for phase, _, _ in heard))
    assert phases == ["calibrating", "correlating", "lowering", "proving", "comparing", "comparing layers"]
    assert all(0 <= done < total for _, done, total in heard)


def test_scores_too_small_to_be_stated_say_what_to_do() -> None:
    draft = Draft((1, 6))
    x = draft.relu(draft.matrix("x", random(6, 12), random(12, seed=2)))
    program = draft.program(draft.matrix(x, random(12, 4, seed=3, scale=1e-14)))
    with pytest.raises(Refused, match="multiply the weights of the last layer by a constant"):
        exact(program)
