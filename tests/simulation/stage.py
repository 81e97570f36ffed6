"""From a scenario to what came of it: puts the nodes on the network, lets things go wrong, asks the judge."""

from functools import partial

from node.consensus.interface import Build, Peer, Settings
from primitives.block import block_hash
from primitives.certificate import certificate_of
from primitives.committee import Committee, Member
from primitives.types import BlockNumber, EpochIndex, SpecVersion, Stake, TimestampMs, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, vote_message
from tests.simulation.accountability import Inquest
from tests.simulation.chain import Chain
from tests.simulation.draw import draw
from tests.simulation.keys import make_keys
from tests.simulation.kinds import DIRECTED_KINDS, KINDS
from tests.simulation.liar import tell
from tests.simulation.oracles import Judge, Oracle, Violation
from tests.simulation.scenario import (
    ClockStep,
    Crash,
    Fault,
    History,
    Outcome,
    PowerCut,
    Restore,
    Scenario,
    Seat,
)
from tests.simulation.validator import Setting, Validator
from tests.simulation.world import World

AFTERMATH_MS = 3000
"""What is watched of a run without a goal once the network is well."""


def run_seed(seed: int, *, is_traced: bool = False) -> Outcome:
    """One run; the same seed gives the same run."""
    return play(draw(seed), is_traced=is_traced)


def play(scenario: Scenario, *, is_traced: bool = False) -> Outcome:
    """One run; the same scenario gives the same run."""
    stage = Stage(scenario, is_traced=is_traced)
    oracle, error = "", ""
    try:
        stage.play()
    except Violation as violation:
        oracle, error = violation.oracle.value, str(violation)
    except Exception as failure:  # noqa: BLE001  # a planted bug may break anything
        oracle, error = Oracle.ENGINE.value, f"{type(failure).__name__}: {failure}"
    return Outcome(
        seed=scenario.seed,
        oracle=oracle,
        error=error,
        height=min(node.height for node in stage.honest),
        views=stage.judge.views,
        frames=stage.world.frames,
        now_ms=stage.world.now_ms,
        well_ms=stage.world.now_ms - scenario.weather.well_from_ms,
        findings=dict(stage.judge.findings),
        trace=stage.world.trace or [],
    )


