"""What one validator does about the open jobs of the finalized state.

It begins all of them at once, the oldest first: whoever gives a file slowly, or never, would else keep all
others waiting till their time is over. What nobody could give is asked for again. Its word on a job, a result
or an abstention, is made once and kept durably before it leaves. After that everything it says about the job
follows from that word, also after a restart: the salt is a function of the key and the job. It reveals only
when a final block has closed the commitments. Since messages may be lost, it repeats what the chain has not
taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from typing import Final, assert_never

from node.attestation.messages import Told, ToldAbstain, ToldCommit, ToldReveal
from node.blobs.messages import blob_id, manifest_of
from primitives.codec import Codec, Record
from primitives.hashing import domain
from primitives.job_message import (
    STORED_OUTPUT,
    JobPhase,
    StoredOutput,
    commitment_of,
    result_digest,
    sign_abstain,
    sign_commit,
    sign_reveal,
)
from primitives.job_message import Result as JobResult
from primitives.signing import SigningKey
from primitives.types import BlockHash, BlockNumber, Bytes32, Hash, PublicKey, Seed
from runtime.jobs import OpenJob, Seat

REPEAT_BLOCKS: Final = 4
"""Blocks after which a message that the chain has not taken is told again."""

RETRY_BLOCKS: Final = 2
"""Blocks after which a file that nobody could give is asked for again."""

_SALT_DOMAIN: Final = domain("job-salt/1")


class Word(Record, frozen=True):
    """What this validator has to say about a job."""

    job: Hash
    result: JobResult | None
    """None: it abstains."""

    is_stored: bool = False
    """Whether the result names an output that is kept beside the word."""

    cannot_open: bool = False
    """Whether it abstains because of what the payer gave."""


WORD: Final = Codec[Word](Word)


class Trouble(Enum):
    """Why there is no result."""

    UNAVAILABLE = auto()
    """Nobody gives the model file now."""

    WITHHELD = auto()
    """Nobody gives what the payer was to give now."""

    UNABLE = auto()
    """The worker failed, or took too long."""

    UNREADABLE = auto()
    """What the payer gave is no input of the model, or not the one that was fixed."""


_PASSING: Final = (Trouble.UNAVAILABLE, Trouble.WITHHELD)
_PAYERS: Final = (Trouble.WITHHELD, Trouble.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Stored:
    """An output that is told by its hash."""

    output: bytes


Result = bytes | Stored
"""What a computation found."""


@dataclass(frozen=True, slots=True)
class Finalized:
    """A block became final, and left these jobs open."""

    height: BlockNumber
    jobs: Sequence[OpenJob]


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of a computation."""

    job: Hash
    outcome: Result | Trouble


Input = Finalized | Computed


@dataclass(frozen=True, slots=True)
class Compute:
    """Fetch what a job needs and work on it."""

    job: OpenJob


@dataclass(frozen=True, slots=True)
class Drop:
    """Fetch and begin nothing more for a job: nobody waits for its result. It still comes to an outcome."""

    job: Hash


