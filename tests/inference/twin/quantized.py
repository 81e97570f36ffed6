"""The operators of a twin in numpy, as their specification reads: what the twin's proof takes them to be.

The product of bytes is a parameter, so that a test can plant a kernel that saturates.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from inference.engines.interface import Array
from inference.engines.operations.operation import Attributes, Operation
from inference.engines.operations.registry import OPERATIONS
from inference.engines.reference import NumpyEngine
from inference.twin.proof import TWIN

Product = Callable[[Array, Array], Array]
"""uint8 [rows, terms] and int8 [terms, columns] to int32 [rows, columns]."""


def exact_product(left: Array, right: Array) -> Array:
    return left.astype(np.int32) @ right.astype(np.int32)


def paired_product(left: Array, right: Array) -> Array:
    """Pairs of products added in 16 bits with saturation, as x86 does without VNNI."""
    return _grouped(left, right, 2)


def fours_product(left: Array, right: Array) -> Array:
    """Four products added in 16 bits with saturation: no kernel may."""
    return _grouped(left, right, 4)


def _grouped(left: Array, right: Array, size: int) -> Array:
    total = np.zeros((left.shape[0], right.shape[1]), np.int64)
    for start in range(0, left.shape[1], size):
        part = left[:, start : start + size].astype(np.int64) @ right[start : start + size].astype(np.int64)
        total += np.clip(part, -(2**15), 2**15 - 1)
    return total.astype(np.int32)


def quantized(product: Product = exact_product) -> NumpyEngine:
    """An engine for twins."""
    return NumpyEngine({**OPERATIONS, **_operations(product)}, TWIN)


def _operations(product: Product) -> Mapping[str, Operation]:
    def matrix(x: Array, zero: Array, w: Array) -> Array:
        """Sums of (x - zero) * w, where the kernel sees bytes and zero is taken off after."""
        rows = product(x.reshape(-1, x.shape[-1]), w)
        offset = int(zero) * w.astype(np.int32).sum(axis=0)
        return np.asarray((rows - offset).reshape(*x.shape[:-1], w.shape[1]))

    def matmul_integer(inputs: Sequence[Array], _: Attributes) -> Array:
        return matrix(inputs[0], inputs[2], inputs[1])

    def qgemm(inputs: Sequence[Array], _: Attributes) -> Array:
        sums = matrix(inputs[0], inputs[2], inputs[3])
        sums = sums + inputs[6] if inputs[6].size else sums
        return saturated(sums, inputs[1] * inputs[4] / inputs[7], inputs[8])

    def qlinear_matmul(inputs: Sequence[Array], _: Attributes) -> Array:
        sums = matrix(inputs[0], inputs[2], inputs[3])
        return saturated(sums, inputs[1] * inputs[4] / inputs[6], inputs[7])

    return {
        "ConvInteger": _conv_integer,
        "QLinearConv": _qlinear_conv,
        "DequantizeLinear": lambda inputs, _: (
            (inputs[0].astype(np.float32) - inputs[2].astype(np.float32)) * inputs[1]
        ),
        "MatMulInteger": matmul_integer,
        "QGemm": qgemm,
        "QLinearAdd": _qlinear_add,
        "QLinearMatMul": qlinear_matmul,
        "QLinearMul": _qlinear_mul,
        "QuantizeLinear": lambda inputs, _: saturated(inputs[0], 1 / inputs[1], inputs[2]),
    }


def saturated(sums: Array, scale: Array, zero: Array) -> Array:
    """Scaled, rounded half to even, and limited to bytes."""
    scaled = np.rint(sums.astype(np.float32) * scale.astype(np.float32))
    return np.clip(scaled + np.float32(zero), 0, 255).astype(np.uint8)


def _conv_integer(inputs: Sequence[Array], attributes: Attributes) -> Array:
    """In doubles, which hold every sum."""
    centred = inputs[0].astype(np.float64) - float(inputs[2])
    sums = OPERATIONS["Conv"]([centred, inputs[1].astype(np.float64)], attributes)
    assert not isinstance(sums, tuple)
    return sums.astype(np.int32)


def _qlinear_conv(inputs: Sequence[Array], attributes: Attributes) -> Array:
    sums = _conv_integer([inputs[0], inputs[3], inputs[2]], attributes)
    if len(inputs) > 8:
        sums = sums + inputs[8].reshape(-1, 1, 1)
    return saturated(sums, (inputs[1] * inputs[4] / inputs[6]).reshape(-1, 1, 1), inputs[7])


def _qlinear_mul(inputs: Sequence[Array], _: Attributes) -> Array:
    left, right = (inputs[at].astype(np.int32) - inputs[at + 2].astype(np.int32) for at in (0, 3))
    return saturated(left * right, inputs[1] * inputs[4] / inputs[6], inputs[7])


def _qlinear_add(inputs: Sequence[Array], _: Attributes) -> Array:
    left, right = (
        (inputs[at].astype(np.float32) - inputs[at + 2].astype(np.float32)) * inputs[at + 1] for at in (0, 3)
    )
    return saturated(left + right, 1 / inputs[6], inputs[7])
