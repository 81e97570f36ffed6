"""What the arguments of calls may be: the last value within a bound is taken, the first beyond is not."""

from typing import Any

import pytest

from inference.evaluation import Dataset, Row, RowCount
from inference.tensor import from_integers
from pallets.evaluation import types as evaluation
from pallets.inference import types as inference
from pallets.instant import types as instant
from pallets.models import pallet as models
from primitives.codec import Codec, CodecError

MIB = 1024 * 1024
ONE = from_integers("uint8", (), (0,))
ROW = Row((ONE,), ONE)

BOUNDS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "an input in a request": (inference.Input, [b"1", bytes(4096)], [b"", bytes(4097)]),
    "an input that is a blob": (inference.StoredBytes, [0, MIB], [-1, MIB + 1]),
    "an input of a call in a block": (instant.Input, [b"1", bytes(4096)], [b"", bytes(4097)]),
    "the gas of a call in a block": (instant.CallGas, [1, 10**9], [0, 10**9 + 1]),
    "the file of a model in a block": (instant.Size, [1, 2 * MIB], [0, 2 * MIB + 1]),
    "the file of a model": (models.Size, [1, 64 * MIB], [0, 64 * MIB + 1]),
    "the name of a model": (models.Name, ["n", "n" * 64], ["", "n" * 65]),
    "a page of models": (models.PageSize, [1, 100], [0, 101]),
    "a data set": (evaluation.Size, [1, 16 * MIB], [0, 16 * MIB + 1]),
    "the name of a data set": (evaluation.Name, ["n", "n" * 64], ["", "n" * 65]),
    "the rows of a data set": (RowCount, [1, 100_000], [0, 100_001]),
    "rows": (Dataset, [(ROW,), (ROW,) * 100_000], [(), (ROW,) * 100_001]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_last_value_within_a_bound_is_taken_and_the_first_beyond_it_is_not(name: str) -> None:
    type_, taken, refused = BOUNDS[name]
    codec: Codec[Any] = Codec(type_)
    assert all(codec.decode(codec.encode(value)) == value for value in taken)
    for value in refused:
        with pytest.raises(CodecError):
            codec.encode(value)
