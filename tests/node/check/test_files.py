"""Keys, blobs, words, evidence and peers that were damaged are found and named."""

from pathlib import Path

import pytest

from node.blobs.store import BlobStore, StoreLimits
from node.check.files import check_blobs, check_evidence, check_keystore, check_peers, check_words
from node.check.report import Report
from node.consensus.interface import Fork
from node.evidence.store import EvidenceStore
from node.keystore.store import Keystore
from node.network import peerstore
from primitives.certificate import certificate_of
from primitives.signing import SigningKey
from primitives.types import BlockHash, Seed
from primitives.vote import VoteKind
from tests.runtime.equivocation import double_vote, vote_of


def test_keys_that_can_be_read_are_listed(tmp_path: Path) -> None:
    Keystore(tmp_path).add("node", Seed(bytes(32)))
    report = Report()
    check_keystore(tmp_path, report)
    assert report.is_clean
    assert report.facts == {"keystore": "node"}


def test_a_damaged_key_is_found(tmp_path: Path) -> None:
    path = Keystore(tmp_path).add("session", Seed(bytes(32)))
    path.write_text("not a key\n")
    report = Report()
    check_keystore(tmp_path, report)
    [finding] = report.findings
    assert "is damaged" in finding.problem


def test_a_whole_blob_store_is_found_whole_and_one_changed_byte_is_found(tmp_path: Path) -> None:
    blob = BlobStore(tmp_path, StoreLimits()).put(bytes(3_000_000), pinned=True)
    report = Report()
    check_blobs(tmp_path, report)
    assert report.is_clean
    assert report.facts == {"blobs": "1 blobs"}
    path = tmp_path / "pinned" / blob.hex()
    data = bytearray(path.read_bytes())
    data[-1_500_000] ^= 1
    path.write_bytes(data)
    check_blobs(tmp_path, report)
    [finding] = report.findings
    assert finding.problem == f"blob {blob.hex()[:16]} is damaged"
    assert path.exists()


def test_a_damaged_word_is_found(tmp_path: Path) -> None:
    report = Report()
    check_words(tmp_path, report)
    assert report.facts == {"attestation": "words on 0 jobs"}
    (tmp_path / f"{bytes(32).hex()}.word").write_bytes(b"\xc1")
    check_words(tmp_path, report)
    [finding] = report.findings
    assert "is damaged" in finding.problem


def evidence_files(tmp_path: Path) -> list[Path]:
    """A piece of evidence and a fork."""
    anchor = BlockHash(bytes(32))
    store = EvidenceStore(tmp_path)
    store.keep(double_vote(SigningKey(Seed(bytes(32))), anchor))
    vote = vote_of(SigningKey(Seed(bytes(32))), 0, anchor, VoteKind.FINALIZE, bytes(32))
    store.keep_fork(Fork(ours=None, theirs=certificate_of([vote])))
    return sorted(tmp_path.glob("*.json"))


def test_whole_evidence_is_found_whole(tmp_path: Path) -> None:
    assert len(evidence_files(tmp_path)) == 2
    report = Report()
    check_evidence(tmp_path, report)
    assert report.findings == []
    assert report.facts["evidence"] == "2 files"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"theirs": 1, "ours": null}', '{"evidence": "0x90"}'])
def test_damaged_evidence_is_found(tmp_path: Path, damage: str) -> None:
    for path in evidence_files(tmp_path):
        path.write_text(damage)
    report = Report()
    check_evidence(tmp_path, report)
    assert len(report.findings) == 2
    assert all("is damaged" in found.problem for found in report.findings)


def test_evidence_under_another_name_is_found(tmp_path: Path) -> None:
    path, _ = evidence_files(tmp_path)
    path.rename(path.with_name("equivocation-9-9-notarize.json"))
    report = Report()
    check_evidence(tmp_path, report)
    assert [found.part for found in report.findings] == ["evidence"]


def test_peers_are_counted_and_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "peers.sqlite"
    report = Report()
    check_peers(path, report)
    assert report.facts["peers"] == "none are remembered"
    peerstore.write(path, peerstore.Memory((("12D3", 0, "/ip4/1.2.3.4/tcp/1", None),)))
    check_peers(path, report)
    assert report.facts["peers"] == "addresses of 1 peers"
    assert report.is_clean
    for damaged in (b"no database at all" * 100, path.read_bytes()[:4096] + bytes(4096)):
        path.write_bytes(damaged)
        report = Report()
        check_peers(path, report)
        assert "is damaged" in report.findings[0].problem
        assert path.read_bytes() == damaged
