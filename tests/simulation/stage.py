"""From a seed to a run: who takes part, what goes wrong and when, and whether it ended well."""

from functools import partial
from random import Random

from node.consensus.interface import Settings
from primitives.committee import Committee, Member
from primitives.types import BlockNumber, EpochIndex, PublicKey, SpecVersion, Stake
from tests.simulation.byzantine import KINDS, Byzantine, Silent
from tests.simulation.chain import Chain
from tests.simulation.keys import SimulatedKey, make_keys
from tests.simulation.oracles import Judge, Oracle, Violation
from tests.simulation.scenario import HONEST, Bend, Outcome
from tests.simulation.validator import Setting, Validator
from tests.simulation.world import Weather, World, pick

SETTINGS = Settings(block_time_ms=500, delta_ms=200)
EPOCHS = 12
"""Epochs with a committee of their own."""

REAL_KEYS_EVERY = 25
"""One seed in so many uses real Ed25519."""

PATIENCE_MS = 90_000
"""Simulated time after stabilisation in which the goal must be reached."""


def run_seed(seed: int, bend: Bend = HONEST, *, is_traced: bool = False) -> Outcome:
    """One run; the same seed gives the same run."""
    run = Run(seed, bend, is_traced=is_traced)
    oracle, error = "", ""
    try:
        run.play()
    except Violation as violation:
        oracle, error = violation.oracle.value, str(violation)
    except Exception as failure:  # noqa: BLE001  # a planted bug may break anything
        oracle, error = Oracle.ENGINE.value, f"{type(failure).__name__}: {failure}"
    return Outcome(
        seed=seed,
        oracle=oracle,
        error=error,
        height=min(node.height for node in run.honest),
        views=sum(certificate.kind != 2 for certificate in run.honest[0].disk.certificates),
        frames=run.world.frames,
        now_ms=run.world.now_ms,
        well_ms=run.world.now_ms - run.world.weather.well_from_ms,
        findings=dict(run.judge.findings),
        trace=run.world.trace or [],
    )


