"""What a validator says about jobs, when, and never twice differently."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.attestation.core import (
    REPEAT_BLOCKS,
    RETRY_BLOCKS,
    Action,
    AttestationCore,
    Computed,
    Drop,
    Forget,
    Persist,
    Publish,
    Stored,
    Tell,
    Trouble,
    Word,
)
from node.attestation.messages import ToldAbstain, ToldCommit, ToldReveal
from primitives.job_message import JobPhase, commitment_of, result_digest, verify_job_message
from primitives.types import BlockNumber, Hash
from runtime.jobs import OpenJob
from tests.node.attestation.jobs import (
    GENESIS,
    KEYS,
    SEEDS,
    computes,
    finalized,
    job_of,
    seeds_of,
    tells,
    with_seat,
    worked,
)

RESULT = b"42"


@pytest.fixture
def core() -> AttestationCore:
    return AttestationCore(seeds_of(SEEDS[0]), GENESIS, ())


def commitment(core: AttestationCore, job: OpenJob) -> Hash:
    """What the core commits to for a job."""
    _, tell = worked(core, job, RESULT)
    assert isinstance(tell, Tell)
    assert isinstance(tell.told, ToldCommit)
    return tell.told.message.commitment


def revealing(job: OpenJob, committed: Hash) -> OpenJob:
    """The job when its commitments are closed."""
    later = with_seat(job, 0, has_spoken=True, commitment=committed)
    return dataclasses.replace(later, phase=JobPhase.REVEAL)


def test_a_result_is_kept_before_its_commitment_leaves(core: AttestationCore) -> None:
    persist, tell = worked(core, job_of(), RESULT)
    assert persist == Persist(Word(job_of().id, RESULT))
    assert isinstance(tell, Tell)
    assert isinstance(tell.told, ToldCommit)
    assert verify_job_message(GENESIS, tell.told.message)


def test_a_worker_that_fails_abstains_once_and_for_all(core: AttestationCore) -> None:
    persist, tell = worked(core, job_of(), Trouble.UNABLE)
    assert persist == Persist(Word(job_of().id, None))
    assert isinstance(tell, Tell)
    assert isinstance(tell.told, ToldAbstain)
    assert computes(core.handle(finalized(12, job_of()))) == []


def test_the_result_is_revealed_when_a_final_block_has_closed_the_commitments(core: AttestationCore) -> None:
    job = job_of()
    committed = commitment(core, job)
    spoken = with_seat(job, 0, has_spoken=True, commitment=committed)
    assert core.handle(finalized(12, spoken)) == []
    (told,) = tells(core.handle(finalized(13, revealing(job, committed))))
    assert isinstance(told, ToldReveal)
    assert (told.result, told.message.digest) == (RESULT, result_digest(RESULT))
    opened = commitment_of(GENESIS, job.id, KEYS[0].public_key, told.message.digest, told.message.salt)
    assert opened == committed
    assert verify_job_message(GENESIS, told.message)


def test_what_the_chain_did_not_take_is_repeated(core: AttestationCore) -> None:
    worked(core, job_of())
    heights = range(12, 12 + 2 * REPEAT_BLOCKS)
    repeated = [height for height in heights if tells(core.handle(finalized(height, job_of())))]
    assert repeated == [11 + REPEAT_BLOCKS, 11 + 2 * REPEAT_BLOCKS]
    spoken = with_seat(job_of(), 0, has_spoken=True)
    assert core.handle(finalized(40, spoken)) == []


def test_a_commitment_that_the_chain_did_not_take_is_not_revealed(core: AttestationCore) -> None:
    worked(core, job_of())
    missed = dataclasses.replace(job_of(), phase=JobPhase.REVEAL)
    assert core.handle(finalized(60, missed)) == []


def test_every_job_is_begun_at_once_and_once(core: AttestationCore) -> None:
    """Who gives a file slowly keeps nobody waiting."""
    jobs = [job_of(1), job_of(2), job_of(3)]
    assert computes(core.handle(finalized(11, *jobs[:2]))) == [jobs[0].id, jobs[1].id]
    assert computes(core.handle(finalized(12, *jobs))) == [jobs[2].id]
    assert computes(core.handle(Computed(jobs[1].id, RESULT))) == []
    assert computes(core.handle(finalized(13, *jobs))) == []


def test_a_job_that_waits_for_no_word_any_more_is_dropped(core: AttestationCore) -> None:
    closed, spoken, late, gone = jobs = [job_of(number) for number in range(1, 5)]
    assert len(computes(core.handle(finalized(11, *jobs)))) == 4
    assert core.handle(finalized(12, *jobs)) == []
    left = [
        dataclasses.replace(closed, phase=JobPhase.REVEAL),
        with_seat(spoken, 0, has_spoken=True),
        dataclasses.replace(late, closes=BlockNumber(13)),
    ]
    assert core.handle(finalized(13, *left)) == [Drop(job.id) for job in (closed, spoken, late, gone)]
    assert core.handle(Computed(gone.id, Trouble.UNABLE)) == []


def test_an_output_that_is_a_blob_is_kept_with_its_name_and_given_before_its_name_is_told(
    core: AttestationCore,
) -> None:
    persist, commit = worked(core, job_of(), Stored(b"long"))
    assert isinstance(persist, Persist)
    assert (persist.output, persist.word.is_stored) == (b"long", True)
    assert isinstance(commit, Tell)
    assert isinstance(commit.told, ToldCommit)
    closed = revealing(job_of(), commit.told.message.commitment)
    publish, reveal = core.handle(finalized(13, closed))
    assert publish == Publish(job_of().id)
    assert isinstance(reveal, Tell)
    assert isinstance(reveal.told, ToldReveal)
    assert reveal.told.result == persist.word.result
    again = AttestationCore(seeds_of(SEEDS[0]), GENESIS, [persist.word])
    assert again.handle(finalized(14, closed)) == [publish, reveal]


@pytest.mark.parametrize(
    ("trouble", "cannot_open"),
    [(Trouble.UNREADABLE, True), (Trouble.UNABLE, False)],
)
def test_an_abstention_says_whose_fault_it_is(
    core: AttestationCore, trouble: Trouble, cannot_open: bool
) -> None:
    (told,) = tells(worked(core, job_of(), trouble))
    assert isinstance(told, ToldAbstain)
    assert told.message.cannot_open == cannot_open
    assert verify_job_message(GENESIS, told.message)


def test_an_input_that_nobody_gives_is_in_the_end_the_fault_of_the_payer(core: AttestationCore) -> None:
    job = job_of(opened=10, closes=20)
    assert worked(core, job, Trouble.WITHHELD) == []
    assert computes(core.handle(finalized(15, job))) == [job.id]
    (told,) = tells(core.handle(Computed(job.id, Trouble.WITHHELD)))
    assert isinstance(told, ToldAbstain)
    assert told.message.cannot_open


def test_a_file_that_nobody_gives_is_asked_for_until_half_the_time_has_passed(core: AttestationCore) -> None:
    job = job_of(opened=10, closes=20)
    assert worked(core, job, Trouble.UNAVAILABLE) == []
    for height in range(12, 11 + RETRY_BLOCKS):
        assert computes(core.handle(finalized(height, job))) == []
    assert computes(core.handle(finalized(14, job))) == [job.id]
    core.handle(finalized(15, job))
    (told,) = tells(core.handle(Computed(job.id, Trouble.UNAVAILABLE)))
    assert isinstance(told, ToldAbstain)


def test_a_result_that_comes_too_late_is_not_told(core: AttestationCore) -> None:
    job = job_of()
    core.handle(finalized(11, job))
    core.handle(finalized(51, dataclasses.replace(job, phase=JobPhase.REVEAL)))
    assert core.handle(Computed(job.id, RESULT)) == []
    core = AttestationCore(seeds_of(SEEDS[0]), GENESIS, ())
    core.handle(finalized(11, job))
    core.handle(finalized(60))
    assert core.handle(Computed(job.id, RESULT)) == []


def test_a_closed_job_is_forgotten(core: AttestationCore) -> None:
    worked(core, job_of())
    assert core.handle(finalized(60)) == [Forget(job_of().id)]
    assert core.handle(finalized(61)) == []


def test_a_stranger_to_the_panel_has_no_duties(core: AttestationCore) -> None:
    elsewhere = dataclasses.replace(job_of(), seats=job_of().seats[1:])
    assert core.handle(finalized(11, elsewhere)) == []


def test_who_has_spoken_and_does_not_remember_stays_silent(core: AttestationCore) -> None:
    assert core.handle(finalized(11, with_seat(job_of(), 0, has_spoken=True))) == []
    assert core.handle(finalized(12, revealing(job_of(), Hash(bytes(32))))) == []


def test_a_restart_says_the_same_again(core: AttestationCore) -> None:
    job = job_of()
    committed = commitment(core, job)
    again = AttestationCore(seeds_of(SEEDS[0]), GENESIS, [Word(job.id, RESULT)])
    (told,) = tells(again.handle(finalized(12, job)))
    assert isinstance(told, ToldCommit)
    assert told.message.commitment == committed
    assert len(tells(again.handle(finalized(13, revealing(job, committed))))) == 1


def test_salts_differ_between_jobs_and_between_validators() -> None:
    salts = set()
    for index, seed in enumerate(SEEDS):
        for job in (job_of(1), job_of(2)):
            core = AttestationCore(seeds_of(seed), GENESIS, ())
            spoken = with_seat(job, index, has_spoken=True, commitment=commitment(core, job))
            (told,) = tells(core.handle(finalized(12, dataclasses.replace(spoken, phase=JobPhase.REVEAL))))
            assert isinstance(told, ToldReveal)
            salts.add(told.message.salt)
    assert len(salts) == 2 * len(SEEDS)


BLOCKS = st.tuples(st.just("block"), st.booleans(), st.booleans())
OUTCOMES = st.sampled_from([b"1", b"2", b"3", Trouble.UNABLE, Trouble.UNAVAILABLE])
STEPS = st.one_of(BLOCKS, OUTCOMES, st.just("restart"))


class Course:
    """A validator that crashes at any point, whose engine gives another answer every time."""

    def __init__(self) -> None:
        self.job, self.height, self.is_working = job_of(opened=0, closes=30), 0, False
        self.disk: list[Word] = []
        self.said: dict[type, set[bytes]] = {}
        self.restart()

    def restart(self) -> None:
        """Only what was kept survives."""
        self.core, self.is_working = AttestationCore(seeds_of(SEEDS[0]), GENESIS, self.disk), False

    def block(self, takes_commitment: bool, closes_commitments: bool) -> None:
        """The chain may take what was said, and may go on to reveals."""
        self.height += 1
        commitments = self.said.get(ToldCommit)
        if takes_commitment and commitments:
            self.job = with_seat(self.job, 0, has_spoken=True, commitment=min(commitments))
        if closes_commitments and self.height > 5:
            self.job = dataclasses.replace(self.job, phase=JobPhase.REVEAL)
        self.perform(self.core.handle(finalized(self.height, self.job)))

    def computed(self, outcome: bytes | Trouble) -> None:
        """The worker is done, if it was at work."""
        if self.is_working:
            self.is_working = False
            self.perform(self.core.handle(Computed(self.job.id, outcome)))

    def perform(self, actions: list[Action]) -> None:
        """Keep and note what is said."""
        for action in actions:
            if isinstance(action, Persist):
                self.disk.append(action.word)
            if isinstance(action, Tell):
                assert self.disk, "told before it was kept"
                message = action.told.message
                said = {ToldCommit: "commitment", ToldReveal: "digest", ToldAbstain: "job"}[type(action.told)]
                self.said.setdefault(type(action.told), set()).add(getattr(message, said))
        self.is_working = self.is_working or bool(computes(actions))


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_course_of_events_has_a_validator_contradict_itself(steps: list[Any]) -> None:
    course = Course()
    for step in steps:
        match step:
            case ("block", takes, closes):
                course.block(takes, closes)
            case "restart":
                course.restart()
            case outcome:
                course.computed(outcome)
    assert len(course.disk) <= 1
    assert all(len(words) == 1 for words in course.said.values())
    assert not {ToldCommit, ToldAbstain} <= set(course.said)
