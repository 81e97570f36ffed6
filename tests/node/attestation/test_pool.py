"""The pool of job messages: what it takes, and what it offers to a block."""

import dataclasses

import pytest
from msgspec.structs import replace

from node.attestation.core import AttestationCore
from node.attestation.messages import Told, ToldAbstain, ToldReveal
from node.attestation.pool import MessagePool, Verdict
from primitives.job_message import JobPhase, result_digest, sign_abstain
from primitives.signing import verify
from primitives.types import Signature
from runtime.constants import JOBS
from runtime.jobs import OpenJob, job_call
from tests.node.attestation.jobs import (
    GENESIS,
    KEYS,
    SEEDS,
    finalized,
    job_of,
    seeds_of,
    tells,
    with_seat,
    worked,
)


def commits(job: OpenJob, results: dict[int, bytes]) -> dict[int, Told]:
    """The commitments of some seats."""
    return {
        seat: tells(worked(AttestationCore(seeds_of(SEEDS[seat]), GENESIS, ()), job, result))[0]
        for seat, result in results.items()
    }


def revealing(job: OpenJob, told: dict[int, Told]) -> OpenJob:
    """The job after those commitments, when it takes reveals."""
    for seat, commit in told.items():
        job = with_seat(job, seat, has_spoken=True, commitment=getattr(commit.message, "commitment", None))
    return dataclasses.replace(job, phase=JobPhase.REVEAL)


def reveals(job: OpenJob, results: dict[int, bytes]) -> dict[int, ToldReveal]:
    """The reveals of some seats, of a job that is open for commitments."""
    told = {}
    for seat, result in results.items():
        core = AttestationCore(seeds_of(SEEDS[seat]), GENESIS, ())
        commit = tells(worked(core, job, result))[0]
        (reveal,) = tells(core.handle(finalized(20, revealing(job, {seat: commit}))))
        assert isinstance(reveal, ToldReveal)
        told[seat] = reveal
    return told


@pytest.fixture
def pool() -> MessagePool:
    pool = MessagePool(GENESIS, verify)
    pool.update([job_of()])
    return pool


def test_a_message_is_taken_once_and_offered_to_blocks(pool: MessagePool) -> None:
    told = commits(job_of(), {0: b"1", 1: b"2"})
    assert [pool.offer(each) for each in told.values()] == [Verdict.NEW, Verdict.NEW]
    assert [pool.offer(each) for each in told.values()] == [Verdict.KNOWN, Verdict.KNOWN]
    assert pool.inherents([job_of()]) == [job_call(each.message, None) for each in told.values()]


def test_a_second_word_of_a_seat_finds_its_slot_taken(pool: MessagePool) -> None:
    pool.offer(commits(job_of(), {0: b"1"})[0])
    assert pool.offer(commits(job_of(), {0: b"2"})[0]) is Verdict.KNOWN
    assert pool.offer(ToldAbstain(sign_abstain(KEYS[0], GENESIS, job_of().id))) is Verdict.KNOWN
    assert len(pool) == 1


def test_a_block_is_offered_no_more_messages_than_it_may_have(pool: MessagePool) -> None:
    jobs = [job_of(number) for number in range(JOBS.messages_max // len(KEYS) + 1)]
    pool.update(jobs)
    told = [each for job in jobs for each in commits(job, dict.fromkeys(range(len(KEYS)), b"1")).values()]
    assert {pool.offer(each) for each in told} == {Verdict.NEW}
    offered = pool.inherents(jobs)
    assert offered == [job_call(each.message, None) for each in told[: JOBS.messages_max]]
    assert len(told) > len(offered)


def test_what_a_state_has_taken_is_not_offered_to_its_next_block(pool: MessagePool) -> None:
    pool.offer(commits(job_of(), {0: b"1"})[0])
    assert pool.inherents([with_seat(job_of(), 0, has_spoken=True)]) == []
    assert pool.inherents([dataclasses.replace(job_of(), phase=JobPhase.REVEAL)]) == []
    assert pool.inherents([]) == []
    assert len(pool) == 1


def test_what_is_final_is_dropped(pool: MessagePool) -> None:
    pool.offer(commits(job_of(), {0: b"1"})[0])
    pool.update([with_seat(job_of(), 0, has_spoken=True)])
    assert len(pool) == 0


def test_messages_from_ahead_are_early_and_from_behind_are_late(pool: MessagePool) -> None:
    commit = commits(job_of(), {0: b"1"})
    assert pool.offer(commits(job_of(2), {0: b"1"})[0]) is Verdict.EARLY
    assert pool.offer(reveals(job_of(), {0: b"1"})[0]) is Verdict.EARLY
    pool.update([revealing(job_of(), commit)])
    assert pool.offer(commit[0]) is Verdict.LATE
    pool.update([with_seat(job_of(), 0, has_spoken=True)])
    assert pool.offer(commit[0]) is Verdict.LATE


def test_what_nobody_honest_tells_is_forged(pool: MessagePool) -> None:
    commit = commits(job_of(), {0: b"1"})[0]
    unsigned = replace(commit, message=replace(commit.message, signature=Signature(bytes(64))))
    assert pool.offer(unsigned) is Verdict.FORGED
    pool.update([dataclasses.replace(job_of(), seats=job_of().seats[1:])])
    assert pool.offer(commit) is Verdict.FORGED


def test_a_reveal_must_open_the_final_commitment_with_its_result(pool: MessagePool) -> None:
    commit, reveal = commits(job_of(), {0: b"1"}), reveals(job_of(), {0: b"1"})[0]
    pool.update([revealing(job_of(), commit)])
    assert pool.offer(reveals(job_of(), {0: b"2"})[0]) is Verdict.FORGED
    assert pool.offer(replace(reveal, result=b"2")) is Verdict.FORGED
    assert pool.offer(reveal) is Verdict.NEW


def test_a_result_goes_into_the_chain_once() -> None:
    results = {0: b"1", 1: b"1", 2: b"2"}
    job, told = revealing(job_of(), commits(job_of(), results)), reveals(job_of(), results)
    pool = MessagePool(GENESIS, verify)
    pool.update([job])
    for each in told.values():
        assert pool.offer(each) is Verdict.NEW
    assert pool.inherents([job]) == [
        job_call(told[0].message, b"1"),
        job_call(told[1].message, None),
        job_call(told[2].message, b"2"),
    ]
    known = dataclasses.replace(job, known=(result_digest(b"1"),))
    assert pool.inherents([known])[0] == job_call(told[0].message, None)
