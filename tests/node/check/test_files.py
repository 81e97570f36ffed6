"""Keys, blobs and words that were damaged are found and named."""

from pathlib import Path

from node.blobs.store import BlobStore, StoreLimits
from node.check.files import check_blobs, check_keystore, check_words
from node.check.report import Report
from node.keystore.store import Keystore
from primitives.types import Seed


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
