"""Blobs on disk: durable, verified, bounded."""

import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from node.blobs.messages import BLOB_BYTES_MAX, BlobId, blob_id, chunks_of, manifest_of, verify_chunk
from node.blobs.store import BlobMissing, BlobStore, StoreBroken, StoreFull, StoreLimits, WrongSize
from tests.node.blobs.samples import LARGE, SMALL

OVERHEAD = 40
"""Bytes that a file of one chunk adds to its data."""


def store_at(path: Path, size_bytes_max: int = 1 << 24, count_max: int = 100) -> BlobStore:
    return BlobStore(path, StoreLimits(size_bytes_max=size_bytes_max, count_max=count_max))


def file_of(path: Path, blob: BlobId) -> Path:
    (file,) = path.glob(f"*/{blob.hex()}")
    return file


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_what_is_stored_is_read_back_also_by_the_next_process(tmp_path: Path, data: bytes) -> None:
    blob = store_at(tmp_path).put(data, pinned=False)
    again = store_at(tmp_path)
    assert blob == blob_id(manifest_of(data))
    assert (again.read(blob), again.manifest(blob)) == (data, manifest_of(data))


def test_every_chunk_comes_with_its_proof(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    blob = store.put(LARGE, pinned=False)
    for index in range(3):
        chunk = store.chunk(blob, index)
        assert chunk is not None
        assert verify_chunk(manifest_of(LARGE), index, chunk)
    assert store.chunk(blob, 3) is None


def test_chunks_may_arrive_in_any_order(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with closing(store.begin(manifest_of(LARGE), pinned=False)) as incoming:
        for index in (2, 0, 1):
            incoming.write(index, chunks_of(LARGE)[index])
        blob = incoming.commit()
    assert store.read(blob) == LARGE


def test_a_blob_that_was_not_committed_leaves_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with closing(store.begin(manifest_of(LARGE), pinned=False)) as incoming:
        incoming.write(0, chunks_of(LARGE)[0])
        assert store.used_bytes > len(LARGE)
    assert (len(store), store.used_bytes) == (0, 0)
    assert not any((tmp_path / "incoming").iterdir())


def test_what_a_dead_process_left_half_written_is_cleaned_up(tmp_path: Path) -> None:
    store_at(tmp_path)
    (tmp_path / "incoming" / "1").write_bytes(b"torn")
    assert len(store_at(tmp_path)) == 0
    assert not any((tmp_path / "incoming").iterdir())


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    blob = store_at(tmp_path / "blobs").put(SMALL, pinned=True)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "blobs").iterdir()]
    assert modes == [0o700] * 3
    assert stat.S_IMODE(file_of(tmp_path / "blobs", blob).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, SMALL * 9])
def test_a_file_that_is_not_what_its_name_says_is_removed_at_start(tmp_path: Path, damage: bytes) -> None:
    blob = store_at(tmp_path).put(SMALL, pinned=True)
    file = file_of(tmp_path, blob)
    file.write_bytes(damage)
    assert blob not in store_at(tmp_path)
    assert not file.exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "unlink"])
def test_damage_is_found_on_reading_and_the_blob_is_gone(tmp_path: Path, damage: str) -> None:
    store = store_at(tmp_path)
    for read in (store.read, lambda blob: store.chunk(blob, 0)):
        blob = store.put(SMALL, pinned=False)
        file = file_of(tmp_path, blob)
        match damage:
            case "flip":
                file.write_bytes(file.read_bytes()[:-1] + b"?")
            case "cut":
                os.truncate(file, OVERHEAD + 3)
            case "unlink":
                file.unlink()
        with pytest.raises(BlobMissing, match="damaged"):
            read(blob)
        assert blob not in store
        assert store.used_bytes == 0


@pytest.mark.parametrize("size", [0, BLOB_BYTES_MAX + 1])
def test_an_empty_or_overlong_blob_is_refused(tmp_path: Path, size: int) -> None:
    store = store_at(tmp_path)
    with pytest.raises(WrongSize, match=f"this one has {size}"):
        store.put(bytes(size), pinned=False)
    assert store.used_bytes == 0


