"""From a seed to a scenario: the mix of what is tried.

Most are storms: a bad network and bad company of less than a third of the stake, until the network becomes
well. The other moods are rarer, because each is about one thing.
"""

from random import Random
from typing import Final

from tests.simulation.kinds import KINDS
from tests.simulation.scenario import (
    FOLLOWER_KIND,
    HONEST_KIND,
    TWIN_KIND,
    ClockStep,
    Crash,
    Fault,
    History,
    Node,
    Partition,
    PowerCut,
    Restore,
    Scenario,
    Seat,
    Sync,
    Weather,
)

BLOCK_TIME_MS: Final = 500
DELTA_MS: Final = 200

EPOCHS: Final = 12
"""Epochs with a committee of their own."""

REAL_KEYS_EVERY: Final = 50
"""One seed in so many uses real Ed25519."""

PATIENCE_MS: Final = 90_000
"""Simulated time after stabilisation in which the goal must be reached."""

MOODS: Final = {"storm": 74, "blackout": 12, "laggard": 4, "overwhelmed": 5, "haste": 2, "dead run": 3}
"""How often what is tried."""

SIZES: Final = {4: 26, 5: 22, 6: 18, 7: 20, 8: 3, 9: 3, 10: 2, 11: 1, 12: 1, 13: 1, 14: 1, 15: 1, 16: 1}
"""How often so many keys take part: traffic grows with the cube, and most of what can go wrong needs few."""

MANY: Final = 8
"""Keys from which a run is kept short."""


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    return _Draw(seed).scenario()


