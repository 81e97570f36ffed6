"""What a model is worth on a data set: counted by hand, and refused by name."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inference.certificate import ExactnessCertificate
from inference.evaluation import (
    CELLS_MAX,
    LABEL_MAX,
    ROWS_MAX,
    Cell,
    Metric,
    Row,
    Scores,
    Unusable,
    decode_evaluation,
    encode_dataset,
    encode_evaluation,
    read_dataset,
    score,
)
from inference.prover import prove
from inference.tensor import Tensor, from_integers
from primitives.job_message import RESULT_BYTES_MAX
from primitives.types import U63_MAX
from tests.inference.build import two_layers

CERTIFICATE: ExactnessCertificate = prove(two_layers()).certificate


def inputs(*values: int) -> tuple[Tensor, ...]:
    return (from_integers("int8", (1, 3), values),)


def outputs(*pairs: tuple[int, int]) -> list[tuple[Tensor, ...]]:
    return [(from_integers("int32", (1, 2), pair), from_integers("int64", (1,), [0])) for pair in pairs]


def rows_of(*targets: Sequence[int]) -> list[Row]:
    return [Row(inputs(1, 2, 3), tuple(each)) for each in targets]


def test_classes_are_counted_and_confused() -> None:
    rows = rows_of([0], [1], [1], [1], [7])
    runs = outputs((5, 4), (1, 2), (3, 2), (1, 1), (0, 9))
    confusion = (Cell(1, 0, 2), Cell(0, 0, 1), Cell(1, 1, 1), Cell(7, 1, 1))
    assert score(Metric.CLASSIFICATION, CERTIFICATE, rows, runs) == Scores(5, 2, confusion, b"", b"")


def test_errors_are_summed_in_integers() -> None:
    rows = rows_of([10, -5], [0, 0])
    runs = outputs((12, -5), (0, 0))
    assert score(Metric.REGRESSION, CERTIFICATE, rows, runs) == Scores(2, 1, (), b"\x02", b"\x04")


def test_the_largest_sums_and_the_widest_table_fit_the_state() -> None:
    wide = [from_integers("int64", (1, 1024), [-(2**63)] * 1024)]
    certificate = replace(CERTIFICATE, attested=(0,))
    rows = [Row(inputs(0, 0, 0), (U63_MAX,) * 1024)]
    worst = score(Metric.REGRESSION, certificate, rows, [wide])
    many = int.from_bytes(worst.squared_error, "big") * ROWS_MAX
    assert (many.bit_length() + 7) // 8 <= 24
    cells = tuple(Cell(LABEL_MAX - at, LABEL_MAX, LABEL_MAX) for at in range(CELLS_MAX))
    data = encode_evaluation(Scores(LABEL_MAX, LABEL_MAX, cells, bytes(24), bytes(24)))
    assert len(data) <= RESULT_BYTES_MAX


@pytest.mark.parametrize(
    ("rows", "count", "unusable"),
    [
        (rows_of([-1]), 1, Unusable(0, "-1 is no class")),
        (rows_of([0]), 2, Unusable(1, "it has 1 rows, not 2")),
        ([*rows_of([0]), *rows_of([0, 1])], 2, Unusable(1, "2 right numbers, not 1")),
        (
            [Row((from_integers("int8", (1, 2), (1, 2)),), (0,))],
            1,
            Unusable(0, "x takes int8[1, 3], not int8[1, 2]"),
        ),
        (
            [Row((*inputs(1, 2, 3), *inputs(1, 2, 3)), (0,))],
            1,
            Unusable(0, "expected 1: x int8[1, 3]; not 2"),
        ),
    ],
)
def test_what_does_not_fit_the_model_is_a_verdict(rows: list[Row], count: int, unusable: Unusable) -> None:
    assert read_dataset(CERTIFICATE, Metric.CLASSIFICATION, encode_dataset(rows), count) == unusable


def test_a_number_out_of_range_is_a_verdict() -> None:
    port = replace(CERTIFICATE.inputs[0], high=2)
    found = read_dataset(
        replace(CERTIFICATE, inputs=(port,)), Metric.CLASSIFICATION, encode_dataset(rows_of([0])), 1
    )
    assert found == Unusable(0, "x is out of its range")


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    found = read_dataset(CERTIFICATE, Metric.CLASSIFICATION, data, 1)
    assert isinstance(found, tuple | Unusable)


def test_a_data_set_is_read_as_it_was_written() -> None:
    rows = rows_of([0], [1])
    assert read_dataset(CERTIFICATE, Metric.CLASSIFICATION, encode_dataset(rows), 2) == tuple(rows)
    unusable = Unusable(0, "x")
    assert decode_evaluation(encode_evaluation(unusable)) == unusable
