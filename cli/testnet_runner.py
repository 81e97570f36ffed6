"""Running a scenario: steps are done one after another on a real network, and looked at until they hold."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import eq, ge, gt, le, lt
from statistics import median
from typing import Any, Final

from msgspec import to_builtins

from chainspec.presets import DEVELOPMENT_NAMES
from cli import testnet_disk as disk
from cli import testnet_scenario as step
from cli.testnet_faults import NetworkFaults
from cli.testnet_genesis import account_of_node
from cli.testnet_load import Load
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from cli.testnet_scenario import LEADER, Nodes, Plain, Scenario
from cli.testnet_watch import Watcher

POLL_S: Final = 0.1
VOTES_EVERY_S: Final = 2.0
"""How often nodes are asked for their votes: a node that is killed takes along what only it knew."""

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lt,
    "<=": le,
    "==": eq,
    ">=": ge,
    ">": gt,
}


@dataclass(kw_only=True)
class Figures:
    """What a run measured."""

    blocks: int = 0
    """Highest finalized block."""

    votes: int = 0
    """Distinct votes that were looked at."""

    double_votes: int = 0
    kills: int = 0
    transfers_sent: int = 0
    transfers_final: int = 0
    waits: list[dict[str, Any]] = field(default_factory=list)
    """For each `wait` that followed another step: that step, and how long it took until it was over, in s."""


class Runner:
    """One scenario on one network. Whoever runs it stops the network."""

    def __init__(
        self, scenario: Scenario, network: Testnet, tell: Callable[[str], None], time_scale: float = 1.0
    ) -> None:
        """`tell` hears of every step; `time_scale` makes what goes on for a time longer or shorter."""
        self.figures: Final = Figures()
        self._scenario = scenario
        self._network = network
        self._tell = tell
        self._time_scale = time_scale
        self._faults = NetworkFaults(network)
        self._watcher = Watcher(network)
        self._load: Load | None = None
        self._sent: list[str] = []
        self._down: set[str] = set()
        self._paused: set[str] = set()
        self._leader = ""
        self._log_starts: dict[str, int] = {}
        self._votes_at = 0.0
        self._steps: Mapping[type[Plain], Callable[[Any], str | None]] = {
            step.Start: lambda act: self._start(self._chosen(act.nodes, self._down)),
            step.Stop: lambda act: self._end(self._picked(act.nodes), self._network.stop_node),
            step.Kill: lambda act: self._kill(self._picked(act.nodes)),
            step.Restart: lambda act: self._restart(self._chosen(act.nodes, self._names)),
            step.Pause: lambda act: self._pause(self._picked(act.nodes)),
            step.Resume: lambda act: self._resume(self._chosen(act.nodes, self._paused)),
            step.Partition: self._partition,
            step.Heal: lambda _: self._faults.heal(),
            step.Delay: lambda slow: self._faults.delay(slow.ms, slow.jitter_ms, slow.source, slow.target),
            step.Loss: lambda lossy: self._faults.lose(lossy.percent, *(lossy.between or ())),
            step.Clock: lambda clock: self._faults.set_clock(clock.node, clock.ahead_ms),
            step.RandomKill: self._kill_at_random,
            step.Load: self._change_load,
            step.CopyDatabase: lambda copied: disk.copy_database(network, copied.node),
            step.RestoreDatabase: lambda restored: disk.restore_database(network, restored.node),
            step.RemoveJournal: lambda removed: disk.remove_journal(network, removed.node),
            step.LimitDisk: lambda limit: (
                f"no file beyond {disk.limit_disk(network, limit.node, limit.spare_bytes)} bytes"
            ),
            step.Wait: self._wait,
            step.FinalityStops: self._see_finality_stop,
            step.Ended: self._see_end,
            step.Log: self._see_log,
            step.Metric: self._see_metric,
            step.Voting: self._see_voting,
            step.EventSeen: self._see_event,
            step.Banned: self._see_ban,
            step.Convicted: self._see_conviction,
            step.MemoryBelow: self._see_memory,
            step.FinalityWithin: self._see_finality,
            step.TransfersFinal: self._see_transfers_final,
            step.SameChain: lambda _: self._see_same_chain(),
            step.NoDoubleVotes: lambda _: self._see_double_votes(()),
        }

    def run(self) -> None:
        """Do every step and judge the end. Raises TestnetError at the first that fails."""
        try:
            self._do("start the network", lambda: self._start(self._names))
            before = "start"
            for number, one in enumerate(self._scenario.steps, 1):
                began = time.monotonic()
                self._do(f"{number}. {_shown(one)}", partial(self._steps[type(one)], one))
                took = time.monotonic() - began
                if isinstance(one, step.Wait):
                    self.figures.waits.append({"after": before, "s": round(took, 2)})
                elif not isinstance(one, step.Look):
                    before = str(type(one).__struct_config__.tag)
            self._change_load(step.Load(per_second=0))
            self._do("same chain", self._see_same_chain)
            expected = self._scenario.expect.double_voters
            self._do("double votes", lambda: self._see_double_votes(expected))
        finally:
            self._measure()
            self._watcher.close()

    def _do(self, what: str, action: Callable[[], str | None]) -> None:
        """Raises TestnetError that names the step."""
        try:
            said = action()
        except TestnetError as error:
            raise TestnetError(f"{what}: {error}") from None
        self._tell(what + (f": {said}" if said else ""))

    def _measure(self) -> None:
        if self._load is not None:
            self._load.stop()
            self._sent += self._load.sent
        alive = self._alive()
        self.figures.blocks = max(self._watcher.heights(alive).values(), default=self.figures.blocks)
        self.figures.votes = self._watcher.vote_count
        self.figures.transfers_sent = len(self._sent)
        self.figures.transfers_final = sum(self._watcher.is_final(alive, sent) for sent in self._sent)

    # Who is meant

    @property
    def _names(self) -> Nodes:
        return self._scenario.network.names

    def _alive(self) -> Nodes:
        """Those that should answer."""
        return tuple(name for name in self._names if name not in self._down | self._paused)

    def _chosen(self, nodes: Nodes, default: Iterable[str]) -> Nodes:
        """The nodes that a step names, or those of `default`; the leader is the one found last."""
        if not nodes:
            return tuple(name for name in self._names if name in default)
        return tuple(self._leader if name == LEADER else name for name in nodes)

    def _picked(self, nodes: Nodes) -> Nodes:
        """As `_chosen` from those alive, with a new leader."""
        if LEADER in nodes:
            self._leader = self._watcher.leader(self._alive())
        return self._chosen(nodes, self._alive())

    # Breaking and mending

    def _start(self, nodes: Nodes) -> str:
        for name in nodes:
            self._note_start(name)
            self._network.start_node(name)
        self._until("every node answers", lambda: len(self._watcher.heights(nodes)) == len(nodes), None)
        return ", ".join(nodes)

    def _restart(self, nodes: Nodes) -> str:
        for name in nodes:
            self._note_start(name)
            self._network.restart(name)
        return self._start(nodes)

    def _note_start(self, name: str) -> None:
        if self._network.process(name) is None:
            log = self._network.log_file(name)
            self._log_starts[name] = log.stat().st_size if log.exists() else 0
        self._down.discard(name)
        self._watcher.forget(name)

    def _end(self, nodes: Nodes, end: Callable[[str], None]) -> str:
        self._watcher.collect_votes(self._alive())
        for name in nodes:
            self._down.add(name)
            self._paused.discard(name)
            end(name)
        return ", ".join(nodes)

    def _kill(self, nodes: Nodes) -> str:
        self.figures.kills += len(nodes)
        return self._end(nodes, self._network.kill)

    def _pause(self, nodes: Nodes) -> str:
        for name in nodes:
            self._network.pause(name)
            self._paused.add(name)
        return ", ".join(nodes)

    def _resume(self, nodes: Nodes) -> str:
        for name in nodes:
            self._network.resume(name)
            self._paused.discard(name)
        return ", ".join(nodes)

    def _partition(self, cut: step.Partition) -> str:
        if any(LEADER in group for group in cut.groups):
            self._leader = self._watcher.leader(self._alive())
        parts = self._faults.partition([self._chosen(group, ()) for group in cut.groups])
        return " | ".join(", ".join(part) for part in parts)

    def _kill_at_random(self, how: step.RandomKill) -> str:
        chance = random.Random(how.seed)
        victims = how.nodes or self._scenario.network.validator_names
        ends, before = time.monotonic() + how.for_s * self._time_scale, self.figures.kills
        while time.monotonic() < ends:
            victim = chance.choice(victims)
            self._kill((victim,))
            self._pass(how.down_s)
            self._note_start(victim)
            self._network.start_node(victim)
            self._pass(max(0.0, how.every_s * (0.5 + chance.random()) - how.down_s))
        self._start(victims)
        return f"{self.figures.kills - before} kills"

    def _change_load(self, load: step.Load) -> None:
        if self._load is not None:
            self._load.stop()
            self._sent += self._load.sent
            self._load = None
        if load.per_second:
            self._load = Load(load.per_second, self._senders)

    def _senders(self) -> Mapping[str, str]:
        """An account for each of the first nodes, and where the node answers; those alive."""
        pairs = zip(DEVELOPMENT_NAMES, self._network.nodes, strict=False)
        alive = self._alive()
        return {f"//{person}": plan.rpc_url for person, plan in pairs if plan.name in alive}

    # Looking

    def _wait(self, wait: step.Wait) -> str:
        left_out = self._chosen(wait.without, ())
        nodes = self._chosen(wait.nodes, [name for name in self._alive() if name not in left_out])
        highest = max(self._watcher.heights(nodes).values(), default=0)
        goal = wait.height if wait.blocks is None else highest + wait.blocks
        assert goal is not None

        def reached() -> bool:
            heights = self._watcher.heights(nodes)
            return len(heights) == len(nodes) and min(heights.values()) >= goal

        took = self._until(f"block {goal} at {', '.join(nodes)}", reached, wait.timeout_s)
        return f"block {goal} after {took:.1f} s"

    def _see_finality_stop(self, stop: step.FinalityStops) -> str:
        nodes = self._chosen(stop.nodes, self._alive())
        seen, since = -1, time.monotonic()

        def stopped() -> bool:
            nonlocal seen, since
            highest = max(self._watcher.heights(nodes).values(), default=-1)
            if highest != seen:
                seen, since = highest, time.monotonic()
            return time.monotonic() - since >= stop.for_s

        self._until(f"no new block for {stop.for_s:g} s", stopped, stop.timeout_s)
        return f"nothing after block {seen}"

    def _see_end(self, ended: step.Ended) -> str:
        self._down.add(ended.node)
        self._until(f"{ended.node} ends", lambda: self._network.process(ended.node) is None, ended.timeout_s)
        lines = self._log(ended.node).splitlines()
        return lines[-1] if lines else "it said nothing"

    def _see_log(self, log: step.Log) -> str:
        self._until(
            f"{log.node} says '{log.contains}'", lambda: log.contains in self._log(log.node), log.timeout_s
        )
        return next(line for line in self._log(log.node).splitlines() if log.contains in line)

    def _log(self, name: str) -> str:
        """What a node has said since it was last started."""
        with self._network.log_file(name).open("rb") as file:
            file.seek(self._log_starts.get(name, 0))
            return file.read().decode(errors="replace")

    def _see_metric(self, metric: step.Metric) -> str:
        compare = COMPARISONS[metric.compare]

        def holds() -> bool:
            value = self._watcher.metrics(metric.node).get(metric.name)
            return value is not None and compare(value, metric.value)

        what = f"{metric.name} {metric.compare} {metric.value:g} at {metric.node}"
        self._until(what, holds, metric.timeout_s)
        return what

    def _see_voting(self, voting: step.Voting) -> str:
        nodes = self._chosen(voting.nodes, self._scenario.network.validator_names)
        what = f"{', '.join(nodes)} {'vote' if voting.voting else 'do not vote'}"
        self._until(
            what,
            lambda: all(self._watcher.is_voting(name) is voting.voting for name in nodes),
            voting.timeout_s,
        )
        return what

    def _see_event(self, event: step.EventSeen) -> str:
        height = 1

        def seen() -> bool:
            nonlocal height
            for name, top in self._watcher.heights(self._alive()).items():
                while height <= top and (events := self._watcher.events(name, height)) is not None:
                    if event.name in events:
                        return True
                    height += 1
            return False

        self._until(f"an event {event.name}", seen, event.timeout_s)
        return f"in block {height}"

    def _see_ban(self, ban: step.Banned) -> str:
        peer, others = self._network.plan(ban.node).peer_id, self._others(ban.node, ban.by)
        what = f"{', '.join(others)} ban {ban.node}"
        self._until(what, lambda: all(peer in self._watcher.banned(name) for name in others), ban.timeout_s)
        return what

    def _see_conviction(self, found: step.Convicted) -> str:
        account, others = account_of_node(found.node), self._others(found.node, found.by)
        what = f"{', '.join(others)} prove an offence of {found.node}"
        self._until(
            what, lambda: all(account in self._watcher.offenders(name) for name in others), found.timeout_s
        )
        return what

    def _others(self, node: str, chosen: Nodes) -> Nodes:
        return chosen or tuple(name for name in self._alive() if name != node)

    def _see_memory(self, memory: step.MemoryBelow) -> str:
        rss_mib = {name: self._network.rss_bytes(name) >> 20 for name in memory.nodes or self._alive()}
        told = ", ".join(f"{name} {mib} MiB" for name, mib in rss_mib.items())
        if max(rss_mib.values()) >= memory.below_mib:
            raise TestnetError(f"more memory than {memory.below_mib} MiB: {told}")
        return told

    def _see_finality(self, finality: step.FinalityWithin) -> str:
        times_ms = {name: self._watcher.finality_ms(name) for name in finality.nodes or self._alive()}
        p50_ms = {name: round(median(times)) for name, times in times_ms.items() if times}
        told = ", ".join(f"{name} {ms} ms" for name, ms in p50_ms.items()) or "nothing was proposed"
        if not p50_ms or max(p50_ms.values()) > finality.p50_ms:
            raise TestnetError(f"half of the blocks took more than {finality.p50_ms} ms: {told}")
        return told

    def _see_transfers_final(self, final: step.TransfersFinal) -> str:
        sent = [*self._sent, *(self._load.sent if self._load else ())]
        open_ = set(sent)

        def all_final() -> bool:
            open_.difference_update([one for one in open_ if self._watcher.is_final(self._alive(), one)])
            return not open_

        self._until(f"{len(sent)} transfers are final", all_final, final.timeout_s)
        return f"{len(sent)} transfers"

    def _see_same_chain(self) -> str:
        return f"up to block {self._watcher.ensure_same_chain(self._alive())}"

    def _see_double_votes(self, expected: Sequence[str]) -> str:
        self._watcher.collect_votes(self._alive())
        found = self._watcher.double_votes(self._alive())
        self.figures.double_votes = len(found)
        if set(found) != set(expected):
            told = ", ".join(sorted(set(found))) or "nobody"
            raise TestnetError(f"{told} voted twice, not {', '.join(expected) or 'nobody'}")
        return f"{len(found)} among {self._watcher.vote_count} votes"

    # Waiting

    def _until(self, what: str, holds: Callable[[], bool], timeout_s: float | None) -> float:
        """How long it took, in seconds. Raises TestnetError if that is too long, or a node ends by itself."""
        timeout_s = self._scenario.timeout_s if timeout_s is None else timeout_s
        began = time.monotonic()
        while not holds():
            self._ensure_running()
            if time.monotonic() - began > timeout_s:
                heights = self._watcher.heights(self._alive())
                raise TestnetError(f"not within {timeout_s:g} s: {what}; final are {heights}")
            self._look_around()
            time.sleep(POLL_S)
        return time.monotonic() - began

    def _pass(self, for_s: float) -> None:
        """Let time pass, with an eye on the nodes."""
        ends = time.monotonic() + for_s
        while (left := ends - time.monotonic()) > 0:
            self._ensure_running()
            self._look_around()
            time.sleep(min(left, POLL_S))

    def _look_around(self) -> None:
        if time.monotonic() - self._votes_at > VOTES_EVERY_S:
            self._votes_at = time.monotonic()
            self._watcher.collect_votes(self._alive())

    def _ensure_running(self) -> None:
        """Raises TestnetError, with its last words, if a node has ended that should run."""
        for name in self._names:
            if name not in self._down and self._network.process(name) is None:
                lines = self._log(name).splitlines()
                raise TestnetError(f"{name} has stopped: {lines[-1] if lines else 'it said nothing'}")


def _shown(one: Plain) -> str:
    """A step in a line."""
    given = {name: value for name, value in to_builtins(one).items() if value not in (None, [], ())}
    return " ".join([given.pop("do"), *(f"{name}={_text(value)}" for name, value in given.items())])


def _text(value: Any) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)
