"""What a scenario says: a network, and the steps that break it, mend it and look at it. From a TOML file.

Steps are done one after another. Those that look at the network wait for what they want to see, until their
time is over. At the end all nodes must have the same chain, and nobody may have voted twice whom the scenario
does not name.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from cli.testnet_faults import LOSS_PERCENT_MAX
from cli.testnet_plan import NODES_MAX
from node.network.fault_plan import CLOCK_MS_MAX, DELAY_MS_MAX

EACH: Final = "$node"
"""In the steps of a `for-each`: the node whose turn it is."""

LEADER: Final = "$leader"
"""Who leads next, found anew by each step that ends, pauses or cuts off; for others, whom that found."""

SCENARIO_BYTES_MAX: Final = 256 * 1024
STEPS_MAX: Final = 1000

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Nodes = tuple[str, ...]
"""Names; none at all stands for all that the step can be done to."""


class ScenarioError(ValueError):
    """The scenario is not one; the message names the place."""


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Base of all steps."""


class _Act(_Step, frozen=True, kw_only=True):
    nodes: Nodes = ()


class Start(_Act, frozen=True, tag="start"):
    """Start nodes, and wait until they answer."""


class Stop(_Act, frozen=True, tag="stop"):
    """Stop nodes politely."""


class Kill(_Act, frozen=True, tag="kill"):
    """End nodes with SIGKILL, all at once."""


class Restart(_Act, frozen=True, tag="restart"):
    """Start nodes again, and wait until they answer; those that run are stopped first."""


class Pause(_Act, frozen=True, tag="pause"):
    """SIGSTOP."""


class Resume(_Act, frozen=True, tag="resume"):
    """SIGCONT."""


class Partition(_Step, frozen=True, tag="partition"):
    """Cut the network into groups; whoever is not named forms one more."""

    groups: Annotated[tuple[Nodes, ...], Meta(min_length=1, max_length=NODES_MAX)]


class Heal(_Step, frozen=True, tag="heal"):
    """Make every link sound again."""


class Delay(_Step, frozen=True, tag="delay"):
    """Make what is sent late: everywhere, or one way between two nodes."""

    ms: Annotated[int, Meta(ge=0, le=DELAY_MS_MAX)]
    jitter_ms: Annotated[int, Meta(ge=0, le=DELAY_MS_MAX)] = 0
    source: str | None = field(default=None, name="from")
    target: str | None = field(default=None, name="to")


class Loss(_Step, frozen=True, tag="loss"):
    """Lose segments: everywhere, or between two nodes."""

    percent: Annotated[float, Meta(ge=0, le=LOSS_PERCENT_MAX)]
    between: tuple[str, str] | None = None


class Clock(_Step, frozen=True, tag="clock"):
    """Put a node's clock ahead, or behind if negative."""

    node: str
    ahead_ms: Annotated[int, Meta(ge=-CLOCK_MS_MAX, le=CLOCK_MS_MAX)]


class RandomKill(_Step, frozen=True, tag="random-kill"):
    """For a time, kill one of the nodes at every `every_s` or so, and start it again `down_s` later."""

    for_s: Seconds
    every_s: Seconds
    down_s: Seconds
    seed: int
    nodes: Nodes = ()
    """None: the validators."""


class Load(_Step, frozen=True, tag="load"):
    """Send transfers from now on; 0 ends it."""

    per_second: Annotated[float, Meta(ge=0, le=100)]


class CopyDatabase(_Step, frozen=True, tag="copy-database"):
    """Copy the database of a node that does not run."""

    node: str


class RestoreDatabase(_Step, frozen=True, tag="restore-database"):
    """Put the copy in the place of the database of a node that does not run."""

    node: str


class RemoveJournal(_Step, frozen=True, tag="remove-journal"):
    """Delete the vote journal of a node that does not run."""

    node: str


class LimitDisk(_Step, frozen=True, tag="limit-disk"):
    """Let no file of a running node grow beyond its vote journal, or its log with some last words."""

    node: str
    spare_bytes: Annotated[int, Meta(ge=0, le=1 << 30)] = 0


