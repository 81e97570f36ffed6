"""What a node keeps in files of its own: keys, blobs, words on open jobs, evidence, peers."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from node.attestation.journal import Journal, JournalError
from node.blobs.store import is_intact
from node.check.report import Report
from node.evidence.store import describe, evidence_path
from node.keystore.store import Keystore, KeystoreError
from primitives.certificate import CERTIFICATE
from primitives.vote import EVIDENCE

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


def check_evidence(directory: Path, report: Report) -> None:
    """Whether every file proves what its name says; the signatures are judged by the chain."""
    count = 0
    for path in sorted(directory.glob("*.json")):
        count += 1
        try:
            document = json.loads(path.read_bytes())
            is_right = _is_fork(document) if path.name.startswith("fork-") else _is_evidence(document, path)
        except OSError as error:
            report.wrong("evidence", f"cannot read {path}: {error.strerror}", "set its owner and mode right")
            continue
        except (ValueError, KeyError, TypeError, AttributeError):
            is_right = False
        if not is_right:
            report.wrong("evidence", f"{path} is damaged", "remove it; other nodes have it too")
    report.facts["evidence"] = f"{count} files"


def check_peers(path: Path, report: Report) -> None:
    """Whether the addresses of peers can be read; they are a convenience."""
    if not path.exists():
        report.facts["peers"] = "none are remembered"
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            [problem] = database.execute("PRAGMA quick_check(1)").fetchone()
            [count] = database.execute("SELECT count(DISTINCT peer) FROM addresses").fetchone()
    except sqlite3.Error as error:
        problem, count = str(error), 0
    if problem != "ok":
        report.wrong("peers", f"{path} is damaged ({problem})", "remove it; the peers are learned again")
    report.facts["peers"] = f"addresses of {count} peers"


def _is_evidence(document: Any, path: Path) -> bool:
    evidence = EVIDENCE.decode(bytes.fromhex(document["evidence"].removeprefix("0x")))
    return evidence_path(path.parent, evidence) == path and document == describe(evidence)


def _is_fork(document: Any) -> bool:
    given = [document["theirs"], *([] if document["ours"] is None else [document["ours"]])]
    return all(
        CERTIFICATE.decode(bytes.fromhex(one["certificate"].removeprefix("0x"))).view == one["view"]
        for one in given
    )