@dataclass(frozen=True, slots=True)
class Persist:
    """Keep a word durably, with the output that its result names, before anything that follows."""

    word: Word
    output: bytes | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """Give the output that was kept beside a word to whoever asks for it, before anything that follows."""

    job: Hash


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell everybody."""

    told: Told


@dataclass(frozen=True, slots=True)
class Forget:
    """A word on a job that is closed need not be kept."""

    job: Hash


Action = Compute | Drop | Persist | Publish | Tell | Forget


class AttestationCore:
    """The duties of the session keys of one validator; each panel has at most one of them."""

    def __init__(self, seeds: Mapping[PublicKey, Seed], genesis: BlockHash, words: Iterable[Word]) -> None:
        """`seeds` are of the session keys, and may grow; `words` are all that were kept."""
        self._seeds = seeds
        self._genesis = genesis
        self._words = {word.job: word for word in words}
        self._height = BlockNumber(0)
        self._jobs: dict[Hash, OpenJob] = {}
        """Those in whose panel a key of this validator has a seat."""

        self._working: set[Hash] = set()
        """Those that have yet to come to an outcome."""

        self._retry_at: dict[Hash, int] = {}
        self._quiet_until: dict[tuple[Hash, JobPhase], int] = {}

    def handle(self, observed: Input) -> list[Action]:
        """The actions that one input calls for, in the order in which they must happen."""
        match observed:
            case Finalized(height, jobs):
                return self._on_finalized(height, jobs)
            case Computed(job, outcome):
                return self._on_computed(job, outcome)
            case _:
                assert_never(observed)

    def _on_finalized(self, height: BlockNumber, jobs: Sequence[OpenJob]) -> list[Action]:
        self._height = height
        self._jobs = {job.id: job for job in jobs if self._seat(job) is not None}
        closed = [job for job in self._words if job not in self._jobs]
        for job in closed:
            del self._words[job]
        self._retry_at = {job: due for job, due in self._retry_at.items() if job in self._jobs}
        self._quiet_until = {key: due for key, due in self._quiet_until.items() if key[0] in self._jobs}
        tells = [tell for job in self._jobs.values() for tell in self._tell(job)]
        drops = [Drop(job) for job in sorted(self._working) if not self._is_wanted(job)]
        return [*(Forget(job) for job in closed), *drops, *tells, *self._compute()]

    def _on_computed(self, id_: Hash, outcome: Result | Trouble) -> list[Action]:
        self._working.remove(id_)
        job = self._jobs.get(id_)
        if job is None or job.phase is not JobPhase.COMMIT:
            return []
        if outcome in _PASSING and 2 * self._height < job.opened + job.closes:
            self._retry_at[id_] = self._height + RETRY_BLOCKS
            return []
        word = word_of(id_, outcome)
        self._words[id_] = word
        output = outcome.output if isinstance(outcome, Stored) else None
        return [Persist(word, output), *self._tell(job)]

    def _compute(self) -> list[Action]:
        """Every job to begin to work on."""
        begun = [
            job
            for id_, job in self._jobs.items()
            if id_ not in self._working
            and self._is_wanted(id_)
            and self._retry_at.get(id_, 0) <= self._height
        ]
        self._working.update(job.id for job in begun)
        return [Compute(job) for job in begun]

    def _is_wanted(self, id_: Hash) -> bool:
        """Whether the chain waits for this validator's word on a job, and has none."""
        job = self._jobs.get(id_)
        if job is None or job.phase is not JobPhase.COMMIT:
            return False
        seat = self._seat(job)
        assert seat is not None
        return self._height < job.closes and id_ not in self._words and not seat.has_spoken

    def _tell(self, job: OpenJob) -> list[Action]:
        """What to say about a job now, unless it was said a short while ago."""
        if self._height < self._quiet_until.get((job.id, job.phase), 0):
            return []
        told = self._message(job)
        if told is None:
            return []
        self._quiet_until[job.id, job.phase] = self._height + REPEAT_BLOCKS
        is_due = isinstance(told, ToldReveal) and self._words[job.id].is_stored
        return [*([Publish(job.id)] if is_due else []), Tell(told)]

    def _message(self, job: OpenJob) -> Told | None:
        """What the chain still lacks of this validator's word on a job."""
        word, seat = self._words.get(job.id), self._seat(job)
        assert seat is not None
        if word is None:
            return None
        seed = self._seeds[seat.key]
        key = SigningKey(seed)
        if word.result is None:
            is_due = job.phase is JobPhase.COMMIT and not seat.has_spoken
            said = sign_abstain(key, self._genesis, job.id, cannot_open=word.cannot_open)
            return ToldAbstain(said) if is_due else None
        digest, salt = result_digest(word.result), self._salt(seed, job.id)
        commitment = commitment_of(self._genesis, job.id, seat.key, digest, salt)
        if job.phase is JobPhase.COMMIT:
            if seat.has_spoken:
                return None
            return ToldCommit(sign_commit(key, self._genesis, job.id, commitment))
        if seat.has_revealed or seat.commitment != commitment:
            return None
        return ToldReveal(sign_reveal(key, self._genesis, job.id, digest, salt), word.result)

    def _salt(self, seed: Seed, job: Hash) -> Bytes32:
        """The same for ever, and nobody else's to know: a keyed hash of the job."""
        return blake2b(_SALT_DOMAIN + self._genesis + job, key=seed, digest_size=32).digest()

    def _seat(self, job: OpenJob) -> Seat | None:
        return next((seat for seat in job.seats if seat.key in self._seeds), None)


def word_of(job: Hash, outcome: Result | Trouble) -> Word:
    """What to say for good about a job that came to `outcome`."""
    if isinstance(outcome, Trouble):
        return Word(job, None, cannot_open=outcome in _PAYERS)
    if isinstance(outcome, Stored):
        named = StoredOutput(Hash(blob_id(manifest_of(outcome.output))), len(outcome.output))
        return Word(job, STORED_OUTPUT.encode(named), is_stored=True)
    return Word(job, outcome)
