"""The words of one validator on open jobs, one file each: written whole and durably, or not at all."""

import os
from pathlib import Path
from typing import Final

from node.attestation.core import WORD, Word
from primitives.codec import CodecError
from primitives.types import Hash

_SUFFIX: Final = ".word"
_OUTPUT: Final = ".output"


class JournalError(Exception):
    """A word cannot be kept or read; one line says why and what to do."""


class Journal:
    """The files in one directory, which is made when the first word is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> list[Word]:
        """Every word that is kept. Raises JournalError if one is damaged."""
        return [_read(path) for path in sorted(self._directory.glob(f"*{_SUFFIX}"))]

    def write(self, word: Word, output: bytes | None = None) -> None:
        """Keep a word and the output that it names, durably on return. Raises JournalError."""
        if output is not None:
            self._write(self._path(word.job).with_suffix(_OUTPUT), output)
        self._write(self._path(word.job), WORD.encode(word))

    def output(self, job: Hash) -> bytes:
        """The output that is kept beside a word. Raises JournalError."""
        path = self._path(job).with_suffix(_OUTPUT)
        try:
            return path.read_bytes()
        except OSError as error:
            raise JournalError(f"cannot read {path}: {error.strerror}") from None

    def remove(self, job: Hash) -> None:
        """Forget a word, and its output. Raises JournalError."""
        path = self._path(job)
        try:
            path.unlink(missing_ok=True)
            path.with_suffix(_OUTPUT).unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"cannot remove {path}: {error.strerror}") from None

    def _write(self, path: Path, data: bytes) -> None:
        draft = path.with_suffix(".draft")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            self._sync()
        except OSError as error:
            raise JournalError(f"cannot write {path}: {error.strerror}") from None

    def _path(self, job: Hash) -> Path:
        return self._directory / f"{job.hex()}{_SUFFIX}"

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> Word:
    try:
        word = WORD.decode(path.read_bytes())
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from None
    except CodecError:
        raise JournalError(f"{path} is damaged: remove it to stay silent about its job") from None
    if path.stem != word.job.hex():
        raise JournalError(f"{path} is about another job: remove it")
    return word
