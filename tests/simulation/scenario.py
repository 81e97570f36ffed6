"""A run, described completely: what happens is a function of its Scenario.

A Scenario is plain data. It is drawn from a seed (`draw`), made smaller while it still fails (`shrink`), and
stored as JSON among the regressions. Nodes are told apart by name, keys by number; times are milliseconds of
simulated time since the start.
"""

from dataclasses import dataclass, field

import msgspec

HONEST_KIND = "honest"
FOLLOWER_KIND = "follower"
TWIN_KIND = "twin"


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Part of a scenario."""


class Node(_Part, frozen=True):
    """Somebody on the network."""

    name: str
    key: int
    """Number of its session key; twins share one. A follower has a number, but does not use the key."""

    kind: str = HONEST_KIND
    """`honest`; `follower`: honest, without a key; or how it breaks promises, see `kinds.KINDS`."""

    skew_ms: int = 0
    """How far its clock is ahead of the simulation's."""

    start_ms: int = 0

    @property
    def is_honest(self) -> bool:
        """Whether the oracles watch it."""
        return self.kind in (HONEST_KIND, FOLLOWER_KIND)


class Seat(_Part, frozen=True):
    """A member of a committee."""

    key: int
    stake: int = 1


class Partition(_Part, frozen=True):
    """Nothing passes between one side and the rest."""

    since_ms: int
    until_ms: int
    side: tuple[str, ...]


class Weather(_Part, frozen=True):
    """How the network treats messages: badly until it becomes well.

    Copies take from 1 ms to the slowest, each on its own, so that messages overtake each other freely: real
    links keep more order than that.
    """

    well_from_ms: int = 0
    """Global stabilisation: from here on nothing is lost, and nobody crashes."""

    delay_ms: int = 20
    """Slowest message afterwards."""

    storm_delay_ms: int = 50
    """Slowest message before."""

    loss_percent: int = 0
    duplication_percent: int = 0
    partitions: tuple[Partition, ...] = ()
    blackout: tuple[int, int] | None = None
    """From when to when nothing arrives anywhere."""


class Crash(_Part, frozen=True, tag="crash"):
    """A process dies, `actions` actions after `at_ms`, and starts again `down_ms` after that moment."""

    node: str
    at_ms: int
    down_ms: int
    actions: int = 0


class PowerCut(_Part, frozen=True, tag="power cut"):
    """Every process dies at one moment; they start again one after the other."""

    at_ms: int
    down_ms: int


class Restore(_Part, frozen=True, tag="restore"):
    """A process dies and starts again on a copy of its database that was made earlier; the vote journal is
    the newest."""

    node: str
    at_ms: int
    down_ms: int
    copied_ms: int


class ClockStep(_Part, frozen=True, tag="clock step"):
    """A clock is set: it is `skew_ms` ahead from then on."""

    node: str
    at_ms: int
    skew_ms: int


Fault = Crash | PowerCut | Restore | ClockStep


class Sync(_Part, frozen=True):
    """Finalized blocks also come from other honest nodes, beside the engine."""

    every_ms: int
    """How often a node compares itself with the others."""

    gap: int
    """Blocks behind somebody from which it fetches; 1 races the engine all the time."""

    run_max: int = 8
    """Most blocks of one run; a run ends with a block that has a certificate, within one epoch."""


class History(_Part, frozen=True):
    """What happened before the run: all but the absent nullified the first views of epoch 1.

    Their votes and certificates are in the journals from the start, as if they had lived through it: to
    simulate that would take most of the time of a run.
    """

    views: int
    absent: tuple[str, ...]
    is_notarized: bool = False
    """The block of view 1 was notarized as well, so that it is what the next leader extends."""


class Scenario(_Part, frozen=True):
    """Everything that a run depends on."""

    seed: int
    """Of what chance decides within the run: delays and losses, one stream for each link, so that taking one
    node away leaves the luck of the others alone; bodies of blocks; whims of Byzantine nodes."""

    nodes: tuple[Node, ...]
    committees: tuple[tuple[Seat, ...], ...]
    """Of epochs 1, 2, ...; the last serves for ever."""

    epoch_length: int
    weather: Weather = Weather()
    faults: tuple[Fault, ...] = ()
    sync: Sync | None = None
    history: History | None = None
    block_time_ms: int = 500
    delta_ms: int = 200
    are_keys_real: bool = False
    """Ed25519 instead of a keyed hash that nobody can forge."""

    unable_percent: int = 0
    """How often a host cannot build or verify until the network is well."""

    disk_ms: int = 0
    """Longest that making something durable, or reading the position, takes; meanwhile inputs wait."""

    is_journal_forgetful: bool = False
    """Vote journals are compacted at the start of every epoch."""

    are_dead_in_a_row: bool = False
    """Byzantine members lead their turns of a round one after the other, first."""

    turns: tuple[int, ...] = ()
    """Keys that lead the first views of every epoch: each takes one of its turns of the round there, as far
    as it has one left."""

    goal_blocks: int = 0
    """Blocks that everybody must commit once the network is well; 0: no promise is made."""

    patience_ms: int = 0
    """Time that this may take."""

    @property
    def bad_keys(self) -> frozenset[int]:
        """Keys that break promises."""
        return frozenset(node.key for node in self.nodes if not node.is_honest)

    @property
    def is_overwhelmed(self) -> bool:
        """Whether a third or more of some committee's stake is Byzantine."""
        return any(
            3 * sum(seat.stake for seat in seats if seat.key in self.bad_keys)
            >= sum(seat.stake for seat in seats)
            for seats in self.committees
        )


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    seed: int
    oracle: str
    """Name of the oracle that objected; empty if all were content."""

    error: str
    """What it said."""

    height: int
    views: int
    frames: int
    now_ms: int
    well_ms: int
    """Simulated time from stabilisation to the goal."""

    findings: dict[str, int]
    """How often honest nodes reported what, and what else was counted."""

    trace: list[str] = field(default_factory=list)
