"""A network of real node processes on this machine: made, started, killed, restarted and stopped.

Every process leads a group and a session of its own. What is known about it is in files, so that another
`consil` can stop what this one started: a process id counts only together with the time at which that process
was started, because the system gives the ids of dead processes to new ones.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import msgspec
import psutil  # type: ignore[import-untyped]  # published without type information

from cli.testnet_plan import NODES_MAX, NodePlan, TestnetError, first_ports, make_plans
from node.keystore.store import KeystoreError
from node.network.fault_plan import BadPlan, FaultPlan, read_plan, write_plan
from node.rpc.client import ClientError, RpcClient

STOP_TIMEOUT_S: Final = 10.0
"""How long a node may take to stop by itself before it is killed."""

_SAME_START_S: Final = 1.0
"""Two readings of a process's start differ by less than this, even if the clock was adjusted between them."""

_POLL_S: Final = 0.05

CONSIL: Final = (sys.executable, "-P", "-m", "cli")
"""How `consil` is run as a process, whatever the search path is."""

_NETWORK_FILE: Final = "testnet.json"
_CHAIN_FILE: Final = "chain.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a node says about itself; None where it does not answer or does not run."""

    name: str
    role: str
    pid: int | None
    finalized: int | None
    peers: int | None
    rss_bytes: int | None
    rpc: str
    paused: bool
    faults: FaultPlan