class Run:
    """One seed's cast and stage."""

    def __init__(self, seed: int, bend: Bend, *, is_traced: bool) -> None:
        random = Random(seed)
        self._random = random
        keys, verifier = make_keys(random.randint(4, 7), are_real=seed % REAL_KEYS_EVERY == 0)
        keys = [bend.key(key) for key in keys]
        names = [f"node{number}" for number in range(len(keys))]
        weather = _weather(random, names)
        worst = (len(keys) - 1) // 3
        count = worst if weather.blackout else random.randint(0, max(1, (len(keys) - 1) // 2))
        byzantine = frozenset(key.public_key for key in random.sample(keys, count))
        most = 1 if weather.blackout else random.choice((1, 3, 100))
        self.chain = Chain(SETTINGS, _committees(random, keys, byzantine, most, bend.committee))
        self.judge = Judge(self.chain, byzantine)
        self.world = World(random, weather, trace=[] if is_traced else None)
        setting = Setting(
            world=self.world,
            chain=self.chain,
            judge=self.judge,
            verifier=bend.verifier(verifier),
            honest=frozenset(key.public_key for key in keys) - byzantine,
            core=bend.core,
            unable=random.choice((0.0, 0.1)),
        )
        self.honest: list[Validator] = []
        for name, key in zip(names, keys, strict=True):
            skew_ms = random.randint(-SETTINGS.delta_ms // 2, SETTINGS.delta_ms // 2)
            if key.public_key not in byzantine:
                self.honest.append(Validator(name, key, setting, skew_ms))
                continue
            kind = Silent if self.world.weather.blackout else random.choice(KINDS)
            for twin in range(2 if kind is Byzantine else 1):
                self.world.endpoints.append(kind(f"{name}x{twin}", key, setting, skew_ms))
        self.world.endpoints += self.honest
        self._plan_crashes()

    def play(self) -> None:
        """Run to the goal. Raises AssertionError if an oracle objects or the goal is out of reach."""
        for node in self._nodes():
            self.world.at(self._random.randint(0, 300), node.start)
        well_ms = self.world.weather.well_from_ms
        self.world.run(well_ms, lambda: False)
        epoch_length = self.chain.committees[0].last_height
        goal = max(node.height for node in self.honest) + 2 * epoch_length + 1
        in_time = self.world.run(
            well_ms + PATIENCE_MS, lambda: all(node.height >= goal for node in self.honest)
        )
        if not in_time:
            raise Violation(
                Oracle.LIVENESS, f"heights {[node.height for node in self.honest]} instead of {goal}"
            )

    def _nodes(self) -> list[Validator]:
        return [node for node in self.world.endpoints if isinstance(node, Validator)]

    def _plan_crashes(self) -> None:
        """Processes die between any two actions; once in a while all of them at one moment, and sometimes
        after nobody heard anybody for long enough that all gave up the view."""
        well_ms, random = self.world.weather.well_from_ms, self._random
        if self.world.weather.blackout:
            for node in self.honest if random.random() < 0.7 else []:
                self.world.at(self.world.weather.blackout[1], node.crash)
        victims = [random.choice(self.honest) for _ in range(random.choice((0, 2, 5)))]
        if random.random() < 0.3:
            victims = [*victims, *self.honest]
        moment = random.randint(0, well_ms)
        for index, victim in enumerate(victims):
            at_ms = moment if index >= 5 else random.randint(0, well_ms)
            self.world.at(at_ms, partial(_doom, victim, random.randrange(6)))
            self.world.at(min(well_ms, at_ms + random.randint(100, 3000)), victim.start)
        for node in self.honest:
            self.world.at(well_ms, partial(_revive, node))


def _doom(node: Validator, count: int) -> None:
    node.crash_in = count


def _revive(node: Validator) -> None:
    node.crash_in = None
    node.start()


def _committees(
    random: Random,
    keys: list[SimulatedKey],
    byzantine: frozenset[PublicKey],
    most: int,
    kind: type[Committee],
) -> tuple[Committee, ...]:
    """Committees that change with every epoch, in which nobody has a stake above `most`."""
    length = random.randint(3, 6)
    return tuple(
        kind(
            EpochIndex(epoch),
            BlockNumber((epoch - 1) * length + 1),
            BlockNumber(epoch * length),
            SpecVersion(1),
            _members(random, keys, byzantine, most),
        )
        for epoch in range(1, EPOCHS + 1)
    )


def _members(
    random: Random, keys: list[SimulatedKey], byzantine: frozenset[PublicKey], most: int
) -> tuple[Member, ...]:
    """A committee of which less than a third is Byzantine by stake, by as little as chance allows. With equal
    stakes everybody is in it: then nobody honest can be missed."""
    while True:
        chosen = random.sample(keys, len(keys) if most == 1 else random.randint(4, len(keys)))
        members = tuple(Member(key.public_key, Stake(random.randint(1, most))) for key in chosen)
        bad = sum(member.stake for member in members if member.key in byzantine)
        if 3 * bad < sum(member.stake for member in members):
            return members
        most = max(most, 3)


def _weather(random: Random, names: list[str]) -> Weather:
    well_from_ms = random.choice((0, 4000, 8000, 15_000))
    cuts = []
    for _ in range(random.choice((0, 0, 1, 3))):
        since = random.randint(0, well_from_ms)
        side = pick(random, names, random.randint(1, len(names) - 1))
        cuts.append((since, since + random.randint(500, 6000), side))
    return Weather(
        well_from_ms=well_from_ms,
        delay_ms=random.choice((20, SETTINGS.delta_ms)),
        storm_delay_ms=random.choice((50, 300, 2000)),
        loss=random.choice((0.0, 0.05, 0.3)),
        duplication=random.choice((0.0, 0.2)),
        partitions=tuple(cuts),
        blackout=(well_from_ms - 2500, well_from_ms - 50) if random.random() < 0.2 else None,
    )
