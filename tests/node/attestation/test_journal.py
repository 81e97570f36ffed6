"""The journal: what was written is read again, and damage is said."""

from pathlib import Path

import pytest

from node.attestation.core import Word
from node.attestation.journal import Journal, JournalError
from primitives.types import Hash

ONE, TWO = Word(Hash(b"\x01" * 32), b"42"), Word(Hash(b"\x02" * 32), None)


def test_words_survive_until_they_are_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "jobs")
    assert journal.read() == []
    journal.write(TWO)
    journal.write(ONE)
    assert Journal(tmp_path / "jobs").read() == [ONE, TWO]
    journal.remove(ONE.job)
    journal.remove(ONE.job)
    assert journal.read() == [TWO]


def test_a_draft_that_a_crash_left_is_no_word(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(ONE)
    (tmp_path / f"{TWO.job.hex()}.draft").write_bytes(b"\x92")
    assert journal.read() == [ONE]
    journal.write(TWO)
    assert journal.read() == [ONE, TWO]


def test_a_damaged_or_misplaced_word_is_said_by_name(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(ONE)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(JournalError, match="damaged"):
        journal.read()
    journal.write(ONE)
    path.rename(tmp_path / f"{TWO.job.hex()}.word")
    with pytest.raises(JournalError, match="another job"):
        journal.read()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="cannot write"):
        Journal(tmp_path / "file").write(ONE)


def test_an_output_is_kept_beside_its_word_and_goes_with_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(ONE, b"output")
    assert Journal(tmp_path).output(ONE.job) == b"output"
    assert journal.read() == [ONE]
    journal.remove(ONE.job)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(JournalError, match="cannot read"):
        journal.output(ONE.job)
