import resource
from pathlib import Path

import pytest

from node.consensus.interface import Memory, Stop, StopReason
from node.consensus.journal import Journal, JournalError, create_journal
from primitives.certificate import Certificate, certificate_of
from primitives.types import AuthorityIndex, EpochIndex, PublicKey, Signature, View
from primitives.vote import NO_BLOCK, Vote, VoteKind

KEY = PublicKey(b"k" * 32)
FIRST = EpochIndex(1)


def vote(view: int, epoch: int = 1) -> Vote:
    return Vote(
        VoteKind.NULLIFY, EpochIndex(epoch), View(view), NO_BLOCK, AuthorityIndex(0), Signature(bytes(64))
    )


def certificate(view: int, epoch: int = 1) -> Certificate:
    return certificate_of([vote(view, epoch)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "votes.journal"
    create_journal(path, KEY)
    return path


def written(path: Path) -> bytes:
    """A journal with two votes, as it lies on the disk."""
    journal = Journal(path, KEY)
    journal.append([vote(1)])
    journal.append([vote(2)])
    journal.close()
    return path.read_bytes()


def reopened(path: Path) -> Memory:
    journal = Journal(path, KEY)
    try:
        return journal.memory(FIRST)
    finally:
        journal.close()


def test_new_journal_remembers_nothing(path: Path) -> None:
    assert reopened(path) == Memory()


def test_what_was_appended_is_read_again_by_epoch(path: Path) -> None:
    journal = Journal(path, KEY)
    journal.append([vote(1), certificate(1), vote(1, epoch=2)])
    assert journal.memory(FIRST) == Memory(votes=(vote(1),), certificates=(certificate(1),))
    journal.close()
    assert reopened(path) == Memory(votes=(vote(1),), certificates=(certificate(1),))


def test_a_stop_holds_for_every_epoch_and_is_never_dropped(path: Path) -> None:
    stop = Stop(StopReason.FORK, FIRST, View(7), bytes(32))
    journal = Journal(path, KEY)
    journal.append([vote(1), stop])
    assert journal.memory(FIRST) == Memory(votes=(vote(1),), stop=stop)
    journal.compact(EpochIndex(9), above_bytes=0)
    assert journal.memory(EpochIndex(9)) == Memory(stop=stop)
    journal.close()
    again = Journal(path, KEY)
    assert again.stop == stop
    again.close()


def test_existing_journal_is_never_created_again(path: Path) -> None:
    before = written(path)
    with pytest.raises(FileExistsError):
        create_journal(path, KEY)
    assert path.read_bytes() == before


def test_key_without_journal_never_signs(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is missing, so that"):
        Journal(tmp_path / "votes.journal", KEY)


def test_journal_of_another_key_is_refused(path: Path) -> None:
    with pytest.raises(JournalError, match="another session key"):
        Journal(path, PublicKey(b"x" * 32))


def test_second_process_is_refused(path: Path) -> None:
    journal = Journal(path, KEY)
    with pytest.raises(JournalError, match="in use"):
        Journal(path, KEY)
    journal.close()
    assert reopened(path) == Memory()


def test_every_torn_tail_is_cut_off_and_written_over(path: Path) -> None:
    data = written(path)
    for end in range(len(data) - _last_record_bytes(data) + 1, len(data)):
        path.write_bytes(data[:end])
        journal = Journal(path, KEY)
        assert journal.memory(FIRST).votes == (vote(1),)
        journal.append([vote(3)])
        journal.close()
        assert reopened(path).votes == (vote(1), vote(3))


def test_tail_of_zeros_is_cut_off(path: Path) -> None:
    data = written(path)
    path.write_bytes(data + bytes(5000))
    assert reopened(path).votes == (vote(1), vote(2))
    assert path.read_bytes() == data


def test_every_flipped_bit_is_damage(path: Path) -> None:
    data = written(path)
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(JournalError, match="damaged"):
            Journal(path, KEY)


def test_record_that_was_taken_out_is_damage(path: Path) -> None:
    data = written(path)
    size = _last_record_bytes(data)
    path.write_bytes(data[: -2 * size] + data[-size:])
    with pytest.raises(JournalError, match="damaged"):
        Journal(path, KEY)


def test_large_journal_drops_old_epochs_and_says_so(path: Path) -> None:
    journal = Journal(path, KEY)
    journal.append([vote(1, epoch=epoch) for epoch in (1, 2, 3)])
    journal.compact(EpochIndex(3), above_bytes=0)
    journal.append([vote(2, epoch=3)])
    journal.close()
    journal = Journal(path, KEY)
    assert journal.complete_from == 2
    assert journal.memory(FIRST) == Memory()
    assert journal.memory(EpochIndex(2)).votes == (vote(1, epoch=2),)
    assert journal.memory(EpochIndex(3)).votes == (vote(1, epoch=3), vote(2, epoch=3))
    journal.close()


def test_restored_database_does_not_lower_the_floor(path: Path) -> None:
    journal = Journal(path, KEY)
    journal.compact(EpochIndex(9), above_bytes=0)
    journal.compact(EpochIndex(3), above_bytes=0)
    assert journal.complete_from == 8
    journal.close()


def test_small_journal_is_left_alone(path: Path) -> None:
    before = written(path)
    journal = Journal(path, KEY)
    journal.compact(EpochIndex(9))
    journal.close()
    assert path.read_bytes() == before


def _last_record_bytes(data: bytes) -> int:
    """Size of the last record: length and its check, payload, checksum."""
    start = 0
    while True:
        size = 8 + int.from_bytes(data[start : start + 4], "big") + 16
        if start + size == len(data):
            return size
        start += size


def test_full_disk_is_said_in_one_line_and_costs_nothing_that_was_appended(path: Path) -> None:
    journal = Journal(path, KEY)
    journal.append([vote(1)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(JournalError, match="cannot write"):
            journal.append([vote(2)])
        with pytest.raises(JournalError, match="cannot write"):
            journal.compact(EpochIndex(1), above_bytes=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.close()
    assert reopened(path).votes[0] == vote(1)