class Testnet:
    """The network in one directory."""

    __test__ = False

    def __init__(self, directory: Path, nodes: Sequence[NodePlan], program: Sequence[str] = CONSIL) -> None:
        """For `create` and `open`; `program` is what `node run` and its options are given to."""
        self.directory = directory
        """Absolute; everything of the network is in it."""

        self.nodes = tuple(nodes)
        """Validators first."""

        self._program = tuple(program)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def exists(directory: Path) -> bool:
        """Whether `directory` holds a network, running or not."""
        return (directory.expanduser() / _NETWORK_FILE).exists()

    @classmethod
    def create(
        cls,
        directory: Path,
        validators: int = 4,
        full_nodes: int = 0,
        program: Sequence[str] = CONSIL,
        programs: Mapping[str, str] = MappingProxyType({}),
        pace: str = "local",
    ) -> Self:
        """A new network: keys, ports, chain specification. Raises TestnetError if there is one already.

        `programs`: by node name, a module to run in the place of `program`. `pace`: one of PACES.
        """
        from cli.testnet_genesis import make_chain

        directory = directory.expanduser().absolute()
        if cls.exists(directory):
            advice = f"take another --dir, or `consil testnet down --dir {directory} --purge`"
            raise TestnetError(f"there is a network in {directory}: {advice}")
        if not 1 <= validators <= validators + full_nodes <= NODES_MAX:
            raise TestnetError(f"a network has at least one validator and at most {NODES_MAX} nodes")
        names = [f"validator-{index}" for index in range(1, validators + 1)]
        names += [f"node-{index}" for index in range(1, full_nodes + 1)]
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            chain = directory / _CHAIN_FILE
            peer_ids = make_chain(directory, chain, names[:validators], names[validators:], pace)
            plans = make_plans(names, validators, peer_ids, first_ports(directory), programs)
            document = json.dumps([asdict(plan) for plan in plans], indent=2)
            (directory / _NETWORK_FILE).write_text(document + "\n", encoding="utf-8")
        except OSError as error:
            told = f"cannot write to {directory} ({error.strerror})"
            raise TestnetError(f"{told}: choose another --dir") from None
        except KeystoreError as error:
            raise TestnetError(str(error)) from None
        return cls(directory, plans, program)

    @classmethod
    def open(cls, directory: Path, program: Sequence[str] = CONSIL) -> Self:
        """The network that was created in `directory`. Raises TestnetError if there is none."""
        directory = directory.expanduser().absolute()
        try:
            data = (directory / _NETWORK_FILE).read_bytes()
            return cls(directory, msgspec.json.decode(data, type=list[NodePlan]), program)
        except FileNotFoundError:
            raise TestnetError(
                f"no network in {directory}: make one with `consil testnet up --dir {directory}`"
            ) from None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            path = directory / _NETWORK_FILE
            raise TestnetError(
                f"cannot read {path} ({error}): stop its nodes and remove the directory"
            ) from None

    def start(self) -> None:
        """Start every node that does not run. Raises TestnetError."""
        for plan in self.nodes:
            self.start_node(plan.name)

    def kill(self, name: str) -> None:
        """End a node at once, as a power cut would. Raises TestnetError if it does not run."""
        self._end(name, self._running(name), signal.SIGKILL)

    def pause(self, name: str) -> None:
        """Stop a node in the middle of what it does. Raises TestnetError if it does not run."""
        self._signal_running(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused node go on. Raises TestnetError if it does not run."""
        self._signal_running(name, signal.SIGCONT)

    def is_paused(self, name: str) -> bool:
        """Whether a node runs and is paused."""
        process = self.process(name)
        try:
            return process is not None and process.status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    def faults(self, name: str) -> FaultPlan:
        """What is wrong on purpose with a node, whether it runs or not. Raises TestnetError."""
        try:
            return read_plan(self._faults_file(name))
        except BadPlan as error:
            raise TestnetError(f"{error}: remove it") from None

    def set_faults(self, name: str, plan: FaultPlan) -> None:
        """Put other faults in force at a node, from now on and after each start. Raises TestnetError."""
        try:
            write_plan(self._faults_file(name), plan)
        except OSError as error:
            raise TestnetError(f"cannot write to {self.directory} ({error.strerror}): make room") from None
        process = self.process(name)
        if process is not None:
            _signal_one(process, signal.SIGHUP)

    def restart(self, name: str) -> None:
        """Start a node again, on the data that it has; one that runs is stopped first."""
        plan = self.plan(name)
        process = self.process(name)
        if process is not None:
            self._end(name, process, signal.SIGTERM)
        self._spawn(plan)

    def start_node(self, name: str) -> None:
        """Start a node, unless it runs. Raises TestnetError."""
        plan = self.plan(name)
        if self.process(name) is None:
            self._spawn(plan)

    def stop_node(self, name: str) -> None:
        """Ask a node to stop, and see that it does. Raises TestnetError if it does not run."""
        self._end(name, self._running(name), signal.SIGTERM)

    def stop(self) -> None:
        """Stop every node, all at the same time; those that do not stop in time are killed."""
        running = [(plan.name, process) for plan in self.nodes if (process := self.process(plan.name))]
        for _, process in running:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for name, process in running:
            self._await_end(name, process, deadline)

    def command(self, *words: str) -> str:
        """What a person types to do something with this network."""
        return f"consil testnet {' '.join(words)} --dir {self.directory}"

    def plan(self, name: str) -> NodePlan:
        """The node of that name. Raises TestnetError if there is none."""
        for plan in self.nodes:
            if plan.name == name:
                return plan
        raise TestnetError(f"no node '{name}': there are {', '.join(plan.name for plan in self.nodes)}")

    def process(self, name: str) -> psutil.Process | None:
        """The running process of a node, or None. Raises TestnetError for an unknown name."""
        self.plan(name)
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            return psutil.Process(child.pid)
        try:
            noted = json.loads(self._pid_file(name).read_bytes())
            process = psutil.Process(noted["pid"])
            is_same = abs(process.create_time() - noted["started"]) < _SAME_START_S
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None
        return process if is_same and _is_alive(process) else None

    def rpc(self, name: str) -> RpcClient:
        """A client of the node; the caller closes it."""
        return RpcClient(self.plan(name).rpc_url)

    def rss_bytes(self, name: str) -> int:
        """Memory that a node takes up, its worker left out. Raises TestnetError if it does not run."""
        return int(self._running(name).memory_info().rss)

    def log_file(self, name: str) -> Path:
        """Where the node's output goes."""
        return self.directory / f"{self.plan(name).name}.log"

    def status(self) -> list[NodeStatus]:
        """What every node says about itself."""
        return [self._status(plan) for plan in self.nodes]

    def wait_finalized(
        self,
        height: int,
        timeout_s: float,
        names: Sequence[str] | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Return once the nodes (None: all) have finalized `height`; `note` hears how far they are.

        Raises TestnetError if one of them ends, or is late.
        """
        deadline = time.monotonic() + timeout_s
        for name in [plan.name for plan in self.nodes] if names is None else names:
            with self.rpc(name) as client:
                while (reached := self._finalized_or_zero(name, client)) < height:
                    if time.monotonic() > deadline:
                        told = f"{name} is at block {reached} after {timeout_s:g} s, not at {height}"
                        raise TestnetError(f"{told}: `{self.command('logs', name)}` says why")
                    note(f"waiting for block {height} on every node; {name} is at {reached}")
                    time.sleep(_POLL_S)

    def _finalized_or_zero(self, name: str, client: RpcClient) -> int:
        """Raises TestnetError, with the last line of its log, if the node does not run."""
        if self.process(name) is None:
            lines = self.log_file(name).read_text(encoding="utf-8", errors="replace").splitlines()
            raise TestnetError(f"{name} has stopped: {lines[-1] if lines else 'it printed nothing'}")
        try:
            return finalized_height(client)
        except ClientError:
            return 0

    def _spawn(self, plan: NodePlan) -> None:
        """Raises TestnetError."""
        program = self._program if plan.program is None else (sys.executable, "-m", plan.program)
        command = [*program, "node", "run", "--chain", str(self.directory / _CHAIN_FILE)]
        command += ["--name", plan.name, "--base-path", str(self.directory / plan.name)]
        command += ["--listen", f"/ip4/127.0.0.1/tcp/{plan.p2p_port}", "--rpc-port", str(plan.rpc_port)]
        command += ["--prometheus-port", str(plan.metrics_port)]
        command += ["--faults", str(self._faults_file(plan.name))]
        command += ["--validator"] if plan.validator else []
        for other in self.nodes:
            command += ["--bootnode", other.address] if other.name != plan.name else []
        try:
            with uninterrupted(), _hangup_ignored(), self.log_file(plan.name).open("ab") as log:
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
                self._children[plan.name] = child
            noted = {"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
            self._pid_file(plan.name).write_text(json.dumps(noted), encoding="ascii")
        except OSError as error:
            raise TestnetError(f"cannot start {plan.name} ({error}): is the disk full?") from None

    def _running(self, name: str) -> psutil.Process:
        """Raises TestnetError."""
        process = self.process(name)
        if process is None:
            raise TestnetError(f"{name} does not run: `{self.command('restart', name)}` starts it")
        return process

    def _signal_running(self, name: str, number: signal.Signals) -> None:
        """Raises TestnetError."""
        _signal(self._running(name), number)

    def _end(self, name: str, process: psutil.Process, number: signal.Signals) -> None:
        _signal(process, number)
        self._await_end(name, process, time.monotonic() + STOP_TIMEOUT_S)

    def _await_end(self, name: str, process: psutil.Process, deadline: float) -> None:
        """Wait until the process is gone, killing it at the deadline, and forget it."""
        while _is_alive(process):
            if time.monotonic() > deadline:
                _signal(process, signal.SIGKILL)
            time.sleep(_POLL_S)
        child = self._children.pop(name, None)
        if child is not None:
            child.wait()
        self._pid_file(name).unlink(missing_ok=True)

    def _status(self, plan: NodePlan) -> NodeStatus:
        process = self.process(plan.name)
        finalized = peers = rss = None
        paused = self.is_paused(plan.name)
        if process is not None and not paused:
            try:
                rss = process.memory_info().rss
                with RpcClient(plan.rpc_url, timeout_s=2.0) as client:
                    finalized = finalized_height(client)
                    peers = client.call("system_health")["peers"]
            except (ClientError, psutil.Error):
                pass
        return NodeStatus(
            name=plan.name,
            role="validator" if plan.validator else "full node",
            pid=process.pid if process else None,
            finalized=finalized,
            peers=peers,
            rss_bytes=rss,
            rpc=plan.rpc_url,
            paused=paused,
            faults=self.faults(plan.name),
        )

    def _faults_file(self, name: str) -> Path:
        return self.directory / f"{self.plan(name).name}.faults"

    def _pid_file(self, name: str) -> Path:
        return self.directory / f"{name}.pid"


def finalized_height(client: RpcClient) -> int:
    """The height of the newest finalized block of a node. Raises ClientError."""
    return int(client.call("chain_getHeader", client.call("chain_getFinalizedHead"))["height"])


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C and its like off until the end of the block, in the main thread.

    A process that was started must not be forgotten because a signal came before it was noted.
    """
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended counts as gone, even before its parent has noticed."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


@contextmanager
def _hangup_ignored() -> Iterator[None]:
    """A child that is born meanwhile ignores SIGHUP: a change of its faults must not end it before it listens
    to them. Signals that are ignored stay so in a new program, other than those that are handled."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """Signal the whole group of a node; one that is gone needs none. One that is paused hears SIGTERM too."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
        if number == signal.SIGTERM:
            os.killpg(process.pid, signal.SIGCONT)


def _signal_one(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a node without its worker."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
