"""Tables of samples."""

from fractions import Fraction

import pytest

from inference.samples import SamplesError, read_samples


def test_features_and_labels_are_told_apart() -> None:
    samples = read_samples("a,label,b\n1.5,yes,-2e1\n0,no,3\n")
    assert samples.features == ("a", "b")
    assert samples.rows == ((Fraction(3, 2), Fraction(-20)), (Fraction(0), Fraction(3)))
    assert samples.labels == ("yes", "no")


def test_labels_may_be_missing() -> None:
    assert read_samples("a\n1\n").labels == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: the names"),
        ("a,a\n1,2\n", "line 1: the names"),
        ("a\n", "no samples"),
        ("a,b\n1,2\n3\n", "line 3: 1 columns, not 2"),
        ("a,b\n1,2\n3,x\n", "line 3: 'x' is not a decimal number"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(SamplesError, match=why):
        read_samples(text)
