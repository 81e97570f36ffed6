"""What the inference pallet stores, reports and refuses with."""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from frame.error import DispatchError
from frame.event import Event
from frame.jobs import Attestations
from inference.graph import PORTS_MAX
from primitives.codec import Record
from primitives.job_message import Result
from primitives.types import U32, U63, AccountId, Balance, BlockNumber, Hash, Stake

INPUT_BYTES_MAX: Final = 4096
"""Longest input that comes with its request: it lives in the state until the request is answered."""

STORED_BYTES_MAX: Final = 1024 * 1024
"""Longest input that comes as a blob."""

Input = Annotated[bytes, msgspec.Meta(min_length=1, max_length=INPUT_BYTES_MAX)]
StoredBytes = Annotated[int, msgspec.Meta(ge=0, le=STORED_BYTES_MAX)]


class InputForm(IntEnum):
    """How the panel gets an input."""

    INLINE = 0
    """It stands in the request; everybody can read it."""

    STORED = 1
    """As a blob that the request names; everybody can read it."""

    SEALED = 2
    """As a blob that holds it for the panel alone. Every member of the panel can read it."""


class RequestInput(Record, frozen=True):
    """What a model is to be run on: canonical tensors, `inference.certificate.encode_inputs`."""

    form: InputForm
    hash: Hash
    """Of an inline input its BLAKE2b-256; of a stored one the content hash of the blob; of a sealed one
    `primitives.sealing.input_commitment`."""

    data: Input | None
    """Of an inline input."""

    blob: Hash | None
    """Content hash of what holds a stored or sealed input."""

    size_bytes: StoredBytes
    """Of the blob; 0 without one."""

    panel: Hash | None
    """Of a sealed input, `primitives.sealing.panel_digest` of the keys to which it must be sealed."""

    is_output_sealed: bool
    """Whether the answer is for the requester alone; only with a sealed input."""


class Request(Record, frozen=True):
    """A request whose answer may change, or is not there yet."""

    requester: AccountId
    model: Hash
    owner: AccountId
    """Of the model, who gets the price."""

    price: Balance
    """Held from the requester, besides the reward of the job."""

    certificate: Result
    """What was proved when the request was made: it can be overturned, and the model removed."""

    input: RequestInput


class InferenceRecord(Record, frozen=True):
    """A request at its end."""

    requester: AccountId
    model: Hash
    exact_hash: Hash
    """BLAKE2b-256 of the canonical model."""

    input_form: InputForm
    input_hash: Hash
    """As in RequestInput."""

    is_output_sealed: bool
    """Whether only the requester can read the output, with what it made the input unreadable by."""

    output: Result | None
    """The attested tensors, `inference.certificate.decode_outputs`; or, if they are long or sealed, what
    names the blob that holds them, `primitives.job_message.StoredOutput`. None if there was no quorum."""

    is_output_stored: bool
    """Whether `output` names a blob."""

    digest: Hash | None
    """What the attestations are for: `primitives.job_message.result_digest` of the output."""

    classes: Annotated[tuple[U32, ...], msgspec.Meta(max_length=PORTS_MAX)]
    """For each attested tensor the index of its greatest element, the lowest of equals; none of a blob."""

    attestations: Attestations
    agreed_stake: Stake
    panel_stake: Stake
    is_overturned: bool
    """Whether another result stood here, until it was challenged."""

    fee: Balance
    """What the requester paid, apart from the extrinsic."""

    opened: BlockNumber
    closed: BlockNumber


class Quote(Record, frozen=True):
    """What a request costs, apart from the extrinsic."""

    gas: U63
    slot_fee: Balance
    """For the place among the open jobs; never given back."""

    reward: Balance
    """For validators and treasury."""

    price: Balance
    """For the owner of the model."""

    total: Balance


class Requested(Event, frozen=True):
    """A model is to be run."""

    job: Hash
    """Identity of the request and of its record."""

    model: Hash
    requester: AccountId
    fee: Balance


class Answered(Event, frozen=True):
    """A record is final with its block."""

    job: Hash
    model: Hash
    requester: AccountId
    digest: Hash | None
    """None if there was no quorum."""


class ModelNotUsable(DispatchError):
    """The model does not exist, is not proven, or is suspended."""


class BadInput(DispatchError):
    """The bytes are not the canonical tensors of the types and shapes that the model takes."""


class NotSealedForPanel(DispatchError):
    """The input is sealed to other keys than those of the validators now. Seal it again."""


class TooFewReaders(DispatchError):
    """Validators with a third of the stake or more have no sealing key, so that there could be no quorum."""


class InputOutOfRange(DispatchError):
    """An integer lies outside the range that the model tells apart."""


class OutputTooLong(DispatchError):
    """The outputs of the model are longer than any that are kept."""


class FeeAboveMaximum(DispatchError):
    """The request costs more than the requester wants to pay."""
