"""Files are written whole or not at all, and what cannot be written is known before the work."""

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.errors import UserError
from cli.files import ensure_new, ensure_writable, read_bytes, write_new, write_whole


def test_trying_leaves_nothing_behind_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"before")
    ensure_writable(tmp_path / "there")
    ensure_writable(tmp_path / "new")
    ensure_new(tmp_path / "new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("there", b"before")]


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"before")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("there", "nowhere"):
        for attempt in (ensure_new, lambda file: write_new(file, b"now")):
            with pytest.raises(UserError, match=f"{name} exists; choose another file"):
                attempt(tmp_path / name)
    assert (tmp_path / "there").read_bytes() == b"before"


@pytest.mark.parametrize("write", [write_new, write_whole])
def test_what_does_not_fit_is_not_left_in_part(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(UserError, match=f"cannot write .*: {os.strerror(errno.EFBIG)}; make room"):
            write(tmp_path / "new", b"x" * 100)
        with pytest.raises(UserError, match=os.strerror(errno.EFBIG)):
            ensure_writable(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_whole_file_is_written_and_read_up_to_its_bound(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"1234")
    assert read_bytes(tmp_path / "file", 4) == b"1234"
    with pytest.raises(UserError, match="more than 3 bytes"):
        read_bytes(tmp_path / "file", 3)