class Look(_Step, frozen=True, kw_only=True):
    """Base of the steps that wait for what they want to see."""

    timeout_s: Seconds | None = None
    """None: that of the scenario."""


class Wait(Look, frozen=True, tag="wait"):
    """Until nodes have finalized a height, or some blocks more than any of them has now."""

    height: Annotated[int, Meta(ge=1)] | None = None
    blocks: Annotated[int, Meta(ge=1)] | None = None
    nodes: Nodes = ()
    without: Nodes = ()
    """These are left out, if all are meant."""


class FinalityStops(Look, frozen=True, tag="finality-stops"):
    """Until nodes have finalized nothing for that long."""

    for_s: Seconds
    nodes: Nodes = ()


class Ended(Look, frozen=True, tag="ended"):
    """Until a node has ended by itself."""

    node: str


class Log(Look, frozen=True, tag="log"):
    """Until a node has said something since it was last started."""

    node: str
    contains: str


class Metric(Look, frozen=True, tag="metric"):
    """Until a metric of a node compares to a value as wanted."""

    node: str
    name: str
    """With its labels, as Prometheus is told."""

    compare: Literal["<", "<=", "==", ">=", ">"] = field(name="is")
    value: float


class Voting(Look, frozen=True, tag="voting"):
    """Until nodes say that they vote, or that they do not."""

    voting: bool = field(name="is")
    nodes: Nodes = ()


class EventSeen(Look, frozen=True, tag="event"):
    """Until a final block has an event such as `balances.Transferred`, counted from the start."""

    name: str


class Banned(Look, frozen=True, tag="banned"):
    """Until others have banned a node."""

    node: str
    by: Nodes = ()
    """None: all others."""


class Convicted(Look, frozen=True, tag="convicted"):
    """Until a node has an offence on record, as others prove it to a light client."""

    node: str
    by: Nodes = ()
    """None: all others."""


class MemoryBelow(_Step, frozen=True, tag="memory"):
    """Nodes take up less memory than that now."""

    below_mib: Annotated[int, Meta(ge=1)]
    nodes: Nodes = ()


class FinalityWithin(_Step, frozen=True, tag="finality"):
    """Half of a node's last proposals were final within that time."""

    p50_ms: Annotated[int, Meta(ge=1)]
    nodes: Nodes = ()


class TransfersFinal(Look, frozen=True, tag="transfers-final"):
    """Until every transfer that a node took is final."""


class SameChain(_Step, frozen=True, tag="same-chain"):
    """All nodes that answer agree on every block that is final at two of them."""


class NoDoubleVotes(_Step, frozen=True, tag="no-double-votes"):
    """No key has signed two votes that convict it, so far."""


Plain = (
    Start
    | Stop
    | Kill
    | Restart
    | Pause
    | Resume
    | Partition
    | Heal
    | Delay
    | Loss
    | Clock
    | RandomKill
    | Load
    | CopyDatabase
    | RestoreDatabase
    | RemoveJournal
    | LimitDisk
    | Wait
    | FinalityStops
    | Ended
    | Log
    | Metric
    | Voting
    | EventSeen
    | Banned
    | Convicted
    | MemoryBelow
    | FinalityWithin
    | TransfersFinal
    | SameChain
    | NoDoubleVotes
)


