"""Programs of every kind of step become exact models that say what the float model says."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from inference.converter.options import Method, Options
from inference.converter.program import Combination, Form, Head, Movement, Program
from inference.engines.interface import run
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.engines.reference import NumpyEngine
from inference.prover import prove
from inference.refusal import Refused
from inference.tensor import from_integers
from tests.inference.converter.programs import Draft, exact, random, samples

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


DENSE = [dense, one_score, sequence, hard, residual]


@pytest.mark.parametrize("build", DENSE, ids=lambda build: build.__name__)
def test_a_program_is_proved_and_says_what_the_float_model_says(build: Built) -> None:
    conversion = exact(build())
    report = conversion.report
    assert prove(conversion.model).certificate == conversion.certificate
    assert report.outputs[0].relative_error < 0.02
    assert report.outputs[0].sure_matched == report.outputs[0].sure_total > 0
    assert report.total == 50
    assert len(report.differing) == report.total - report.matched


@pytest.mark.parametrize("build", DENSE, ids=lambda build: build.__name__)
def test_engines_agree_far_outside_the_range(build: Built) -> None:
    conversion = exact(build())
    port = conversion.certificate.inputs[0]
    size = int(np.prod(port.shape))
    for value in (-(2**31), port.low - 1, 0, port.high, port.high + 1, 2**31 - 1):
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
    for seed in ("0", "1", "77"):
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
    assert phases == ["calibrating", "lowering", "proving", "comparing", "comparing layers"]
    assert all(0 <= done < total for _, done, total in heard)
