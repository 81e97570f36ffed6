"""What a model is worth on a data set: counted by hand, and refused by name."""

from collections.abc import Sequence
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inference.certificate import ExactnessCertificate
from inference.evaluation import (
    CELLS_MAX,
    DATASET_BYTES_MAX,
    GAS_PER_DATASET_BYTE,
    GAS_PER_NUMBER,
    GAS_PER_RIGHT_NUMBER,
    GAS_PER_TENSOR,
    IGNORED,
    LABEL_MAX,
    SUM_BYTES_MAX,
    Cell,
    Classified,
    Evaluation,
    Matched,
    Metric,
    Overlap,
    Regressed,
    Row,
    Unusable,
    decode_dataset,
    decode_evaluation,
    encode_dataset,
    encode_evaluation,
    evaluate,
    evaluation_gas,
    read_dataset,
)
from inference.prover import prove
from inference.tensor import Tensor, from_integers
from primitives.codec import CodecError
from primitives.job_message import RESULT_BYTES_MAX
from primitives.types import U63_MAX
from tests.inference.build import two_layers

CERTIFICATE: ExactnessCertificate = prove(two_layers()).certificate


def inputs(*values: int) -> tuple[Tensor, ...]:
    return (from_integers("int8", (1, 3), values),)


def outputs(*pairs: tuple[int, int]) -> list[tuple[Tensor, ...]]:
    return [(from_integers("int32", (1, 2), pair), from_integers("int64", (1,), [0])) for pair in pairs]


def target(*values: int, dtype: str = "int64") -> Tensor:
    return from_integers(dtype, (len(values),), values)


def rows_of(*targets: Sequence[int]) -> list[Row]:
    return [Row(inputs(1, 2, 3), target(*each)) for each in targets]


def giving(*shape: int, zero_point: int = 0) -> ExactnessCertificate:
    """A model whose measured output has that shape."""
    port = replace(CERTIFICATE.outputs[0], shape=shape, zero_points=(zero_point,))
    return replace(CERTIFICATE, outputs=(port, *CERTIFICATE.outputs[1:]))


def score(
    metric: Metric, certificate: ExactnessCertificate, rows: Sequence[Row], runs: Sequence[Sequence[Tensor]]
) -> Evaluation:
    given = iter(runs)
    return evaluate(certificate, metric, rows, lambda inputs: next(given))


def matched(
    metric: Metric, certificate: ExactnessCertificate, *pairs: tuple[list[int], list[int]]
) -> Evaluation:
    """Of pairs of what is right and what the model gives, read as the bytes of a data set."""
    rows = rows_of(*(right for right, _ in pairs))
    found = read_dataset(certificate, metric, encode_dataset(rows), len(rows))
    assert not isinstance(found, Unusable), found
    shape = certificate.outputs[0].shape
    return score(metric, certificate, found, [(from_integers("int32", shape, given),) for _, given in pairs])


def test_classes_are_counted_and_confused() -> None:
    rows = rows_of([0], [1], [1], [1], [7])
    runs = outputs((5, 4), (1, 2), (3, 2), (1, 1), (0, 9))
    confusion = (Cell(1, 0, 2), Cell(0, 0, 1), Cell(1, 1, 1), Cell(7, 1, 1))
    assert score(Metric.CLASSIFICATION, CERTIFICATE, rows, runs) == Classified(5, 2, confusion)


def test_the_fullest_cells_are_kept_then_those_of_the_lowest_labels() -> None:
    labels = range(CELLS_MAX + 1)
    rows = rows_of([7], *([label] for label in reversed(labels)))
    found = score(Metric.CLASSIFICATION, CERTIFICATE, rows, outputs(*[(0, 1)] * len(rows)))
    assert isinstance(found, Classified)
    kept = [7, *(label for label in labels if label != 7)][:CELLS_MAX]
    assert found.confusion == tuple(Cell(label, 1, 2 if label == 7 else 1) for label in kept)


def test_classes_with_the_largest_unions_are_kept_then_the_lowest() -> None:
    classes = CELLS_MAX + 1
    last, right = classes - 1, list(range(classes))
    planes = [int(place == label) for label in right for place in [*right, last]]
    found = matched(Metric.MASKS, giving(1, classes, 1, classes + 1), ([*right, last], planes))
    assert isinstance(found, Matched)
    assert found.classes == (Overlap(last, 2, 2), *(Overlap(label, 1, 1) for label in right[: CELLS_MAX - 1]))


