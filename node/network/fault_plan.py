"""What is wrong on purpose with one node's network and clock, as a test network writes it to a file.

The file is JSON: `{"clock_ms": 0, "links": {PEER_ID: {"cut": true}}}`. It says what this node does to the
bytes that it sends to each peer; a fault of both directions is in the files of both nodes.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec

DELAY_MS_MAX: Final = 60_000
"""Longer than any deadline of the node: what is later still might as well never come."""

LOSS_MAX: Final = 0.9
"""Above it nothing but the limit on retransmissions would decide."""

CLOCK_MS_MAX: Final = 24 * 3600 * 1000
LINKS_MAX: Final = 256
PLAN_BYTES_MAX: Final = 64 * 1024


class BadPlan(ValueError):
    """The file holds no plan; the message names it and says why."""


class LinkFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to the bytes for one peer."""

    cut: bool = False
    """Nothing is delivered, in either direction, and nobody is told: a black hole."""

    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=DELAY_MS_MAX)] = 0
    jitter_ms: Annotated[int, msgspec.Meta(ge=0, le=DELAY_MS_MAX)] = 0
    """Up to this much is added to each delay."""

    loss: Annotated[float, msgspec.Meta(ge=0, le=LOSS_MAX)] = 0.0
    """Probability that what is sent at once loses a segment, and so comes a retransmission later."""


SOUND: Final = LinkFaults()


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that is wrong with one node."""

    clock_ms: Annotated[int, msgspec.Meta(ge=-CLOCK_MS_MAX, le=CLOCK_MS_MAX)] = 0
    """Added to what the node takes for the time."""

    links: Annotated[dict[str, LinkFaults], msgspec.Meta(max_length=LINKS_MAX)] = {}
    """By peer id; a peer that is missing has a sound link."""


def read_plan(path: Path) -> FaultPlan:
    """The plan in a file; nothing is wrong if there is none. Raises BadPlan."""
    try:
        with path.open("rb") as file:
            data = file.read(PLAN_BYTES_MAX + 1)
        if len(data) > PLAN_BYTES_MAX:
            raise BadPlan(f"{path} has more than {PLAN_BYTES_MAX} bytes")
        return msgspec.json.decode(data, type=FaultPlan)
    except FileNotFoundError:
        return FaultPlan()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadPlan(f"{path} is no plan of faults: {error}") from None


def write_plan(path: Path, plan: FaultPlan) -> None:
    """Put a plan in the place of another at once, so that nobody reads half of it. Raises OSError."""
    successor = path.with_name(path.name + ".new")
    successor.write_bytes(msgspec.json.encode(plan))
    successor.replace(path)
