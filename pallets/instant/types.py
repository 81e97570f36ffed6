"""What the instant pallet stores, reports and refuses with."""

from typing import Annotated, Final

import msgspec

from frame.error import DispatchError
from frame.event import Event
from inference.graph import PORTS_MAX
from primitives.codec import Record
from primitives.job_message import Result
from primitives.types import U32, AccountId, Balance, BlockNumber, Hash

CALL_GAS_MAX: Final = 1_000_000_000
"""Most gas of one call: 18 milliseconds of reference time."""

MODEL_BYTES_MAX: Final = 2 * 1024 * 1024
"""Longest file of a model that is run in blocks: every node keeps it for ever, and loads it at its start."""

MODEL_READY_BYTES_MAX: Final = 16 * 1024 * 1024
"""Most memory of such a model, `inference.certificate.ready_bytes`."""

INPUT_BYTES_MAX: Final = 4096

CallGas = Annotated[int, msgspec.Meta(ge=1, le=CALL_GAS_MAX)]
Size = Annotated[int, msgspec.Meta(ge=1, le=MODEL_BYTES_MAX)]
Input = Annotated[bytes, msgspec.Meta(min_length=1, max_length=INPUT_BYTES_MAX)]


class Deployed(Record, frozen=True):
    """A model that is run in blocks. It stays here for ever: old blocks are executed again."""

    blob: Hash
    """Content hash of its file, which every node keeps as long as the chain lives."""

    size_bytes: Size
    ready_bytes: Annotated[int, msgspec.Meta(ge=1, le=MODEL_READY_BYTES_MAX)]
    """Memory of the model, in which every node keeps it ready to run."""

    since: BlockNumber
    """The first block that may run it: by then nodes have fetched it."""

    certificate: Result
    """Its exactness certificate, kept here because what was proved of a model can be overturned."""


class InstantRecord(Record, frozen=True):
    """What a model answered in a block. Whoever executed the block computed it; its finality attests it."""

    requester: AccountId
    model: Hash
    exact_hash: Hash
    """BLAKE2b-256 of the canonical model."""

    input_hash: Hash
    """BLAKE2b-256 of the canonical input."""

    output: Result
    """The attested tensors, `inference.certificate.decode_outputs`."""

    classes: Annotated[tuple[U32, ...], msgspec.Meta(max_length=PORTS_MAX)]
    """For each attested tensor the index of its greatest element, the lowest of equals."""

    price: Balance
    """What the owner of the model got."""

    height: BlockNumber


class ModelDeployed(Event, frozen=True):
    """A model can be run in blocks before long."""

    model: Hash
    blob: Hash
    since: BlockNumber


class Answered(Event, frozen=True):
    """A model was run in this block."""

    id: Hash
    """Of the record."""

    model: Hash
    requester: AccountId
    output: Result


class ModelNotUsable(DispatchError):
    """The model does not exist, is not proven, or is suspended."""


class NotOwner(DispatchError):
    """The model belongs to somebody else."""


class NotForBlocks(DispatchError):
    """The model costs too much gas or memory, its file or outputs are too long, or its proof rests on an
    assumption."""


class AlreadyDeployed(DispatchError):
    """The model can be run in blocks."""


class TooManyDeployed(DispatchError):
    """As many models are run in blocks, or as many bytes of them, as every node is asked to keep."""


class NotDeployed(DispatchError):
    """The model cannot be run in blocks, not yet, or not any more: something else was proved of it."""


class TooMuchGas(DispatchError):
    """A run of the model costs more gas than the call allows."""


class PriceAboveMaximum(DispatchError):
    """The owner of the model asks for more than the caller wants to pay."""


class BadInput(DispatchError):
    """The bytes are not the canonical tensors that the model takes, or an integer is out of its range."""