def test_the_first_attested_output_is_measured() -> None:
    certificate = replace(CERTIFICATE, attested=(1, 0))
    rows = rows_of([3])
    assert read_dataset(certificate, Metric.REGRESSION, encode_dataset(rows), 1) == tuple(rows)
    found = score(Metric.REGRESSION, certificate, rows, outputs((9, 9)))
    assert found == Regressed(1, 0, 1, b"\x03", b"\x09", b"")


@pytest.mark.parametrize(("error", "encoded"), [(255, b"\xff"), (256, b"\x01\x00")])
def test_sums_have_no_leading_zeros_and_errors_make_up_for_none(error: int, encoded: bytes) -> None:
    found = score(Metric.REGRESSION, CERTIFICATE, rows_of([5, 5]), outputs((5 - error, 5)))
    assert isinstance(found, Regressed)
    assert (found.correct, found.absolute_error) == (0, encoded)
    balanced = score(Metric.REGRESSION, CERTIFICATE, rows_of([5, 5]), outputs((4, 6)))
    assert balanced == Regressed(1, 0, 2, b"\x02", b"\x02", b"")


def test_errors_are_summed_in_integers() -> None:
    rows = rows_of([10, -5], [0, 0])
    runs = outputs((12, -5), (0, 0))
    spread = 4 * (10 * 10 + 5 * 5) - (10 - 5) ** 2
    assert score(Metric.REGRESSION, CERTIFICATE, rows, runs) == Regressed(
        2, 1, 4, b"\x02", b"\x04", spread.to_bytes(2, "big")
    )


def test_what_is_always_the_same_has_no_spread() -> None:
    found = score(Metric.REGRESSION, CERTIFICATE, rows_of([7, 7], [7, 7]), outputs((7, 7), (7, 8)))
    assert found == Regressed(2, 1, 4, b"\x01", b"\x01", b"")


def test_masks_of_classes_take_the_greatest_of_each_place() -> None:
    """Two classes, then the four places of each; a place that is ignored counts for nothing."""
    found = matched(
        Metric.MASKS,
        giving(1, 2, 2, 2),
        ([0, 1, 1, IGNORED], [9, 0, 5, 0, 1, 3, 5, 8]),
        ([1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1]),
    )
    assert found == Matched(2, 1, 7, 6, (Overlap(1, 5, 6), Overlap(0, 1, 2)))


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (1, 2, 2), (4,)])
def test_masks_of_one_number_ask_whether_it_is_above_nought(shape: tuple[int, ...]) -> None:
    certificate = giving(*shape, zero_point=3)
    found = matched(
        Metric.MASKS, certificate, ([1, 0, 1, 0], [4, 3, 2, 9]), ([IGNORED, 1, IGNORED, 1], [0, 9, 9, 9])
    )
    assert found == Matched(2, 1, 6, 4, (Overlap(1, 3, 5), Overlap(0, 1, 3)))


def test_only_four_dimensions_are_an_image_of_classes() -> None:
    found = matched(Metric.MASKS, giving(1, 2, 1, 1, 1), ([1, 0], [5, -5]))
    assert found == Matched(1, 1, 2, 2, (Overlap(0, 1, 1), Overlap(1, 1, 1)))


@pytest.mark.parametrize(
    ("metric", "shape"), [(Metric.MASKS, (1, 2)), (Metric.MASKS, (1, 3, 1, 2)), (Metric.SEQUENCES, (1, 2, 3))]
)
def test_a_row_of_which_no_place_counts_is_right_and_says_nothing(
    metric: Metric, shape: tuple[int, ...]
) -> None:
    found = matched(metric, giving(*shape), ([IGNORED, IGNORED], [7] * prod(shape)))
    assert found == Matched(1, 1, 0, 0, ())


def test_sequences_take_the_greatest_of_each_step() -> None:
    found = matched(
        Metric.SEQUENCES,
        giving(1, 3, 2),
        ([0, 1, IGNORED], [5, 4, 0, 1, 2, 2]),
        ([1, 1, 0], [5, 4, 0, 1, 2, 2]),
    )
    assert found == Matched(2, 1, 5, 4, (Overlap(0, 2, 3), Overlap(1, 2, 3)))