class _Draw:
    """One draw, step by step."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random = Random(f"scenario {seed}")
        self.mood = random.choices([*MOODS], weights=[*MOODS.values()])[0]
        few = self.mood in ("laggard", "haste", "overwhelmed", "dead run")
        self.count = random.randint(4, 7) if few else random.choices([*SIZES], weights=[*SIZES.values()])[0]
        self.is_large = self.count >= MANY
        self.length = random.randint(2, 3) if self.is_large else random.randint(3, 6)
        self.well_ms = random.choice((0, 4000) if self.is_large else (0, 4000, 8000, 15_000))
        if self.mood == "blackout":
            self.well_ms = max(self.well_ms, 4000)
        if self.mood == "overwhelmed":
            self.well_ms = 8000
        if self.mood == "laggard":
            self.well_ms = min(self.well_ms, 4000)
        if self.mood == "haste":  # timers run out fifty times a second, and everybody speaks again each time
            self.well_ms = min(self.well_ms, 2000)
        self.most = 1 if self.mood == "blackout" else random.choice((1, 3, 100))
        self.bad = frozenset(random.sample(range(self.count), self._bad_count()))

    def _bad_count(self) -> int:
        worst = (self.count - 1) // 3
        match self.mood:
            case "blackout" | "dead run":
                return worst
            case "laggard":
                return self.random.randint(0, 1)
            case "overwhelmed":
                return self.count // 2
        return self.random.randint(0, max(1, (self.count - 1) // 2))

    def scenario(self) -> Scenario:
        """Put the parts together."""
        random = self.random
        self.committees = committees = tuple(self._committee() for _ in range(EPOCHS))
        self.strays = self._strays(committees)
        nodes = self._nodes()
        history = self._history(nodes, committees[0]) if self.mood == "laggard" else None
        has_goal = self.mood != "overwhelmed"
        is_slow = self.mood in ("laggard", "haste", "dead run")
        return Scenario(
            seed=self.seed,
            nodes=nodes,
            committees=committees,
            epoch_length=self.length,
            weather=self._weather([node.name for node in nodes]),
            faults=self._faults(nodes),
            sync=self._sync() if has_goal else None,
            history=history,
            block_time_ms=20 if self.mood == "haste" else BLOCK_TIME_MS,
            delta_ms=random.choice((2, 10)) if self.mood == "haste" else DELTA_MS,
            are_keys_real=self.seed % REAL_KEYS_EVERY == 0,
            unable_percent=random.choice((0, 10)),
            disk_ms=random.choice((0, 0, 0, 5, 40)),
            is_journal_forgetful=random.random() < 0.3,
            are_dead_in_a_row=self.mood == "dead run",
            goal_blocks=2 * self.length + 1 if has_goal else 0,
            patience_ms=PATIENCE_MS * (4 if is_slow else 1) if has_goal else 0,
        )

    # Who takes part

    def _committee(self) -> tuple[Seat, ...]:
        """A committee of which less than a third is Byzantine by stake, by as little as chance allows; if the
        third is to be exceeded, less than two thirds. With equal stakes everybody is in it: then nobody
        honest can be missed."""
        random, most = self.random, self.most
        while True:
            size = (
                self.count
                if most == 1 or self.mood == "overwhelmed"
                else random.randint(max(4, self.count - 3), self.count)
            )
            seats = tuple(
                Seat(key, random.randint(1, most)) for key in random.sample(range(self.count), size)
            )
            bad, total = (
                sum(seat.stake for seat in seats if seat.key in self.bad),
                sum(seat.stake for seat in seats),
            )
            if self.mood == "overwhelmed" and total <= 3 * bad < 2 * total:
                return seats
            if self.mood != "overwhelmed" and 3 * bad < total:
                return seats
            most = max(most, 3)

    def _strays(self, committees: tuple[tuple[Seat, ...], ...]) -> frozenset[int]:
        """Honest keys whose clocks may be off by more than D: like the Byzantine ones they can be done
        without. If a quorum needs them, blocks wait for the slowest clock, and no pace is promised."""
        strays: frozenset[int] = frozenset()
        if self.random.random() < 0.3:
            for key in self.random.sample(range(self.count), self.count):
                missed = self.bad | strays | {key}
                if all(
                    3 * sum(seat.stake for seat in seats if seat.key in missed)
                    < sum(seat.stake for seat in seats)
                    for seats in committees
                ):
                    strays |= {key} - self.bad
        return strays

    def _nodes(self) -> tuple[Node, ...]:
        random = self.random
        nodes: list[Node] = []
        for key in range(self.count):
            widest_ms = random.choice((2000, 10_000)) if key in self.strays else DELTA_MS // 2
            skew_ms = random.randint(-widest_ms, widest_ms) if random.random() < 0.8 else 0
            if key not in self.bad:
                is_late = random.random() < 0.05
                start_ms = random.randint(0, self.well_ms) if is_late else random.randint(0, 300)
                nodes.append(Node(f"n{key}", key, HONEST_KIND, skew_ms, start_ms))
                continue
            kind = self._kind()
            nodes.append(Node(f"n{key}", key, kind, skew_ms, random.randint(0, 300)))
            if kind == TWIN_KIND:
                nodes.append(Node(f"n{key}'", key, kind, skew_ms, random.randint(0, 300)))
        if random.random() < 0.15:
            nodes.append(Node("follower", self.count, FOLLOWER_KIND))
        return tuple(nodes)

    def _kind(self) -> str:
        if self.mood in ("blackout", "dead run", "laggard"):
            return "silent"
        if self.mood == "overwhelmed" and self.random.random() < 0.9:
            return TWIN_KIND
        return self.random.choice([*KINDS])

    def _history(self, nodes: tuple[Node, ...], seats: tuple[Seat, ...]) -> History:
        """As many laggards as the quorum can do without."""
        random, total = self.random, sum(seat.stake for seat in seats)
        stakes = {seat.key: seat.stake for seat in seats}
        absent: list[Node] = []
        for node in random.sample(nodes, len(nodes)):
            missed = sum(stakes.get(other.key, 0) for other in [*absent, node])
            if node.is_honest and 3 * missed < total and len(absent) < 2:
                absent.append(node)
        return History(random.randint(100, 140), tuple(node.name for node in absent), random.random() < 0.5)

    # What goes wrong

    def _weather(self, names: list[str]) -> Weather:
        random, well_ms = self.random, self.well_ms
        cuts = []
        for _ in range(random.choice((0, 0, 1, 3))):
            since = random.randint(0, well_ms)
            side = self._side(names)
            cuts.append(Partition(since, min(well_ms, since + random.randint(500, 6000)), side))
        if self.mood == "overwhelmed":
            return self._calm(names)
        return Weather(
            well_from_ms=well_ms,
            delay_ms=20 if self.mood == "haste" else random.choice((20, DELTA_MS)),
            storm_delay_ms=random.choice((50, 300, 2000)),
            loss_percent=random.choice((0, 5, 30)),
            duplication_percent=random.choice((0, 20)),
            partitions=tuple(cuts),
            blackout=(well_ms - 2500, well_ms - 50) if self.mood == "blackout" else None,
        )

    def _side(self, names: list[str]) -> tuple[str, ...]:
        """Some nodes; twins stand on different sides as a rule."""
        side = self.random.sample(names, self.random.randint(1, len(names) - 1))
        if self.random.random() < 0.7:
            side = [name for name in side if name.strip("'") + "'" not in names]
            side += [name for name in names if name.endswith("'")]
        return tuple(sorted(side))

    def _calm(self, names: list[str]) -> Weather:
        """A network in two halves that is well otherwise: what a fork needs."""
        return Weather(
            well_from_ms=self.well_ms,
            delay_ms=self.random.choice((20, DELTA_MS)),
            storm_delay_ms=self.random.choice((20, 50, DELTA_MS)),
            loss_percent=self.random.choice((0, 0, 5)),
            partitions=(
                Partition(0, self.random.randint(self.well_ms // 2, self.well_ms), self._half(names)),
            ),
        )

    def _half(self, names: list[str]) -> tuple[str, ...]:
        """One of two sides, each with half of the honest nodes and one of each pair of twins."""
        honest = [name for name in names if name != "follower" and int(name.strip("n'")) not in self.bad]
        side = self.random.sample(honest, len(honest) // 2)
        return tuple(sorted([*side, *(name for name in names if name.endswith("'"))]))

    def _faults(self, nodes: tuple[Node, ...]) -> tuple[Fault, ...]:
        """Processes die between any two actions; once in a while all of them at one moment, and sometimes
        after nobody heard anybody for long enough that all gave up the view."""
        random, well_ms = self.random, self.well_ms
        honest = [node.name for node in nodes if node.is_honest]
        mortal = [node.name for node in nodes if node.is_honest or node.kind == TWIN_KIND]
        faults: list[Fault] = []
        if self.mood == "blackout" and random.random() < 0.7:
            faults.append(PowerCut(well_ms - 50, random.randint(0, 50)))
        for _ in range(random.choice((0, 2, 5))):
            at_ms, down_ms = random.randint(0, well_ms), random.randint(100, 3000)
            faults.append(Crash(random.choice(mortal), at_ms, down_ms, random.randrange(6)))
        faults += [
            PowerCut(random.randint(0, well_ms), random.randint(50, 1500))
            for _ in range(random.choice((0, 0, 1, 1, 2)) if well_ms else 0)
        ]
        if well_ms and random.random() < 0.25:
            at_ms = random.randint(0, well_ms)
            copied_ms = random.randint(0, at_ms)
            name, down_ms = random.choice(honest), random.randint(50, 2000)
            if not self._can_lose(nodes, name):
                faults.append(Restore(name, at_ms, down_ms, copied_ms))
        for key in sorted(self.strays):
            if random.random() < 0.5:
                skew_ms = random.choice((-3000, -DELTA_MS, DELTA_MS, 3000))
                faults.append(ClockStep(f"n{key}", random.randint(0, well_ms), skew_ms))
        return tuple(faults)

    def _can_lose(self, nodes: tuple[Node, ...], name: str) -> bool:
        """Whether the node, with the keys that break promises, is a quorum of some committee.

        Then a block may be final that nobody else ever had, and a disk that goes back in time loses it: more
        than a third of the stake is at fault, and nothing can bring that block back.
        """
        faulty = {node.key for node in nodes if node.name == name or not node.is_honest}
        return any(
            3 * sum(seat.stake for seat in seats if seat.key in faulty)
            > 2 * sum(seat.stake for seat in seats)
            for seats in self.committees
        )

    def _sync(self) -> Sync | None:
        random = self.random
        if random.random() < 0.4:
            return None
        if random.random() < 0.5:
            return Sync(every_ms=1000, gap=3)
        return Sync(every_ms=random.choice((50, 200)), gap=1, run_max=random.choice((1, 8)))
