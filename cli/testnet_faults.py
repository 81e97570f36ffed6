"""What goes wrong between the nodes of a local network: partitions, delay, loss; and with their clocks."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from node.network.fault_plan import CLOCK_MS_MAX, DELAY_MS_MAX, LOSS_MAX, SOUND, FaultPlan, LinkFaults

LOSS_PERCENT_MAX: Final = int(LOSS_MAX * 100)

Pairs = Sequence[tuple[str, str]]
"""Sender and receiver, by name."""


class NetworkFaults:
    """The faults of all nodes of one network. Every method raises TestnetError."""

    def __init__(self, network: Testnet) -> None:
        """Of a network that runs, or not."""
        self._network = network
        self._names = [plan.name for plan in network.nodes]
        self._peers = {plan.name: plan.peer_id for plan in network.nodes}

    def partition(self, groups: Sequence[Sequence[str]]) -> list[list[str]]:
        """Cut every link between different groups, instead of any partition before; the groups.

        Nodes that are named in none are one more group.
        """
        named = [name for group in groups for name in group]
        for name in named:
            self._network.plan(name)
            if named.count(name) > 1:
                raise TestnetError(f"{name} is named twice: a node is on one side of a partition")
        rest = [name for name in self._names if name not in named]
        parts = [list(group) for group in groups if group] + ([rest] if rest else [])
        if len(parts) < 2:
            raise TestnetError("that is one group: leave some nodes out, or name several groups")
        side = {name: number for number, part in enumerate(parts) for name in part}
        links = self._links()
        for sender, receiver in self._all_pairs():
            is_cut = side[sender] != side[receiver]
            links[sender][receiver] = replace(links[sender].get(receiver, SOUND), cut=is_cut)
        self._write(links)
        return parts

    def heal(self) -> None:
        """Make every link sound again; clocks stay as they are."""
        self._write({name: {} for name in self._names})

    def delay(
        self, delay_ms: int, jitter_ms: int = 0, source: str | None = None, target: str | None = None
    ) -> None:
        """Make what `source` sends to `target` late; without names, everything. 0 ends it."""
        if not (0 <= delay_ms <= DELAY_MS_MAX and 0 <= jitter_ms <= DELAY_MS_MAX):
            raise TestnetError(f"a delay is from 0 to {DELAY_MS_MAX} ms")
        links = self._links()
        for sender, receiver in self._pairs(source, target, both=False):
            before = links[sender].get(receiver, SOUND)
            links[sender][receiver] = replace(before, delay_ms=delay_ms, jitter_ms=jitter_ms)
        self._write(links)

    def lose(self, percent: float, one: str | None = None, other: str | None = None) -> None:
        """Lose this share of segments between two nodes, both ways; without names, everywhere. 0 ends it."""
        if not 0 <= percent <= LOSS_PERCENT_MAX:
            raise TestnetError(f"a loss is from 0 to {LOSS_PERCENT_MAX} percent")
        links = self._links()
        for sender, receiver in self._pairs(one, other, both=True):
            before = links[sender].get(receiver, SOUND)
            links[sender][receiver] = replace(before, loss=percent / 100)
        self._write(links)

    def set_clock(self, name: str, ahead_ms: int) -> None:
        """Put the clock of a node that far ahead; 0 sets it right."""
        if abs(ahead_ms) > CLOCK_MS_MAX:
            raise TestnetError(f"a clock is at most {CLOCK_MS_MAX} ms off")
        self._network.set_faults(name, replace(self._network.faults(name), clock_ms=ahead_ms))

    def describe(self) -> dict[str, str]:
        """What is wrong with each node with which something is."""
        said = {name: self._described(self._network.faults(name)) for name in self._names}
        return {name: text for name, text in said.items() if text}

    def _described(self, plan: FaultPlan) -> str:
        names = {peer: name for name, peer in self._peers.items()}
        known = {names[peer]: link for peer, link in plan.links.items() if peer in names}
        cut = [name for name, link in known.items() if link.cut]
        parts = [f"cut from {', '.join(cut)}"] if cut else []
        slow: dict[str, list[str]] = {}
        for name, link in known.items():
            if text := _slowness(link):
                slow.setdefault(text, []).append(name)
        everyone = len(self._names) - 1
        for text, to in slow.items():
            parts.append(f"{text} to {'everyone' if len(to) == everyone else ', '.join(to)}")
        parts += [f"clock {plan.clock_ms:+d} ms"] if plan.clock_ms else []
        return "; ".join(parts)

    def _links(self) -> dict[str, dict[str, LinkFaults]]:
        """What is wrong with each link, by the names of sender and receiver."""
        plans = {name: self._network.faults(name) for name in self._names}
        return {
            sender: {name: plan.links[peer] for name, peer in self._peers.items() if peer in plan.links}
            for sender, plan in plans.items()
        }

    def _write(self, links: Mapping[str, Mapping[str, LinkFaults]]) -> None:
        """Put the links in force, at the nodes where anything changes."""
        for sender, to in links.items():
            before = self._network.faults(sender)
            harmed = {self._peers[name]: link for name, link in to.items() if link != SOUND}
            if harmed != before.links:
                self._network.set_faults(sender, replace(before, links=harmed))

    def _pairs(self, source: str | None, target: str | None, *, both: bool) -> Pairs:
        if source is None or target is None:
            return self._all_pairs()
        self._network.plan(source)
        self._network.plan(target)
        if source == target:
            raise TestnetError(f"{source} needs no network to reach itself: name two nodes")
        return [(source, target), (target, source)] if both else [(source, target)]

    def _all_pairs(self) -> Pairs:
        return [(one, other) for one in self._names for other in self._names if one != other]


def _slowness(link: LinkFaults) -> str:
    jitter = f" and up to {link.jitter_ms} ms" if link.jitter_ms else ""
    delay = f"{link.delay_ms} ms{jitter}" if link.delay_ms or link.jitter_ms else ""
    loss = f"{link.loss * 100:g} % loss" if link.loss else ""
    return ", ".join(filter(None, (delay, loss)))
