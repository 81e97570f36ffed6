"""What a node keeps in files of its own: keys, blobs, words on open jobs."""

from pathlib import Path
from typing import Final

from node.attestation.journal import Journal, JournalError
from node.blobs.store import is_intact
from node.check.report import Report
from node.keystore.store import Keystore, KeystoreError

BLOB_FOLDERS: Final = ("pinned", "cached")


def check_keystore(directory: Path, report: Report) -> None:
    """Whether every key can be read, and by its owner only."""
    keystore = Keystore(directory)
    names = keystore.names()
    for name in names:
        try:
            keystore.seed_of(name)
        except KeystoreError as error:
            report.wrong("keystore", str(error), "set it right, or replace the key")
    report.facts["keystore"] = ", ".join(names) or "no keys: they are made at the first start"


def check_blobs(directory: Path, report: Report) -> None:
    """Whether every blob is what its name says."""
    folders = [directory / name for name in BLOB_FOLDERS]
    files = sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())
    for count, path in enumerate(files):
        report.progress("blobs", count, len(files))
        try:
            is_right = is_intact(path)
        except OSError as error:
            report.wrong("blobs", f"cannot read {path}: {error.strerror}", "set its owner and mode right")
            continue
        if not is_right:
            advice = f"remove {path}; the node fetches it again when it needs it"
            report.wrong("blobs", f"blob {path.name[:16]} is damaged", advice)
    report.facts["blobs"] = f"{len(files)} blobs"


def check_words(directory: Path, report: Report) -> None:
    """Whether the words on open jobs can be read."""
    try:
        words = Journal(directory).read()
    except JournalError as error:
        report.wrong("attestation", str(error), "without it the validator stays silent about that job")
    else:
        report.facts["attestation"] = f"words on {len(words)} jobs"
