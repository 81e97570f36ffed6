"""The open jobs of a state, with all that a validator needs to work on them and to answer."""

from dataclasses import dataclass

from frame.jobs import JobKind
from inference.evaluation import Metric
from pallets.inference import InputForm, Request
from pallets.jobs import Job, Jobs
from primitives.extrinsic import Call
from primitives.job_message import Abstain, Commit, JobMessage, JobPhase, Reveal
from primitives.sealing import purpose_of
from primitives.types import AuthorityIndex, BlockNumber, Hash, PublicKey
from runtime.pallets import PALLETS, Pallets


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A seat of a job, and what it has said."""

    key: PublicKey
    has_spoken: bool
    """Whether it committed or abstained."""

    commitment: Hash | None
    has_revealed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveTask:
    """Prove a model file."""

    blob: Hash
    size_bytes: int
    """As registered; a file of another length is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenInput:
    """Where an input is that is not in the state."""

    blob: Hash
    size_bytes: int
    commitment: Hash | None
    """Of a sealed input, `primitives.sealing.input_commitment`; None if everybody can read it."""

    panel: Hash | None
    """Of a sealed input, `primitives.sealing.panel_digest` of the keys to which it must be sealed."""

    purpose: Hash
    """`primitives.sealing.purpose_of`: a sealed input that is for anything else is not opened."""

    is_output_sealed: bool
    """Whether the output is for the requester alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferTask:
    """Run a proven model."""

    blob: Hash
    certificate: bytes
    """Canonical exactness certificate."""

    input: bytes | None
    """Canonical tensors, which fit the certificate; None if they are in a blob."""

    given: GivenInput | None
    """The blob that the requester gives, of which nothing is known but what it fixed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateTask:
    """Measure a proven model on a data set."""

    blob: Hash
    certificate: bytes
    """Canonical exactness certificate."""

    dataset: Hash
    """Content hash."""

    size_bytes: int
    rows: int
    """As registered; another length or count is a verdict."""

    metric: Metric


Task = ProveTask | InferTask | EvaluateTask


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job that waits for messages."""

    id: Hash
    task: Task
    phase: JobPhase
    opened: BlockNumber
    closes: BlockNumber
    """The last block that takes messages of the phase."""

    seats: tuple[Seat, ...]
    known: tuple[Hash, ...]
    """Digests whose results the chain has; a reveal of one comes without its result."""


def open_jobs(pallets: Pallets) -> tuple[OpenJob, ...]:
    """Every open job, the oldest first."""
    jobs = sorted(pallets.jobs.jobs.items(), key=lambda entry: (entry[1].opened, entry[0]))
    return tuple(
        OpenJob(
            id=id_,
            task=_task(pallets, id_, job),
            phase=job.phase,
            opened=job.opened,
            closes=job.closes,
            seats=_seats(pallets, id_),
            known=tuple(digest for digest, _ in pallets.jobs.results.under(id_)),
        )
        for id_, job in jobs
    )


def _task(pallets: Pallets, id_: Hash, job: Job) -> Task:
    blob, id_ = job.inputs[0], pallets.disputes.origin_of(id_)
    if job.kind is JobKind.PROVE:
        model = pallets.models.models.get(pallets.models.proving.get(id_))
        return ProveTask(blob=blob, size_bytes=model.size_bytes)
    if job.kind is JobKind.EVALUATE:
        wanted = pallets.evaluation.requests.get(id_)
        return EvaluateTask(
            blob=blob,
            certificate=wanted.certificate,
            dataset=wanted.blob,
            size_bytes=wanted.size_bytes,
            rows=wanted.rows,
            metric=wanted.metric,
        )
    request = pallets.inference.requests.get(id_)
    return InferTask(
        blob=blob,
        certificate=request.certificate,
        input=request.input.data,
        given=_given(request),
    )


def _given(request: Request) -> GivenInput | None:
    input_ = request.input
    if input_.blob is None:
        return None
    return GivenInput(
        blob=input_.blob,
        size_bytes=input_.size_bytes,
        commitment=input_.hash if input_.form is InputForm.SEALED else None,
        panel=input_.panel,
        purpose=purpose_of(request.requester, request.model, input_.is_output_sealed),
        is_output_sealed=input_.is_output_sealed,
    )


def _seats(pallets: Pallets, job: Hash) -> tuple[Seat, ...]:
    words = dict(pallets.jobs.words.under(job))
    seats = []
    for index, validator in enumerate(pallets.jobs.panels.get(job)):
        word = words.get(AuthorityIndex(index))
        seats.append(
            Seat(
                key=validator.key,
                has_spoken=word is not None,
                commitment=None if word is None else word.commitment,
                has_revealed=word is not None and word.digest is not None,
            )
        )
    return tuple(seats)


def job_call(message: JobMessage, result: bytes | None) -> Call:
    """The inherent that brings a message; `result` is for the first reveal of its digest only."""
    match message:
        case Commit():
            return _call("commit", message)
        case Abstain():
            return _call("abstain", message)
        case Reveal():
            return _call("reveal", message, result)


def _call(name: str, *arguments: object) -> Call:
    pallet = next(index for index, pallet in PALLETS.items() if pallet is Jobs)
    declaration = next(each for each in Jobs.calls.values() if each.name == name)
    return Call(pallet, declaration.index, declaration.arguments.encode(arguments))
