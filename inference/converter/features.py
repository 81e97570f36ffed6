"""Tables of features, as scikit-learn's pipelines take apart: columns chosen, and columns scaled, are read
where they come from.

Only matrices and trees take a scale of its own for each feature (and real features span orders of
magnitude), so that what chooses or scales columns of an input becomes a matrix, and goes into the matrices
and trees that read it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from inference.converter.arithmetic import row_sum
from inference.converter.draft import Draft
from inference.converter.program import (
    Form,
    Integers,
    Map,
    Matrix,
    Move,
    Movement,
    Shape,
    Sink,
    Step,
    Trees,
)

FEATURES_MAX: Final = 96
"""Most features of a table: `sharing.OWN_SCALES_MAX` says why."""


def choose(draft: Draft, steps: Sequence[Step]) -> list[Step]:
    """The steps, with matrices in the place of those that choose columns of an input."""
    tables = _tables(draft)
    chosen: dict[str, tuple[str, Integers]] = {}
    result = []
    for step in steps:
        columns = _columns(draft, step)
        if columns is None or step.inputs[0] not in tables | chosen.keys():
            result.append(step)
            continue
        name, before = chosen.get(step.inputs[0], (step.inputs[0], np.arange(draft.shape(step.inputs[0])[1])))
        chosen[step.name] = name, before[columns]
        weights = np.zeros((draft.shape(name)[1], len(columns)))
        weights[before[columns], np.arange(len(columns))] = 1
        result.append(
            Matrix(
                name=step.name,
                inputs=(name,),
                shape=step.shape,
                weights=weights,
                bias=np.zeros(len(columns)),
            )
        )
    return result


def gather(draft: Draft, steps: Sequence[Step], sinks: Sequence[Sink]) -> list[Step]:
    """The steps, where matrices and trees read columns from the inputs themselves, whatever chose and scaled
    them.
    """
    tables = _tables(draft)
    made: dict[str, Matrix] = {}
    result: list[Step] = []
    for step in steps:
        if step.inputs and step.inputs[0] in tables:
            matrix = _scaled(step, draft.shape(step.inputs[0]))
            if matrix is not None and (np.count_nonzero(matrix.weights, axis=0) == 1).all():
                made[step.name] = matrix
                result.append(matrix)
                continue
        before = made.get(step.inputs[0]) if step.inputs else None
        result.append(step if before is None else _read_through(before, step))
    used = {sink.step for sink in sinks} | {name for step in result for name in step.inputs}
    return [step for step in result if step.name not in made or step.name in used]


def _tables(draft: Draft) -> set[str]:
    """The inputs that are rows of some real features."""
    return {
        port.name
        for port in draft.folded.graph.inputs
        if draft.dtype(port.name) in ("float32", "float64")
        and len(draft.shape(port.name)) == 2
        and 1 < draft.shape(port.name)[1] <= FEATURES_MAX
    }


def _columns(draft: Draft, step: Step) -> Integers | None:
    """Which columns a step takes of its input, a row; None if it does something else."""
    if not isinstance(step, Move) or len(step.shape) != 2 or len(draft.shape(step.inputs[0])) != 2:
        return None
    count = draft.shape(step.inputs[0])[1]
    if step.movement is Movement.GATHER and step.arguments["axis"] == (1,):
        return np.array(step.arguments["indices"], dtype=np.int64)
    if step.movement is Movement.SLICE and step.arguments["axes"] == (1,):
        (start,), (end,), (stride,) = (step.arguments[each] for each in ("starts", "ends", "steps"))
        return np.arange(count)[start:end:stride]
    return None


def _scaled(step: Step, shape: Shape) -> Matrix | None:
    """A step that multiplies each feature by a number and adds one, as a matrix."""
    if isinstance(step, Matrix):
        return step
    if not isinstance(step, Map) or step.form is not Form.AFFINE or step.shape != shape:
        return None
    scale, offset = (np.broadcast_to(each, shape).reshape(-1) for each in (step.scale, step.offset))
    return Matrix(name=step.name, inputs=step.inputs, shape=shape, weights=np.diag(scale), bias=offset.copy())


def _read_through(before: Matrix, step: Step) -> Step:
    """A step that reads the input of the matrix before it, each of whose columns has one number but zero."""
    features = np.abs(before.weights).argmax(axis=0)
    scale = before.weights[features, np.arange(len(features))]
    if isinstance(step, Matrix):
        weights = np.zeros((before.weights.shape[0], step.weights.shape[1]))
        np.add.at(weights, features, scale[:, None] * step.weights)
        bias = step.bias + row_sum(before.bias[:, None] * step.weights)
        return replace(step, inputs=before.inputs, weights=weights, bias=bias)
    if isinstance(step, Trees) and (scale > 0).all():
        thresholds = (step.thresholds - before.bias[step.features]) / scale[step.features]
        return replace(step, inputs=before.inputs, features=features[step.features], thresholds=thresholds)
    return step
