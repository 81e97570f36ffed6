"""Graphs as an attacker would have them: what takes the most time for the least gas, one operator at a time.

Each case is measured by what it adds: time and gas of a graph with the nodes in question, less those of the
same graph without them. So a case stands for a graph that does little else.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from benchmarks.gas_sketch import (
    Case,
    before,
    both,
    cast,
    concat,
    conv,
    divided,
    elements,
    ints,
    many,
    matmul,
    number,
    one,
    perms,
    pool,
    positive,
    ranked,
    resize,
    rooted,
    shaped,
    split,
    table,
    trees,
    whole,
)

M: Final = 1 << 20

CASES: Final[Mapping[str, Callable[[], Case]]] = {
    "Transpose 2048x2048": lambda: Case((2048, 2048), perms((1, 0))),
    "Transpose 2049x2047": lambda: Case((2049, 2047), perms((1, 0))),
    "Transpose 2048x2048 of bytes": lambda: Case((2048, 2048), perms((1, 0)), "int8"),
    "Transpose 2048x2048 of int64": lambda: Case((2048, 2048), perms((1, 0)), "int64"),
    "Transpose, 8 dimensions reversed": lambda: Case((6,) * 8, perms((7, 6, 5, 4, 3, 2, 1, 0))),
    "Transpose, 8 dimensions in pairs": lambda: Case((6,) * 8, perms((1, 0, 3, 2, 5, 4, 7, 6))),
    "Transpose, blocks of 2": lambda: Case((1024, 2048, 2), perms((1, 0, 2))),
    "Transpose, attention": lambda: Case((64, 512, 4, 32), perms((0, 2, 1, 3))),
    "Slice, every second": lambda: Case((4 * M,), one("Slice", 1, ints(1), ints(4 * M), ints(0), ints(2))),
    "Slice, every 64th": lambda: Case(
        (8 * M,), one("Slice", 1, ints(1), ints(8 * M), ints(0), ints(64)), "int8"
    ),
    "Slice, a column": lambda: Case((2 * M, 4), one("Slice", 2, ints(1), ints(2), ints(1))),
    "Slice, columns of 8 dimensions": lambda: Case(
        (6,) * 8, one("Slice", 8, ints(*[1] * 8), ints(*[6] * 8), ints(*range(8)))
    ),
    "Gather of columns": lambda: Case((M, 4), one("Gather", 2, ints(3, 0, 2, 1), axis=1)),
    "Gather of columns, often": lambda: Case((1024, 64), one("Gather", 2, np.arange(4096) * 7 % 64, axis=1)),
    "Gather of bytes": lambda: Case((M, 4), one("Gather", 2, ints(3, 0, 2, 1), axis=1), "int8"),
    "Concat of columns": lambda: Case((M // 2, 1), concat(8, 1, 2)),
    "Concat of 64 columns": lambda: Case((M // 16, 1), concat(64, 1, 2)),
    "Concat of bytes": lambda: Case((M // 2, 1), concat(8, 1, 2), "int8"),
    "Concat of pairs": lambda: Case((M // 2, 2), concat(4, 1, 2)),
    "Split into columns": lambda: Case((M // 2, 8), split(8, 1, 2)),
    "Split into 60 columns": lambda: Case((M // 16, 60), split(60, 1, 2)),
    "Pad a column": lambda: Case((2 * M, 1), one("Pad", 2, ints(0, 0, 0, 1), number(0))),
    "Pad, 8 dimensions": lambda: Case((4,) * 8, one("Pad", 8, ints(*[1] * 8, *[0] * 8), number(0))),
    "Pad a little thing": lambda: Case((1, 1), one("Pad", 2, ints(0, 0, 0, 4 * M), number(0))),
    "Expand a column": lambda: Case((2 * M, 1), one("Expand", 2, ints(2 * M, 2))),
    "Expand a row": lambda: Case((1, 4), one("Expand", 2, ints(M, 4))),
    "Expand, 8 dimensions": lambda: Case((1, 6, 1, 6, 1, 6, 1, 6), one("Expand", 8, ints(*[6] * 8))),
    "Expand of bytes": lambda: Case((2 * M, 1), one("Expand", 2, ints(2 * M, 2)), "int8"),
    "Resize by 2x2": lambda: Case((1, 4, 512, 512), resize(1, 1, 2, 2)),
    "Resize by 1x3": lambda: Case((1, 1, 1024, 1024), resize(1, 1, 1, 3)),
    "Resize a line": lambda: Case((1, 1024, 1024), resize(1, 1, 4)),
    "Resize of nothing": lambda: Case((1, 4, 1024, 1024), resize(1, 1, 1, 1)),
    "Resize of bytes": lambda: Case((1, 4, 512, 512), resize(1, 1, 2, 2), "int8"),
    "Reshape": lambda: Case((4 * M,), one("Reshape", 2, ints(M, 4))),
    "Identity": lambda: Case((4 * M,), one("Identity", 1)),
    "Cast to int64": lambda: Case((4 * M,), cast("int64")),
    "Cast to float64": lambda: Case((4 * M,), cast("float64")),
    "Cast to int8": lambda: Case((4 * M,), cast("int8")),
    "Cast int64 to float32": lambda: Case((4 * M,), cast("float32"), "int64"),
    "Cast to int16": lambda: Case((4 * M,), cast("int16")),
    "Add of a row": lambda: Case((M, 4), one("Add", 2, np.arange(4, dtype=np.float32))),
    "Add of two tensors": lambda: Case((2048, 2048), both("Add", 2), prepare=positive),
    "Add, a column and a row": lambda: Case((2048,), both("Add", 2), prepare=shaped((2048, 1), (1, 2048))),
    "Add, alternate dimensions": lambda: Case(
        (1296,), both("Add", 8), prepare=shaped((6, 1, 6, 1, 6, 1, 6, 1), (1, 6, 1, 6, 1, 6, 1, 6))
    ),
    "Mul by one number": lambda: Case((4 * M,), one("Mul", 1, number(3))),
    "Mul by numbers at the end": lambda: Case((M, 4, 1), one("Mul", 3, np.ones((4, 1), np.float32) * 3)),
    "Max of int64": lambda: Case((4 * M,), one("Max", 1, number(3, "int64")), "int64"),
    "Max of float64 and a row": lambda: Case((M, 4), one("Max", 2, np.ones(4)), "float64"),
    "Clip": lambda: Case((4 * M,), one("Clip", 1, number(3), number(9))),
    "Clip of int64": lambda: Case((4 * M,), one("Clip", 1, number(3, "int64"), number(9, "int64")), "int64"),
    "Clip of bytes": lambda: Case((4 * M,), one("Clip", 1, number(3, "int8"), number(9, "int8")), "int8"),
    "Relu": lambda: Case((4 * M,), one("Relu", 1)),
    "Round": lambda: Case((4 * M,), one("Round", 1)),
    "Round of float64": lambda: Case((4 * M,), one("Round", 1), "float64"),
    "Floor": lambda: Case((4 * M,), one("Floor", 1)),
    "Ceil of float64": lambda: Case((4 * M,), one("Ceil", 1), "float64"),
    "HardSigmoid": lambda: Case((4 * M,), whole("HardSigmoid", alpha=0.125, beta=0.5)),
    "Div": lambda: Case((4 * M,), divided, prepare=positive),
    "Div of float64": lambda: Case((4 * M,), divided, "float64", prepare=positive),
    "Div, a column and a row": lambda: Case(
        (4096,),
        divided,
        prepare=lambda sketch, ends: (
            (sketch.add("Reshape", ends[0][0], ints(4096, 1)), 2),
            (positive(sketch, shaped((1, 4096))(sketch, ends))[1][0], 2),
        ),
    ),
    "Sqrt": lambda: Case((4 * M,), rooted, "float64", prepare=positive),
    "ReduceSum of rows": lambda: Case((M, 4), one("ReduceSum", 1, ints(1), keepdims=0)),
    "ReduceSum of columns": lambda: Case((4, M), one("ReduceSum", 1, ints(0), keepdims=0)),
    "ReduceSum of far columns": lambda: Case((2048, 2048), one("ReduceSum", 2, ints(0), keepdims=1)),
    "ReduceSum of every second of 8": lambda: Case(
        (6,) * 8, one("ReduceSum", 4, ints(0, 2, 4, 6), keepdims=0)
    ),
    "ReduceSum of int64": lambda: Case((M, 4), one("ReduceSum", 1, ints(1), keepdims=0), "int64"),
    "ReduceSum of units": lambda: Case((4 * M, 1), one("ReduceSum", 1, ints(1), keepdims=0)),
    "ReduceMax of rows": lambda: Case((M, 4), one("ReduceMax", 1, axes=(1,), keepdims=0)),
    "ReduceMax of far columns": lambda: Case((2048, 2048), one("ReduceMax", 2, axes=(0,), keepdims=1)),
    "ReduceMin of every second of 8": lambda: Case(
        (6,) * 8, one("ReduceMin", 4, axes=(0, 2, 4, 6), keepdims=0)
    ),
    "ReduceMax of bytes": lambda: Case((M, 4), one("ReduceMax", 1, axes=(1,), keepdims=0), "int8"),
    "ReduceMin of units": lambda: Case((4 * M, 1), one("ReduceMin", 1, axes=(1,), keepdims=0), "int64"),
    "MatMul 1x1x1": lambda: matmul(1, 1, 1, M // 8),
    "MatMul 1x8x1": lambda: matmul(1, 8, 1, M // 16),
    "MatMul 8x1x8": lambda: matmul(8, 1, 8, M // 32),
    "MatMul 1x256x1": lambda: matmul(1, 256, 1, M // 128),
    "MatMul 4x4x4": lambda: matmul(4, 4, 4, M // 16),
    "MatMul 1x512x512": lambda: matmul(1, 512, 512, 16),
    "MatMul 512x512x1": lambda: matmul(512, 512, 1, 16),
    "MatMul 2048x1x2048": lambda: matmul(2048, 1, 2048, 1),
    "MatMul 17x17x17": lambda: matmul(17, 17, 17, 512),
    "MatMul 1024x4x1024": lambda: matmul(1024, 4, 1024, 2),
    "MatMul Mx4x1 with weights": lambda: Case((M, 4), one("MatMul", 2, np.ones((4, 1), np.float32))),
    "MatMul Mx1x4 with weights": lambda: Case((M, 1), one("MatMul", 2, np.ones((1, 4), np.float32))),
    "MatMul batches of 1x4x4, weights": lambda: Case(
        (M // 16, 1, 4), one("MatMul", 3, np.ones((1, 4, 4), np.float32))
    ),
    "MatMul weights on the left": lambda: Case(
        (M // 16, 4, 1), before("MatMul", 3, np.ones((1, 4), np.float32))
    ),
    "Gemm Mx1x4": lambda: Case((M, 1), one("Gemm", 2, np.ones((1, 4), np.float32))),
    "Gemm Mx4x1": lambda: Case((M, 4), one("Gemm", 2, np.ones((4, 1), np.float32))),
    "Gemm 1x1024x1024": lambda: Case((1, 1024), one("Gemm", 2, np.ones((1024, 1024), np.float32))),
    "Conv 1x1, one channel": lambda: Case((1, 1, 1024, 1024), conv(1, 1, (1, 1))),
    "Conv 3x3, one channel": lambda: Case((1, 1, 1024, 1024), conv(1, 1, (3, 3))),
    "Conv 7x7, one channel": lambda: Case((1, 1, 512, 512), conv(1, 1, (7, 7))),
    "Conv 3x3, one of 3 channels": lambda: Case((1, 3, 512, 512), conv(3, 1, (3, 3))),
    "Conv 5x5, strided": lambda: Case((1, 1, 2048, 1024), conv(1, 1, (5, 5), strides=(4, 4))),
    "Conv 3x3, dilated": lambda: Case((1, 4, 512, 512), conv(4, 4, (3, 3), dilations=(32, 32))),
    "Conv of a line": lambda: Case((1, 1, M), conv(1, 1, (3,))),
    "Conv, depthwise 3x3, 16 channels": lambda: Case((1, 16, 256, 256), conv(16, 16, (3, 3), group=16)),
    "Conv, depthwise 3x3, 17 channels": lambda: Case((1, 17, 256, 256), conv(17, 17, (3, 3), group=17)),
    "Conv, depthwise 3x3 dilated": lambda: Case(
        (1, 17, 256, 256), conv(17, 17, (3, 3), group=17, dilations=(2, 2))
    ),
    "Conv, depthwise 1x1 of pixels": lambda: Case((1, 8192, 1, 1), conv(8192, 8192, (1, 1), group=8192)),
    "Conv, depthwise 3x3 of 4x4": lambda: Case(
        (1, 4096, 4, 4), conv(4096, 4096, (3, 3), group=4096, pads=(1, 1, 1, 1))
    ),
    "Conv, groups of 2": lambda: Case((1, 34, 128, 128), conv(34, 34, (3, 3), group=17)),
    "Conv 3x3, batch of pixels": lambda: Case((M // 64, 4, 1, 1), conv(4, 4, (3, 3), pads=(1, 1, 1, 1))),
    "Conv 1x1, 4 channels": lambda: Case((1, 4, 512, 1024), conv(4, 4, (1, 1))),
    "Conv 1x1, 5 to 3 channels": lambda: Case((1, 5, 512, 1024), conv(5, 3, (1, 1))),
    "Conv, tall kernel": lambda: Case((1, 1, 2048, 64), conv(1, 1, (256, 1))),
    "ConvTranspose 2x2, one channel": lambda: Case(
        (1, 1, 512, 512), conv(1, 1, (2, 2), transposed=True, strides=(2, 2))
    ),
    "ConvTranspose 3x3, one channel": lambda: Case((1, 1, 512, 512), conv(1, 1, (3, 3), transposed=True)),
    "ConvTranspose 3x3, groups": lambda: Case(
        (1, 16, 128, 128), conv(16, 16, (3, 3), transposed=True, group=16)
    ),
    "ConvTranspose, far apart": lambda: Case(
        (1, 1, 64, 64), conv(1, 1, (1, 1), transposed=True, strides=(32, 32))
    ),
    "ConvTranspose of a line": lambda: Case((1, 1, M // 4), conv(1, 1, (5,), transposed=True)),
    "MaxPool 2x2": lambda: Case((1, 1, 1024, 1024), pool((2, 2), strides=(2, 2))),
    "MaxPool 3x3, every pixel": lambda: Case((1, 1, 1024, 1024), pool((3, 3))),
    "MaxPool 3x3, dilated": lambda: Case((1, 1, 1024, 1024), pool((3, 3), dilations=(2, 2))),
    "MaxPool 1x1": lambda: Case((1, 1, 1024, 1024), pool((1, 1))),
    "MaxPool 1x1, 16 channels": lambda: Case((1, 16, 256, 256), pool((1, 1))),
    "MaxPool 15x15": lambda: Case((1, 3, 256, 256), pool((15, 15))),
    "MaxPool of a line": lambda: Case((1, 1, M), pool((3,))),
    "MaxPool of bytes": lambda: Case((1, 1, 1024, 1024), pool((3, 3)), "int8"),
    "MaxPool of pixels": lambda: Case((1, M, 1, 1), pool((1, 1))),
    "Gather from 256 rows": lambda: table(256, 1, M),
    "Gather from 4M rows": lambda: table(4 * M, 1, M),
    "Gather from 256k rows of 16": lambda: table(M // 4, 16, M // 4),
    "Gather from 16 rows of 1000": lambda: table(16, 1000, 4096),
    "GatherElements from 256": lambda: elements(256, M),
    "GatherElements from 4M": lambda: elements(4 * M, M),
    "ArgMax of rows": lambda: ranked("ArgMax", (M // 4, 4), axis=1),
    "ArgMax of columns": lambda: ranked("ArgMax", (1024, 1024), axis=0),
    "TopK, 1 of 1024": lambda: ranked("TopK", (1024, 1024), ints(1), count=2),
    "TopK, 512 of 1024": lambda: ranked("TopK", (1024, 1024), ints(512), count=2),
    "TopK, all of 1M": lambda: ranked("TopK", (1, M), ints(M), count=2),
    "TopK, all of 4": lambda: ranked("TopK", (M // 4, 4), ints(4), count=2),
    "TopK of columns": lambda: ranked("TopK", (1024, 1024), ints(8), count=2, axis=0),
    "ReduceSum of long rows": lambda: Case((4096, 1024), one("ReduceSum", 1, ints(1), keepdims=0)),
    "ReduceMax of long rows of int64": lambda: Case(
        (4096, 1024), one("ReduceMax", 1, axes=(1,), keepdims=0), "int64"
    ),
    "ReduceSum of long rows of float64": lambda: Case(
        (4096, 1024), one("ReduceSum", 1, ints(1), keepdims=0), "float64"
    ),
    "ReduceMax of long rows of bytes": lambda: Case((4096, 1024), one("ReduceMax", 1, axes=(1,)), "int8"),
    "Transpose, heads": lambda: Case((64, 64, 1024), perms((0, 2, 1))),
    "Transpose of a last pair": lambda: Case((M, 2, 2), perms((0, 2, 1))),
    "Transpose 4096x1024 to 3 dimensions": lambda: Case((16, 256, 1024), perms((2, 0, 1))),
    "trees of depth 1": lambda: trees(1000, 1, 8, 1024),
    "trees of depth 10, many rows": lambda: trees(12, 10, 8, 8192),
    "a tree of depth 14": lambda: trees(1, 14, 8, 65536),
    "trees of depth 14, far features": lambda: trees(1, 14, 4096, 4096),
    "trees of depth 6, one row": lambda: trees(200, 6, 16, 1),
    "trees of depth 6, many targets": lambda: trees(200, 6, 16, 1024, 100),
    "a tree over a million rows": lambda: trees(1, 3, 1, M),
    "nodes of one element": lambda: many(2000, 1),
    "nodes of 64 elements": lambda: many(2000, 64),
}