def test_the_least_recently_used_gives_way_also_after_a_restart(tmp_path: Path) -> None:
    first, second = (store_at(tmp_path).put(data, pinned=False) for data in (b"first", b"second"))
    for age, blob in enumerate((first, second)):
        os.utime(file_of(tmp_path, blob), ns=(age, age))
    store_at(tmp_path).read(first)
    store = store_at(tmp_path, size_bytes_max=2 * OVERHEAD + 12)
    third = store.put(b"third", pinned=False)
    assert [blob in store for blob in (first, second, third)] == [True, False, True]


def test_pinned_blobs_stay_and_a_store_full_of_them_says_so(tmp_path: Path) -> None:
    store = store_at(tmp_path, size_bytes_max=2 * OVERHEAD + 10)
    kept, cached = store.put(b"kept!", pinned=True), store.put(b"cache", pinned=False)
    used = store.used_bytes
    with pytest.raises(StoreFull, match="is full"):
        store.put(bytes(50), pinned=False)
    assert (cached in store, store.used_bytes) == (True, used)
    store.put(b"other", pinned=True)
    assert (kept in store, cached in store) == (True, False)


def test_the_number_of_blobs_is_bounded(tmp_path: Path) -> None:
    store = store_at(tmp_path, count_max=1)
    first = store.put(b"first", pinned=False)
    second = store.put(b"second", pinned=True)
    assert (first in store, len(store)) == (False, 1)
    with pytest.raises(StoreFull):
        store.put(b"third", pinned=False)
    assert store.read(second) == b"second"


def test_a_pin_outlives_the_process_and_can_be_taken_back(tmp_path: Path) -> None:
    blob = store_at(tmp_path).put(SMALL, pinned=False)
    store_at(tmp_path).pin(blob)
    assert file_of(tmp_path, blob).parent.name == "pinned"
    again = store_at(tmp_path)
    again.pin(blob, pinned=False)
    again.pin(blob, pinned=False)
    assert file_of(tmp_path, blob).parent.name == "cached"
    assert again.read(blob) == SMALL


def test_storing_the_same_again_costs_nothing_and_never_unpins(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    blob, *_ = [store.put(SMALL, pinned=pinned) for pinned in (False, True, False)]
    assert (len(store), store.used_bytes) == (1, OVERHEAD + len(SMALL))
    assert file_of(tmp_path, blob).parent.name == "pinned"


def test_an_unknown_blob_is_missing(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with pytest.raises(BlobMissing):
        store.read(BlobId(bytes(32)))
    with pytest.raises(BlobMissing):
        store.pin(BlobId(bytes(32)))


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreBroken, match="cannot use the blob store") as caught:
        store_at(tmp_path / "file" / "blobs")
    assert "\n" not in str(caught.value)


def test_a_directory_that_vanished_is_one_clear_line_and_nothing_stays_reserved(tmp_path: Path) -> None:
    store = store_at(tmp_path / "blobs")
    (tmp_path / "blobs" / "incoming").rmdir()
    with pytest.raises(StoreBroken):
        store.put(SMALL, pinned=False)
    assert store.used_bytes == 0


STORE_FOR_EVER = """
import sys
from pathlib import Path
from node.blobs.store import BlobStore, StoreLimits

store = BlobStore(Path(sys.argv[1]), StoreLimits())
for number in range(10_000):
    print(store.put(number.to_bytes(4, "big") * 100_000, pinned=number % 2 == 0).hex(), flush=True)
"""


def test_what_was_reported_as_stored_outlives_sigkill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STORE_FOR_EVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reported = [process.stdout.readline().strip() for _ in range(5)]
        process.kill()
        reported += process.stdout.read().split()
    store = store_at(tmp_path, size_bytes_max=1 << 30)
    for number, blob in enumerate(reported):
        assert store.read(BlobId(bytes.fromhex(blob))) == number.to_bytes(4, "big") * 100_000
    assert not any((tmp_path / "incoming").iterdir())
