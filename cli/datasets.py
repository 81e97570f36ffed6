"""Samples and what is right of them, as the integers that an evaluation is made on."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.inputs import find_card, read_samples, taken
from inference.certificate import ExactnessCertificate
from inference.encoding import EncodingError, encode, nearest, parse_real
from inference.evaluation import (
    DATASET_BYTES_MAX,
    Form,
    Metric,
    Row,
    Unusable,
    encode_dataset,
    form_of,
    measured,
    read_dataset,
)
from inference.tensor import INTEGER_RANGES, Tensor, TensorError, from_integers
from primitives.codec import CodecError

_TOLD = {
    Metric.CLASSIFICATION: "a label is the number of a class",
    Metric.REGRESSION: "a label is a number for each element of the output; several are an array in an .npz",
    Metric.MASKS: "a label is the number of a class for each pixel, -1 where none counts, in an .npz",
    Metric.SEQUENCES: "a label is the number of a class for each step, -1 where none counts, in an .npz",
}


def dataset_of(
    certificate: ExactnessCertificate, metric: Metric, samples: Path, card: Path | None
) -> tuple[tuple[Row, ...], bytes]:
    """The rows of a data set, and its bytes: the same for the same samples. Raises UserError."""
    form = form_of(metric, measured(certificate))
    if form is None:
        raise UserError("the last dimension of the model's output has no classes", "choose another --metric")
    found = read_samples(samples, taken(certificate), find_card(card, None))
    if not found.labels:
        raise UserError(f"{samples} has no labels", "name the column or array of what is right 'label'")
    rows = []
    for sample, label, title in zip(found.samples, found.labels, found.names, strict=True):
        values: dict[str, Sequence[Fraction]] = {
            name: [Fraction(repr(float(each))) for each in array.flat] for name, array in sample.items()
        }
        try:
            target = _target(certificate, metric, form, label)
            rows.append(Row(encode(certificate, values).tensors, target))
        except (EncodingError, TensorError, ValueError) as error:
            raise UserError(f"{title}: {error}", _TOLD[metric]) from None
    try:
        data = encode_dataset(rows)
    except CodecError as error:
        raise UserError(f"{samples}: {error}", "take fewer samples") from None
    if len(data) > DATASET_BYTES_MAX:
        raise UserError(
            f"the data set has {len(data)} bytes, at most {DATASET_BYTES_MAX} are taken", "take fewer samples"
        )
    read = read_dataset(certificate, metric, data, len(rows))
    if isinstance(read, Unusable):
        raise UserError(f"{found.names[read.row]}: {read.reason}", _TOLD[metric])
    return read, data


def _target(certificate: ExactnessCertificate, metric: Metric, form: Form, label: str) -> Tensor:
    """Raises EncodingError, TensorError or another ValueError."""
    if metric is Metric.CLASSIFICATION:
        return from_integers("int64", (1,), (int(label),))
    flat = _numbers(json.loads(label, parse_float=str, parse_int=str))
    if len(flat) != form.count:
        raise ValueError(f"{len(flat)} right numbers, not {form.count}")
    if metric is Metric.REGRESSION:
        codes = nearest(measured(certificate), [parse_real(each) for each in flat])
        return from_integers("int64", (len(codes),), codes)
    classes = [int(each) for each in flat]
    dtype = next(name for name in ("int8", "int16", "int32") if form.most <= INTEGER_RANGES[name][1])
    return from_integers(dtype, (len(classes),), classes)


def _numbers(part: Any) -> list[str]:
    """Nested lists in row-major order."""
    if isinstance(part, list):
        return [number for each in part for number in _numbers(each)]
    if isinstance(part, bool):
        return [str(int(part))]
    return [str(part)]