NO_CLASSES = "the last dimension of the output has no classes to choose from"
PLACES = st.tuples(
    st.lists(st.integers(IGNORED, 2), min_size=4, max_size=4), st.binary(min_size=12, max_size=12)
)


@given(st.lists(PLACES, min_size=1))
def test_overlaps_are_those_of_sets(cases: list[tuple[list[int], bytes]]) -> None:
    """Against intersections and unions of sets of places, and both orders of dimensions."""
    places: dict[int, list[set[tuple[int, int]]]] = {label: [set(), set()] for label in range(3)}
    for row, (right, made) in enumerate(cases):
        for at, label in enumerate(right):
            scores = [made[3 * at + channel] for channel in range(3)]
            if label != IGNORED:
                places[label][0].add((row, at))
                places[scores.index(max(scores))][1].add((row, at))
    steps = [(right, list(made)) for right, made in cases]
    planes = [(right, [made[3 * at + c] for c in range(3) for at in range(4)]) for right, made in cases]
    found = matched(Metric.SEQUENCES, giving(1, 4, 3), *steps)
    assert found == matched(Metric.MASKS, giving(1, 3, 2, 2), *planes)
    assert isinstance(found, Matched)
    assert {one.label: (one.intersection, one.union) for one in found.classes} == {
        label: (len(of & taken), len(of | taken)) for label, (of, taken) in places.items() if of | taken
    }
    assert found.correct_places == sum(len(of & taken) for of, taken in places.values())


@pytest.mark.parametrize(
    ("metric", "right"), [(Metric.CLASSIFICATION, 1), (Metric.REGRESSION, 2), (Metric.SEQUENCES, 1)]
)
def test_what_a_data_set_costs_grows_with_all_that_is_looked_at(metric: Metric, right: int) -> None:
    """Of an input of three numbers, outputs of two and of one, and what is right."""
    row = CERTIFICATE.gas + 4 * GAS_PER_TENSOR + 6 * GAS_PER_NUMBER + right * GAS_PER_RIGHT_NUMBER
    assert evaluation_gas(CERTIFICATE, metric, 10, 100) == 10 * row + 100 * GAS_PER_DATASET_BYTE


def test_what_cannot_be_measured_costs_no_counting() -> None:
    certificate = giving(1, 2, 1)
    row = certificate.gas + 4 * GAS_PER_TENSOR + 6 * GAS_PER_NUMBER
    assert evaluation_gas(certificate, Metric.SEQUENCES, 1, 0) == row


def test_the_largest_sums_and_the_widest_table_fit_the_state() -> None:
    """As many elements as a data set can have, each as wrong as can be."""
    elements = DATASET_BYTES_MAX
    assert elements * elements * 2**126 < 2 ** (8 * SUM_BYTES_MAX)
    assert elements * 2**128 < 2 ** (8 * SUM_BYTES_MAX)
    most, sums = LABEL_MAX, [bytes(SUM_BYTES_MAX)] * 3
    cells = tuple(Cell(most - at, most, most) for at in range(CELLS_MAX))
    overlaps = tuple(Overlap(most - at, most, most) for at in range(CELLS_MAX))
    worst: tuple[Evaluation, ...] = (
        Classified(most, most, cells),
        Regressed(most, most, U63_MAX, *sums),
        Matched(most, most, U63_MAX, U63_MAX, overlaps),
        Unusable(most, "x" * 200),
    )
    assert all(len(encode_evaluation(each)) <= RESULT_BYTES_MAX for each in worst)


@pytest.mark.parametrize(
    ("metric", "shape", "right", "reason"),
    [
        (Metric.MASKS, (1, 3, 1, 2), [0, 3], "3 is no class"),
        (Metric.MASKS, (1, 3, 1, 2), [0, -2], "-2 is no class"),
        (Metric.MASKS, (1, 1, 1, 2), [0, 2], "2 is no class"),
        (Metric.MASKS, (1, 1, 1, 2), [0, -2], "-2 is no class"),
        (Metric.SEQUENCES, (1, 2, 3), [0, -2], "-2 is no class"),
        (Metric.MASKS, (1, 3, 1, 2), [0, 0, 0], "3 right numbers, not 2"),
        (Metric.SEQUENCES, (1, 2, 3), [0, 3], "3 is no class"),
        (Metric.SEQUENCES, (1, 2, 3), [0], "1 right numbers, not 2"),
        (
            Metric.SEQUENCES,
            (1, 2, 1),
            [0, 0],
            NO_CLASSES,
        ),
        (Metric.SEQUENCES, (), [0], NO_CLASSES),
        (Metric.REGRESSION, (1, 2), [5], "1 right numbers, not 2"),
        (Metric.CLASSIFICATION, (1, 2), [IGNORED], "-1 is no class"),
        (Metric.CLASSIFICATION, (1, 2), [LABEL_MAX + 1], f"{LABEL_MAX + 1} is no class"),
    ],
)
def test_what_is_right_must_fit_the_output(
    metric: Metric, shape: tuple[int, ...], right: list[int], reason: str
) -> None:
    data = encode_dataset(rows_of(right))
    assert read_dataset(giving(*shape), metric, data, 1) == Unusable(0, reason)


