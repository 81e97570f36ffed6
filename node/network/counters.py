"""What the network has done so far, as plain numbers for the metrics endpoint."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the node started, and two gauges."""

    peers: int = 0
    """Connected now."""

    inbound_sockets: int = 0
    """Accepted and open now, authenticated or not."""

    bytes_in: int = 0
    bytes_out: int = 0

    stream_bytes_in: Counter[str] = field(default_factory=Counter)
    """Bytes read from streams, by protocol; before one is agreed on, under no name."""

    stream_bytes_out: Counter[str] = field(default_factory=Counter)

    frames_in: Counter[str] = field(default_factory=Counter)
    """Frames that reached an inbox, by protocol."""

    frames_out: Counter[str] = field(default_factory=Counter)
    """Frames written to a peer's stream, by protocol."""

    dropped_in: Counter[str] = field(default_factory=Counter)
    """Frames lost because the inbox was full, by protocol."""

    dropped_out: Counter[str] = field(default_factory=Counter)
    """Frames lost because a peer's queue was full or its stream broke, by protocol."""

    refused: Counter[str] = field(default_factory=Counter)
    """Connections refused or ended by us, by reason."""

    streams_flooded: int = 0
    """Streams reset because more was sent than the receive window allowed."""

    events_dropped: int = 0
    """Connection events that a subscriber was too slow to take."""

    bans: int = 0
    visits: int = 0
    """Questions of nodes that are no peers."""