class ForEach(_Step, frozen=True, tag="for-each"):
    """Do steps for one node after another."""

    nodes: Annotated[Nodes, Meta(min_length=1)]
    steps: Annotated[tuple[Plain, ...], Meta(min_length=1)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network, all of which runs before the first step."""

    validators: Annotated[int, Meta(ge=1, le=NODES_MAX)] = 4
    nodes: Annotated[int, Meta(ge=0, le=NODES_MAX)] = 0
    pace: Literal["local", "wide"] = "local"
    """`wide`: the block time and the delays of a network around the world, four times as long and more."""

    programs: dict[str, str] = {}
    """By node, a module that is run in the place of `consil`, with the same arguments."""

    @property
    def validator_names(self) -> Nodes:
        """Of those that have a seat."""
        return tuple(f"validator-{number}" for number in range(1, self.validators + 1))

    @property
    def names(self) -> Nodes:
        """Of all."""
        return (*self.validator_names, *(f"node-{number}" for number in range(1, self.nodes + 1)))


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is found at the end."""

    double_voters: Nodes = ()
    """Exactly these have signed two votes that convict them."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    about: str
    timeout_s: Seconds = 60.0
    network: Shape = Shape()
    expect: Expect = Expect()
    steps: Annotated[tuple[Plain | ForEach, ...], Meta(min_length=1, max_length=STEPS_MAX)]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A checked scenario, every `for-each` written out."""

    name: str
    about: str
    """One line: what is shown."""

    timeout_s: float
    """How long is waited for anything that does not say otherwise."""

    network: Shape
    expect: Expect
    steps: tuple[Plain, ...]


def load_scenario(path: Path) -> Scenario:
    """The scenario in a file. Raises ScenarioError."""
    try:
        data = path.read_bytes()
        text = data[:SCENARIO_BYTES_MAX].decode()
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is no text") from None
    if len(data) > SCENARIO_BYTES_MAX:
        raise ScenarioError(f"{path} has more than {SCENARIO_BYTES_MAX} bytes")
    try:
        return parse_scenario(text, path.stem)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario in a TOML document. Raises ScenarioError."""
    try:
        given = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"no TOML: {error}") from None
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        raise ScenarioError(f"{place.strip('`').removeprefix('$.') or 'the file'}: {reason}") from None
    steps: list[Plain] = []
    _ensure_named("network.programs", given.network.programs, given.network.names)
    _ensure_named("expect.double_voters", given.expect.double_voters, given.network.names)
    for place, step in _written_out(given):
        _ensure_named(place, _names_in(step), (*given.network.names, LEADER))
        _ensure_whole(place, step)
        steps.append(step)
    return Scenario(
        name=name,
        about=given.about,
        timeout_s=given.timeout_s,
        network=given.network,
        expect=given.expect,
        steps=tuple(steps),
    )


def _written_out(given: _File) -> Iterator[tuple[str, Plain]]:
    for number, step in enumerate(given.steps):
        place = f"steps[{number}]"
        if not isinstance(step, ForEach):
            yield place, step
            continue
        for node in step.nodes:
            for inner, repeated in enumerate(step.steps):
                plain = _replaced(msgspec.to_builtins(repeated), node)
                yield f"{place}.steps[{inner}]", msgspec.convert(plain, Plain, strict=False)


def _replaced(value: Any, node: str) -> Any:
    """`value` with the node whose turn it is."""
    if isinstance(value, dict):
        return {key: _replaced(one, node) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(one, node) for one in value]
    return node if value == EACH else value


def _names_in(step: Plain) -> list[str]:
    """Every node that a step names."""
    names: list[str] = [*getattr(step, "nodes", ()), *getattr(step, "without", ()), *getattr(step, "by", ())]
    names += getattr(step, "between", None) or ()
    names += [name for group in getattr(step, "groups", ()) for name in group]
    single = (getattr(step, attribute, None) for attribute in ("node", "source", "target"))
    return names + [name for name in single if name is not None]


def _ensure_named(place: str, names: Any, known: Nodes) -> None:
    for name in names:
        if name not in known:
            raise ScenarioError(f"{place}: no node '{name}': there are {', '.join(known)}")


def _ensure_whole(place: str, step: Plain) -> None:
    """What the types cannot say."""
    if isinstance(step, Wait) and (step.height is None) == (step.blocks is None):
        raise ScenarioError(f"{place}: wait for a height or for a number of blocks: give one of them")
    if isinstance(step, Delay) and (step.source is None) != (step.target is None):
        raise ScenarioError(f"{place}: a delay is from one node to another: give both, or neither")
