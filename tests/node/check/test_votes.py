"""What a check says of vote journals: may this key sign, and if not, why and what to do."""

from pathlib import Path

import pytest

from node.check.report import Report
from node.check.votes import check_votes
from node.consensus.interface import Stop, StopReason
from node.consensus.journal import Journal, create_journal
from node.identity import journal_path, session_seed
from primitives.signing import SigningKey
from primitives.types import AuthorityIndex, EpochIndex, PublicKey, Signature, View
from primitives.vote import Vote, VoteKind

VOTE = Vote(VoteKind.NULLIFY, EpochIndex(3), View(7), b"", AuthorityIndex(0), Signature(bytes(64)))


@pytest.fixture
def key(tmp_path: Path) -> PublicKey:
    return SigningKey(session_seed(tmp_path)).public_key


def checked(directory: Path) -> Report:
    report = Report()
    check_votes(directory, report)
    return report


def append(directory: Path, key: PublicKey, *items: Vote | Stop) -> None:
    journal = Journal(journal_path(directory, key), key)
    journal.append(items)
    journal.close()


def test_a_new_key_may_sign(tmp_path: Path, key: PublicKey) -> None:
    report = checked(tmp_path)
    assert report.is_clean
    [told] = report.facts.values()
    assert key.hex() in told
    assert "0 votes" in told


def test_the_newest_vote_is_told_and_nothing_is_changed(tmp_path: Path, key: PublicKey) -> None:
    append(tmp_path, key, VOTE)
    before = journal_path(tmp_path, key).read_bytes()
    report = checked(tmp_path)
    assert report.is_clean
    assert "NULLIFY in epoch 3, view 7" in next(iter(report.facts.values()))
    assert journal_path(tmp_path, key).read_bytes() == before


def test_a_missing_journal_is_found(tmp_path: Path, key: PublicKey) -> None:
    journal_path(tmp_path, key).unlink()
    [finding] = checked(tmp_path).findings
    assert "is missing" in finding.problem
    assert "rotate" in finding.advice


def test_one_changed_byte_is_found(tmp_path: Path, key: PublicKey) -> None:
    append(tmp_path, key, VOTE, VOTE)
    path = journal_path(tmp_path, key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    [finding] = checked(tmp_path).findings
    assert "is damaged at byte" in finding.problem


def test_a_journal_of_another_key_is_found(tmp_path: Path, key: PublicKey) -> None:
    other = SigningKey(session_seed(tmp_path / "other")).public_key
    journal_path(tmp_path / "other", other).replace(journal_path(tmp_path, key))
    [finding] = checked(tmp_path).findings
    assert finding.problem == f"the journal is of another key, {other.hex()}"


def test_a_stopped_key_is_explained(tmp_path: Path, key: PublicKey) -> None:
    append(tmp_path, key, Stop(StopReason.FOREIGN_VOTE, EpochIndex(3), View(7), b""))
    [finding] = checked(tmp_path).findings
    assert "the key signs nothing more: it stopped in epoch 3, view 7" in finding.problem


def test_the_journal_of_a_key_that_is_not_stored_is_looked_at_too(tmp_path: Path) -> None:
    key = SigningKey(session_seed(tmp_path / "elsewhere")).public_key
    create_journal(journal_path(tmp_path, key), key)
    assert checked(tmp_path).facts.keys() == {f"votes {key.hex()[:16]}"}
