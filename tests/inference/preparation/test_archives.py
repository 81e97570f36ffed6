"""Archives of arrays: what they say of themselves is not believed."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.preparation import archives
from inference.preparation.archives import ARRAYS_MAX, archive_shapes, read_archive
from inference.preparation.errors import PreparationError


def array_file(shape: tuple[int, ...], data: bytes) -> bytes:
    """An array of float64 that says it has that shape."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue() + data


def pack(file: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(PreparationError) as refused:
        read_archive(file, ["x"])
    return str(refused.value)


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    lying = array_file((10**12,), b"")
    pack(tmp_path / "s.npz", x=array_file((2,), bytes(16)), z=lying, y=array_file((1,), bytes(8)))
    arrays, labels = read_archive(tmp_path / "s.npz", ["x"])
    assert {name: each.tolist() for name, each in arrays.items()} == {"x": [0, 0]}
    assert labels is not None
    assert labels.tolist() == [0]


def test_an_array_that_says_it_is_larger_than_it_is_takes_no_memory(tmp_path: Path) -> None:
    assert "x is cut short" in refusal(pack(tmp_path / "s.npz", x=array_file((10**12, 30), bytes(1000))))


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SET_BYTES_MAX", 1_000_000)
    pack(tmp_path / "s.npz", x=array_file((250_000,), bytes(2_000_000)))
    assert "unpacks to more than 1000000 bytes" in refusal(tmp_path / "s.npz")


@pytest.mark.parametrize("arrays", [{"x": np.array([object()])}, {"x": np.ones(1), "y": np.array([{}])}])
def test_pickled_objects_are_not_loaded(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    assert f"{list(arrays)[-1]} holds Python objects, not numbers" in refusal(tmp_path / "s.npz")


def test_an_archive_without_such_an_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    assert refusal(tmp_path / "s.npz").endswith("s.npz has no array 'x'")
    np.savez(tmp_path / "s.npz", a=np.ones(1), b=np.ones(1))
    assert refusal(tmp_path / "s.npz").endswith("s.npz has no array 'x', only a, b")
    many = {f"a{number}": array_file((1,), bytes(8)) for number in range(ARRAYS_MAX)}
    assert "has no array 'x'" in refusal(pack(tmp_path / "s.npz", **many, x=array_file((1,), bytes(8))))


def damaged(data: bytes) -> bytes:
    """With other bytes in the middle of the packed array."""
    middle = len(data) // 2
    return data[: middle - 20] + bytes(40) + data[middle + 20 :]


def in_directory(data: bytes, at: int, value: int) -> bytes:
    """With another byte in the entry of the array. Source: PKWARE's APPNOTE, 4.3.12."""
    at += data.index(b"PK\x01\x02")
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"PK no archive",
        lambda data: data[: len(data) // 2],
        damaged,
        lambda data: in_directory(data, 8, 1),  # it needs a password
        lambda data: in_directory(data, 10, 99),  # packed in a way that nobody knows
    ],
)
def test_a_damaged_archive_is_one_line(tmp_path: Path, change: Any) -> None:
    random = np.random.default_rng(3).normal(size=200).tobytes()
    whole = pack(tmp_path / "s.npz", x=array_file((200,), random)).read_bytes()
    other = change(whole)
    assert other != whole
    (tmp_path / "s.npz").write_bytes(other)
    assert refusal(tmp_path / "s.npz").startswith(f"cannot read {tmp_path / 's.npz'}: ")


def test_the_shapes_of_an_archive_are_read_without_its_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", ids=np.ones((3, 7), np.int64), mask=np.ones((3, 7)), labels=np.ones(3))
    assert archive_shapes(tmp_path / "s.npz", ["ids", "mask", "other"]) == {"ids": (3, 7), "mask": (3, 7)}
    np.savez_compressed(tmp_path / "s.npz", pixels=np.ones((3, 1, 9)), y=np.ones(3))
    assert archive_shapes(tmp_path / "s.npz", ["x"]) == {"x": (3, 1, 9)}


def test_what_is_no_archive_has_no_shapes(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(b"PK no archive")
    assert archive_shapes(tmp_path / "s.npz", ["x"]) == {}
    assert archive_shapes(tmp_path / "s.csv", ["x"]) == {}
