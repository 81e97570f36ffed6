"""What became of each call of a block: its result and its events, as `Header.events_root` commits to them."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record
from primitives.merkle import list_root
from primitives.types import Hash

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""Name of a pallet, event or error; wire format, never renamed."""

EVENT_BYTES_MAX: Final = 8 * 1024
"""Largest encoded event; larger results are events that name a hash."""


class EventRecord(Record, frozen=True):
    """One event, decoded with the metadata."""

    pallet: Name
    event: Name
    fields: Annotated[bytes, msgspec.Meta(max_length=EVENT_BYTES_MAX)]
    """Canonical array of the event's fields."""


class Failure(Record, frozen=True):
    """Why a call was refused: an error by name. Its writes and events were rolled back; its fee was not."""

    pallet: Name
    error: Name


class Outcome(Record, frozen=True):
    """Result and events of one inherent or extrinsic."""

    failure: Failure | None
    events: tuple[EventRecord, ...]


class BlockOutcome(Record, frozen=True):
    """Everything that a block did besides its state changes."""

    calls: tuple[Outcome, ...]
    """One for each inherent, then one for each extrinsic."""

    events: tuple[EventRecord, ...]
    """Events of the hooks, which belong to no call."""


OUTCOME: Final = Codec[Outcome](Outcome)
BLOCK_OUTCOME: Final = Codec[BlockOutcome](BlockOutcome)
_BLOCK_EVENTS: Final = Codec[tuple[EventRecord, ...]](tuple[EventRecord, ...])


def outcome_items(outcome: BlockOutcome) -> Sequence[bytes]:
    """The list under `Header.events_root`; an item of it is proved with `primitives.merkle`."""
    return [
        *(OUTCOME.encode(call) for call in outcome.calls),
        _BLOCK_EVENTS.encode(outcome.events),
    ]


def events_root(outcome: BlockOutcome) -> Hash:
    """What `Header.events_root` must be."""
    return list_root(outcome_items(outcome))
