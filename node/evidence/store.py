"""Evidence and forks in files that a person can read: written whole and durably, or not at all."""

import json
import logging
import os
from pathlib import Path
from typing import Any, Final

from node.consensus.interface import Fork
from node.evidence.core import offence_of
from primitives.certificate import CERTIFICATE, Certificate
from primitives.codec import CodecError
from primitives.vote import EVIDENCE, Evidence, Vote

FORKS_MAX: Final = 64
"""Files about forks that are kept; one epoch of one suffices to convict."""

_log = logging.getLogger(__name__)


class EvidenceStore:
    """The files in one directory, which is made with the first of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def keep(self, evidence: Evidence) -> None:
        """Write a piece of evidence. Raises OSError."""
        self._write(evidence_path(self.directory, evidence), describe(evidence))

    def keep_fork(self, fork: Fork) -> None:
        """Write both finalizations of a fork, unless there is a file about that view. Raises OSError."""
        path = self.directory / f"fork-{fork.theirs.epoch}-{fork.theirs.view}.json"
        if not path.exists() and len(self._fork_files()) < FORKS_MAX:
            self._write(path, describe_fork(fork))

    def read(self) -> list[Evidence]:
        """Every piece that is kept; what is damaged is named in the log and left as it is."""
        found: list[Evidence] = []
        for path in sorted(self.directory.glob("equivocation-*.json")):
            try:
                document = json.loads(path.read_bytes())
                found.append(EVIDENCE.decode(bytes.fromhex(document["evidence"].removeprefix("0x"))))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, CodecError) as error:
                _log.warning("%s is no evidence (%s): remove it", path, error)
        return found

    def forks(self) -> list[dict[str, Any]]:
        """What the files say of forks."""
        return [json.loads(path.read_bytes()) for path in self._fork_files()]

    def remove(self, evidence: Evidence) -> None:
        """The chain has it. Raises OSError."""
        evidence_path(self.directory, evidence).unlink(missing_ok=True)

    def _fork_files(self) -> list[Path]:
        return sorted(self.directory.glob("fork-*.json"))

    def _write(self, path: Path, document: dict[str, Any]) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="ascii") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def describe(evidence: Evidence) -> dict[str, Any]:
    """A piece of evidence for people and programs."""
    vote = evidence.first
    return {
        "epoch": vote.epoch,
        "view": vote.view,
        "signer": vote.signer,
        "votes": [_vote(evidence.first), _vote(evidence.second)],
        "evidence": "0x" + EVIDENCE.encode(evidence).hex(),
    }


def describe_fork(fork: Fork) -> dict[str, Any]:
    """Two finalizations that contradict each other."""
    return {
        "epoch": fork.theirs.epoch,
        "ours": None if fork.ours is None else _certificate(fork.ours),
        "theirs": _certificate(fork.theirs),
    }


def evidence_path(directory: Path, evidence: Evidence) -> Path:
    """Where a piece of evidence is kept. Raises ValueError if it is none."""
    offence = offence_of(evidence)
    if offence is None:
        raise ValueError("the votes do not conflict")
    epoch, signer, kind = offence
    return directory / f"equivocation-{epoch}-{signer}-{kind.name.lower()}.json"


def _vote(vote: Vote) -> dict[str, Any]:
    return {"kind": vote.kind.name, "block": "0x" + vote.block.hex()}


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "view": certificate.view,
        "block": "0x" + certificate.block.hex(),
        "signers": list(certificate.signers()),
        "certificate": "0x" + CERTIFICATE.encode(certificate).hex(),
    }
