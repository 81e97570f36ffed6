"""What tests of the front end ask of every program."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference.converter.program import Combine, Map, Move, Program, Step
from tests.inference.converter.floats import program_of
from tests.inference.converter.oracle import evaluate, float_results

IMAGE = ("batch", 4, 6, 8)
ROWS = ("batch", 6)
WORDS = (1, 5, 8)


def kind(step: Step) -> str:
    """The step's kind, in short."""
    match step:
        case Map():
            return step.label or step.form.value
        case Combine():
            return step.combination.value
        case Move():
            return step.movement.value
        case _:
            return type(step).__name__


def sample(program: Program, seed: int = 0) -> dict[str, Any]:
    """Reals on both sides of zero, beyond what limits keep; zeros and ones for whole numbers."""
    random = np.random.default_rng(seed)
    return {
        source.name: random.normal(size=source.shape) * 3
        if source.dtype.startswith("float")
        else random.integers(0, 2, size=source.shape)
        for source in program.sources
    }


def ensure_meaning(program: Program, inputs: Mapping[str, Any]) -> None:
    """Every step in numpy against its tensor in the folded file."""
    expected, given = float_results(program, inputs), evaluate(program, inputs)
    assert list(expected) == list(given)
    for name, values in expected.items():
        size = np.abs(values).max() + 1e-6
        np.testing.assert_allclose(given[name], values, rtol=1e-4, atol=1e-5 * size, err_msg=name)


def ensure(data: bytes, kinds: Sequence[str], **options: Any) -> Program:
    """The kinds of steps, their meaning, and that the last is the output."""
    program = program_of(data, **options)
    assert [kind(step) for step in program.steps] == list(kinds)
    ensure_meaning(program, sample(program))
    return program