class Stage:
    """One scenario's cast on its network."""

    def __init__(self, scenario: Scenario, *, is_traced: bool) -> None:
        self.scenario = scenario
        count = 1 + max(node.key for node in scenario.nodes)
        self._keys, verifier = make_keys(count, are_real=scenario.are_keys_real)
        self._verifier = verifier
        bad = frozenset(self._keys[number].public_key for number in scenario.bad_keys)
        self.chain = Chain(
            Settings(block_time_ms=scenario.block_time_ms, delta_ms=scenario.delta_ms),
            tuple(self._committee(epoch, seats) for epoch, seats in enumerate(scenario.committees, 1)),
            in_a_row=bad if scenario.are_dead_in_a_row else frozenset(),
            turns=tuple(self._keys[number].public_key for number in scenario.turns),
        )
        self.world = World(scenario.seed, scenario.weather, trace=[] if is_traced else None)
        honest = frozenset(Peer(self._keys[node.key].public_key) for node in scenario.nodes if node.is_honest)
        if scenario.is_overwhelmed:
            inquest = Inquest(self.chain, bad, honest, verifier)
            self.judge: Judge = inquest
            self.world.overhear = inquest.on_message
        else:
            self.judge = Judge(self.chain, bad, honest)
        setting = Setting(
            scenario=scenario,
            world=self.world,
            chain=self.chain,
            judge=self.judge,
            verifier=verifier,
        )
        self._nodes: dict[str, Validator] = {}
        for node in scenario.nodes:
            kind = (KINDS | DIRECTED_KINDS).get(node.kind, Validator)
            self._nodes[node.name] = kind(node, self._keys[node.key], setting)
        self.honest = [self._nodes[node.name] for node in scenario.nodes if node.is_honest]
        self.world.endpoints += self._nodes.values()

    def _committee(self, epoch: int, seats: tuple[Seat, ...]) -> Committee:
        length = self.scenario.epoch_length
        return Committee(
            EpochIndex(epoch),
            BlockNumber((epoch - 1) * length + 1),
            BlockNumber(epoch * length),
            SpecVersion(1),
            tuple(Member(self._keys[seat.key].public_key, Stake(seat.stake)) for seat in seats),
        )

    def play(self) -> None:
        """Run to the end. Raises Violation if an oracle objects or the goal is out of reach."""
        scenario, world = self.scenario, self.world
        well_ms = scenario.weather.well_from_ms
        if scenario.history is not None:
            self._live_through(scenario.history)
        for node in scenario.nodes:
            world.at(node.start_ms, self._nodes[node.name].start)
        for fault in scenario.faults:
            self._plan(fault)
        for honest in self.honest:
            world.at(max(well_ms, 1), partial(_revive, honest))
        if scenario.sync is not None:
            for index in range(len(self.honest)):
                self._plan_sync(index, scenario.sync.every_ms)
        world.run(well_ms, lambda: False)
        if not scenario.goal_blocks:
            world.run(well_ms + AFTERMATH_MS, lambda: False)
            self.judge.close()
            return
        goal = max(node.height for node in self.honest) + scenario.goal_blocks
        in_time = world.run(
            well_ms + scenario.patience_ms, lambda: all(node.height >= goal for node in self.honest)
        )
        self.judge.close()
        tell(self.chain, self.honest[0].database, self._verifier)
        if not in_time:
            heights = [node.height for node in self.honest]
            raise Violation(Oracle.LIVENESS, f"heights {heights} instead of {goal}")

    # What goes wrong

    def _plan(self, fault: Fault) -> None:
        match fault:
            case Crash(node=name, at_ms=at_ms, down_ms=down_ms, actions=actions):
                self.world.at(at_ms, partial(_doom, self._nodes[name], actions))
                self.world.at(at_ms + down_ms, self._nodes[name].start)
            case PowerCut(at_ms=at_ms, down_ms=down_ms):
                for index, node in enumerate(self.honest):
                    self.world.at(at_ms, node.crash)
                    self.world.at(at_ms + down_ms + 37 * index, node.start)
            case Restore(node=name, at_ms=at_ms, down_ms=down_ms, copied_ms=copied_ms):
                self._plan_restore(self._nodes[name], at_ms, down_ms, copied_ms)
            case ClockStep(node=name, at_ms=at_ms, skew_ms=skew_ms):
                self.world.at(at_ms, partial(setattr, self._nodes[name], "skew_ms", skew_ms))

    def _plan_restore(self, node: Validator, at_ms: int, down_ms: int, copied_ms: int) -> None:
        def copy() -> None:
            backup = node.database.backup()

            def restore() -> None:
                node.crash()
                node.restore(backup)

            self.world.at(at_ms, restore)

        self.world.at(copied_ms, copy)
        self.world.at(at_ms + down_ms, node.start)

    def _plan_sync(self, index: int, every_ms: int) -> None:
        """Let an honest node compare itself with another one, again and again."""
        node, stream = self.honest[index], self.world.stream(f"sync {index}")

        def tick() -> None:
            other = stream.choice(self.honest)
            if other.is_up and not self.world.is_cut(node.name, other.name):
                node.fetch_from(other)
            self.world.at(self.world.now_ms + every_ms, tick)

        self.world.at(stream.randint(1, every_ms), tick)

    def _live_through(self, history: History) -> None:
        """Write what happened before the run into the journals."""
        present = [node for name, node in self._nodes.items() if name not in history.absent]
        epoch = self.chain.epoch(EpochIndex(1), self.chain.genesis)
        if history.is_notarized:
            author = epoch.committee.members[epoch.leader(View(1))].key
            timestamp_ms = TimestampMs(self.scenario.block_time_ms)
            request = Build(EpochIndex(1), View(1), self.chain.genesis, timestamp_ms, is_empty=True)
            block = self.chain.build(request, author, b"")
            self.judge.on_block(block)
            for node in present:
                node.database.keep(block)
            self._certify(VoteKind.NOTARIZE, View(1), block_hash(block.header), present)
        for view in range(1, history.views + 1):
            self._certify(VoteKind.NULLIFY, View(view), NO_BLOCK, present)

    def _certify(self, kind: VoteKind, view: View, subject: bytes, present: list[Validator]) -> None:
        """Have everybody that is present vote, and hold the certificate."""
        epoch = self.chain.epoch(EpochIndex(1), self.chain.genesis)
        votes = {}
        for node in present:
            signer = epoch.committee.index_of(node.key.public_key)
            if signer is None or node.is_keyless:
                continue
            message = vote_message(epoch.anchor_hash, kind, epoch.index, view, subject)
            vote = Vote(kind, epoch.index, view, subject, signer, node.key.sign(message))
            if node in self.honest:
                self.judge.on_vote(node, vote, is_known=True)
            node.journal.append(vote)
            votes[signer] = vote
        certificate = certificate_of(votes.values())
        for node in present:
            node.journal.append(certificate)


def _doom(node: Validator, actions: int) -> None:
    node.crash_in = actions


def _revive(node: Validator) -> None:
    node.crash_in = None
    node.start()
