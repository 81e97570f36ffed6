"""Several session keys of one validator: who signs when, and what stops which."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import session_keys
from node.consensus.interface import Stop, StopReason
from node.identity import begin_journal, journal_path
from node.keystore.store import KeystoreError
from node.session_keys import SessionKeys
from primitives.committee import Committee, Member
from primitives.signing import SigningKey
from primitives.types import BlockNumber, EpochIndex, PublicKey, Seed, SpecVersion, Stake, View

KNOWN = Seed(b"\x05" * 32)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[SessionKeys]:
    opened = SessionKeys(tmp_path, None, are_journaled=True)
    yield opened
    opened.close()


def committee(*keys: PublicKey) -> Committee:
    members = tuple(Member(key, Stake(1)) for key in keys)
    return Committee(EpochIndex(1), BlockNumber(1), BlockNumber(9), SpecVersion(1), members)


def key_of(keys: SessionKeys) -> PublicKey:
    newest = keys.newest()
    assert newest is not None
    return newest.public_key


def stop(reason: StopReason) -> Stop:
    return Stop(reason, EpochIndex(1), View(1), bytes(32))


def test_the_key_in_the_committee_acts(keys: SessionKeys) -> None:
    first = key_of(keys)
    second = keys.rotate().public_key
    for each in (first, second):
        signer = keys.acting(committee(SigningKey(KNOWN).public_key, each))
        assert signer is not None
        assert signer.key.public_key == each
    assert keys.acting(committee(SigningKey(KNOWN).public_key)) is None
    assert key_of(keys) == second


def test_a_new_key_and_its_journal_are_there_after_a_restart(tmp_path: Path) -> None:
    before = SessionKeys(tmp_path, None, are_journaled=True)
    made = before.rotate().public_key
    names = set(before.seeds)
    before.close()
    again = SessionKeys(tmp_path, None, are_journaled=True)
    assert set(again.seeds) == names
    assert again.acting(committee(made)) is not None
    again.close()


def test_a_key_without_its_journal_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = SessionKeys(tmp_path, None, are_journaled=True)
    lost, kept = key_of(before), before.rotate().public_key
    before.close()
    journal_path(tmp_path, lost).unlink()
    with caplog.at_level(logging.CRITICAL):
        again = SessionKeys(tmp_path, None, are_journaled=True)
    assert set(again.seeds) == {kept}
    assert "signs nothing with this key" in caplog.text
    again.close()


def test_a_known_key_acts_beside_those_of_the_keystore(tmp_path: Path) -> None:
    begin_journal(tmp_path, SigningKey(KNOWN).public_key)
    keys = SessionKeys(tmp_path, KNOWN, are_journaled=True)
    made = keys.rotate().public_key
    assert list(keys.seeds) == [SigningKey(KNOWN).public_key, made]
    keys.close()


def test_a_vote_from_elsewhere_stops_its_key_and_a_fork_all(
    keys: SessionKeys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = key_of(keys), keys.rotate().public_key
    acting = {key: keys.acting(committee(key)) for key in (first, second)}
    keys.stop(stop(StopReason.FOREIGN_VOTE), acting[first])
    assert [signer.journal.stop for signer in acting.values() if signer] == [
        stop(StopReason.FOREIGN_VOTE),
        None,
    ]
    keys.stop(stop(StopReason.FORK), acting[first])
    keys.stop(stop(StopReason.FOREIGN_VOTE), acting[second])
    keys.stop(stop(StopReason.DISAGREEMENT), acting[second])
    assert [signer.journal.stop for signer in acting.values() if signer] == [stop(StopReason.FORK)] * 2
    keys.close()
    with caplog.at_level(logging.CRITICAL):
        SessionKeys(tmp_path, None, are_journaled=True).close()
    assert caplog.text.count("signs nothing: it stopped in epoch 1, view 1") == 2


def test_there_are_only_so_many(keys: SessionKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_keys, "KEYS_MAX", 2)
    keys.rotate()
    with pytest.raises(KeystoreError, match="stop the node and remove"):
        keys.rotate()
    assert len(keys.seeds) == 2
