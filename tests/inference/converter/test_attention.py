"""Norms, softmax, products and curves: what transformers are made of, proved and compared with floats."""

from collections.abc import Callable
from math import erf

import numpy as np
import pytest

from inference.converter.program import (
    Combination,
    Form,
    Map,
    Movement,
    Norm,
    Product,
    Program,
    Reals,
    Softmax,
)
from inference.prover import prove
from tests.inference.converter.programs import Draft, exact, random, square

Built = Callable[[], Program]
Curve = Callable[[Reals], Reals]

CURVES: dict[str, Curve] = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Gelu": lambda x: 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2))),
}


class Attending(Draft):
    """With the steps of a transformer."""

    def curve(self, x: str, operator: str) -> str:
        step = Map(
            name=self._name("curve"),
            inputs=(x,),
            shape=(),
            form=Form.CURVE,
            scale=np.ones(()),
            offset=np.zeros(()),
            evaluate=CURVES[operator],
            label=operator,
        )
        return self._add(step, operator, [x], {})

    def gelu(self, x: str) -> str:
        """Spelt out, as the operator is younger than the operator set of these tests."""
        inner, one = f"{self._name('gelu')}.inner", f"{self._name('gelu')}.one"
        from onnx import helper

        self.nodes.append(helper.make_node("Mul", [x, self._constant(np.array(2**-0.5))], [inner]))
        self.nodes.append(helper.make_node("Erf", [inner], [f"{inner}.erf"]))
        self.nodes.append(helper.make_node("Add", [f"{inner}.erf", self._constant(np.array(1.0))], [one]))
        self.nodes.append(helper.make_node("Mul", [one, self._constant(np.array(0.5))], [f"{one}.half"]))
        step = Map(
            name=self._name("curve"),
            inputs=(x,),
            shape=(),
            form=Form.CURVE,
            scale=np.ones(()),
            offset=np.zeros(()),
            evaluate=CURVES["Gelu"],
            label="Gelu",
        )
        return self._add(step, "Mul", [x, f"{one}.half"], {})

    def norm(self, x: str, gain: Reals, bias: Reals) -> str:
        step = Norm(
            name=self._name("norm"), inputs=(x,), shape=(), axes=1, epsilon=1e-5, gain=gain, bias=bias
        )
        names = [x, self._constant(gain), self._constant(bias)]
        return self._add(step, "LayerNormalization", names, {"axis": -1, "epsilon": 1e-5})

    def product(self, left: str, right: str, terms: int, scale: float = 1.0) -> str:
        step = Product(name=self._name("product"), inputs=(left, right), shape=(), terms=terms, scale=scale)
        from onnx import helper

        scaled = f"{step.name}.scaled"
        self.nodes.append(helper.make_node("Mul", [left, self._constant(np.array(scale))], [scaled]))
        return self._add(step, "MatMul", [scaled, right], {})

    def softmax(self, x: str, mask: Reals | None = None) -> str:
        step = Softmax(name=self._name("softmax"), inputs=(x,), shape=(), axis=2, mask=mask)
        masked = x
        if mask is not None:
            from onnx import helper

            masked = f"{step.name}.masked"
            self.nodes.append(helper.make_node("Add", [x, self._constant(mask)], [masked]))
        return self._add(step, "Softmax", [masked], {"axis": 2})


def encoder(mask: Reals | None = None) -> Program:
    """One block of a transformer encoder, norms after the residuals, and a head on the first position."""
    width, steps = 16, 8
    draft = Attending((1, steps, width))
    x = draft.norm(
        draft.matrix("x", random(width, width)), 1 + random(width, seed=8, scale=0.2), random(width)
    )
    query, key, value = (draft.matrix(x, random(width, width, seed=seed, scale=0.3)) for seed in (2, 3, 4))
    key = draft.move(Movement.TRANSPOSE, key, perm=(0, 2, 1))
    shares = draft.softmax(draft.product(query, key, width, scale=width**-0.5), mask)
    mixed = draft.matrix(draft.product(shares, value, steps), random(width, width, seed=5, scale=0.3))
    x = draft.norm(
        draft.combine(Combination.ADD, mixed, x), 1 + random(width, seed=9, scale=0.2), random(width)
    )
    wide = draft.gelu(draft.matrix(x, random(width, 32, seed=6, scale=0.3)))
    x = draft.combine(Combination.ADD, draft.matrix(wide, random(32, width, seed=7, scale=0.3)), x)
    x = draft.norm(x, 1 + random(width, seed=10, scale=0.2), random(width))
    first = draft.move(Movement.GATHER, x, axis=(1,), indices=(0,))
    first = draft.move(Movement.RESHAPE, first, shape=(1, width))
    return draft.program(draft.matrix(first, random(width, 4, seed=11)), class_axis=1)


def masked() -> Program:
    """The last two positions count for nothing."""
    return encoder(np.array([[[0.0] * 6 + [-10000.0] * 2]]))


def norm() -> Program:
    draft = Attending((1, 4, 16))
    return draft.program(draft.norm("x", 1 + random(16, scale=0.2), random(16, seed=2)))


def softmax() -> Program:
    draft = Attending((1, 4, 16))
    return draft.program(draft.softmax(draft.matrix("x", random(16, 16))))


def curves() -> Program:
    draft = Attending((1, 16))
    x = draft.curve(draft.matrix("x", random(16, 16, scale=0.5)), "Tanh")
    x = draft.curve(draft.matrix(x, random(16, 16, seed=2)), "Sigmoid")
    return draft.program(draft.matrix(x, random(16, 3, seed=3)))


def norm_before_convolution() -> Program:
    """Channels end up where the convolution looks for them, positions where it does not."""
    draft = Attending((1, 8, 16))
    x = draft.norm(draft.matrix("x", random(16, 16)), 1 + random(16, scale=0.2), random(16, seed=2))
    x = draft.move(Movement.RESHAPE, x, shape=(1, 1, 8, 16))
    x = draft.move(Movement.TRANSPOSE, x, perm=(0, 3, 1, 2))
    x = draft.convolution(x, random(6, 16, 1, 1, seed=3), square(1))
    return draft.program(x, class_axis=1)


@pytest.mark.parametrize(
    "build",
    [norm, softmax, curves, encoder, masked, norm_before_convolution],
    ids=lambda build: build.__name__,
)
def test_a_program_is_proved_and_says_what_the_float_model_says(build: Built) -> None:
    conversion = exact(build())
    report = conversion.report
    assert prove(conversion.model).certificate == conversion.certificate
    assert report.outputs[0].relative_error < 0.02
    assert report.outputs[0].sure_matched >= 0.99 * report.outputs[0].sure_total
    assert report.outputs[0].matched >= 0.98 * report.outputs[0].total


def test_a_mask_counts_however_near_the_scores_are() -> None:
    """Only the mask brings an exponential down to nothing here."""
    draft = Attending((1, 4, 16))
    scores = draft.matrix("x", random(16, 16, scale=0.01))
    shares = draft.softmax(scores, np.array([[[0.0] * 12 + [-10000.0] * 4]]))
    assert exact(draft.program(shares)).report.outputs[0].relative_error < 0.02