@pytest.mark.parametrize(
    ("rows", "count", "unusable"),
    [
        (rows_of([-1]), 1, Unusable(0, "-1 is no class")),
        (rows_of([0]), 2, Unusable(1, "it has 1 rows, not 2")),
        (rows_of([0], [0]), 1, Unusable(1, "it has 2 rows, not 1")),
        ([*rows_of([0]), *rows_of([0, 1])], 2, Unusable(1, "2 right numbers, not 1")),
        (
            [Row((from_integers("int8", (1, 2), (1, 2)),), target(0))],
            1,
            Unusable(0, "x takes int8[1, 3], not int8[1, 2]"),
        ),
        (
            [Row((*inputs(1, 2, 3), *inputs(1, 2, 3)), target(0))],
            1,
            Unusable(0, "expected 1: x int8[1, 3]; not 2"),
        ),
        (
            [Row(inputs(1, 2, 3), Tensor(dtype="int8", shape=(2,), data=b"\x00"))],
            1,
            Unusable(0, "int8[2] takes 2 bytes, not 1"),
        ),
        (
            [Row(inputs(1, 2, 3), Tensor(dtype="float32", shape=(1,), data=bytes(4)))],
            1,
            Unusable(0, "float32 is no integer type"),
        ),
    ],
)
def test_what_does_not_fit_the_model_is_a_verdict(rows: list[Row], count: int, unusable: Unusable) -> None:
    assert read_dataset(CERTIFICATE, Metric.CLASSIFICATION, encode_dataset(rows), count) == unusable


@pytest.mark.parametrize(("low", "high", "is_within"), [(1, 3, True), (2, 3, False), (1, 2, False)])
def test_a_number_out_of_range_is_a_verdict(low: int, high: int, is_within: bool) -> None:
    port = replace(CERTIFICATE.inputs[0], low=low, high=high)
    rows = tuple(rows_of([LABEL_MAX]))
    found = read_dataset(replace(CERTIFICATE, inputs=(port,)), Metric.CLASSIFICATION, encode_dataset(rows), 1)
    assert found == (rows if is_within else Unusable(0, "x is out of its range"))


def test_a_reason_fits_its_record() -> None:
    port = replace(CERTIFICATE.inputs[0], name="x" * 200, shape=(1, 4))
    certificate = replace(CERTIFICATE, inputs=(port,))
    found = read_dataset(certificate, Metric.CLASSIFICATION, encode_dataset(rows_of([0])), 1)
    assert found == Unusable(0, "x" * 200)


def test_a_data_set_may_have_as_many_bytes_as_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(rows_of([0], [1]))
    data = encode_dataset(rows)
    monkeypatch.setattr("inference.evaluation.DATASET_BYTES_MAX", len(data))
    assert decode_dataset(data) == rows
    monkeypatch.setattr("inference.evaluation.DATASET_BYTES_MAX", len(data) - 1)
    with pytest.raises(CodecError, match=f"at most {len(data) - 1} bytes"):
        decode_dataset(data)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    found = read_dataset(CERTIFICATE, Metric.CLASSIFICATION, data, 1)
    assert isinstance(found, tuple | Unusable)


def test_a_data_set_is_read_as_it_was_written() -> None:
    rows = rows_of([0], [1])
    assert read_dataset(CERTIFICATE, Metric.CLASSIFICATION, encode_dataset(rows), 2) == tuple(rows)
    unusable = Unusable(0, "x")
    assert decode_evaluation(encode_evaluation(unusable)) == unusable
