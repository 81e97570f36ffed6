"""The worker under its supervisor: answers, verdicts, crashes, limits, and what it can see."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from inference.certificate import ExactnessCertificate
from inference.engines.interface import run
from inference.engines.reference import NumpyEngine
from inference.graph import Port
from inference.prover import prove, verdict
from inference.refusal import Refusal, Refused
from inference.supervisor import Supervisor, Unable, WorkerLimits
from inference.tensor import Tensor, from_integers
from primitives.hashing import blake2b_256
from tests.inference.build import TO_FLOAT, TO_INT32, file, floats, node, two_layers

MODEL = two_layers()
MODEL_HASH = blake2b_256(MODEL)
INPUTS = (from_integers("int8", (1, 3), (5, -7, 100)),)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shared() -> Iterator[Supervisor]:
    """A worker for tests that leave it well."""
    with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """A worker for tests that harm it."""
    with Supervisor() as supervisor:
        yield supervisor


def fetch() -> bytes:
    return MODEL


def no_fetch() -> bytes:
    raise AssertionError("the worker must hold the model already")


def worker_id(supervisor: Supervisor) -> int:
    """The process id of a worker that has been started."""
    supervisor.network_isolated()
    assert supervisor._worker is not None
    return supervisor._worker._process.pid


def ended(descriptor: int) -> bool:
    """Whether the process behind a pidfd ends within half a minute."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(30_000))


def large() -> bytes:
    """A file that takes seconds to prove."""
    size = 1800
    layers = 3
    nodes = [node("Cast", "x", "h0", to=TO_FLOAT)]
    nodes += [node("MatMul", f"h{at} w", f"h{at + 1}") for at in range(layers)]
    nodes.append(node("Cast", f"h{layers}", "y", to=TO_INT32))
    ports = [Port("x", "int8", (1, size))], [Port("y", "int32", (1, size))]
    weights = [1.0] + [0.0] * (size**2 - 1)
    return file(nodes, *ports, {"w": floats((size, size), weights)})


def test_a_proof_in_the_worker_is_the_proof_here(shared: Supervisor) -> None:
    assert shared.prove(MODEL) == prove(MODEL).certificate


def test_a_refusal_is_a_verdict(shared: Supervisor) -> None:
    answer = shared.prove(b"nonsense")
    assert isinstance(answer, Refusal)
    assert answer == verdict(b"nonsense")


def test_a_run_gives_the_reference_outputs_and_keeps_the_model(shared: Supervisor) -> None:
    expected = run(NumpyEngine(), MODEL, INPUTS)
    assert shared.run(MODEL_HASH, fetch, INPUTS) == expected
    assert shared.run(MODEL_HASH, no_fetch, INPUTS) == expected


def test_the_model_unused_for_longest_is_forgotten(shared: Supervisor) -> None:
    fetched = []
    for scale in [*range(1, 10), 1]:
        data = two_layers(metadata={"exact.scale.x": f"{scale}/1"})

        def fetch_this(data: bytes = data) -> bytes:
            fetched.append(data)
            return data

        shared.run(blake2b_256(data), fetch_this, INPUTS)
    assert len(fetched) == 10


def test_wrong_inputs_and_wrong_models_are_refused(shared: Supervisor) -> None:
    with pytest.raises(Refused, match="1 ports"):
        shared.run(MODEL_HASH, fetch, ())
    with pytest.raises(Refused, match=r"takes int8\[1, 3\]"):
        shared.run(MODEL_HASH, fetch, (from_integers("int8", (3, 1), (1, 2, 3)),))
    with pytest.raises(Refused, match="names no version"):
        shared.run(blake2b_256(b""), lambda: b"", INPUTS)
    with pytest.raises(Refused, match="takes 3 bytes, not 1"):
        shared.run(MODEL_HASH, fetch, (Tensor(dtype="int8", shape=(1, 3), data=b"1"),))


def test_a_file_that_is_too_large_gets_the_same_verdict(shared: Supervisor) -> None:
    data = bytes(64 * 1024 * 1024 + 1)
    assert shared.prove(data) == verdict(data)


def test_a_file_with_another_hash_is_never_run(shared: Supervisor) -> None:
    with pytest.raises(Unable, match="NotLoaded"):
        shared.run(bytes(32), fetch, INPUTS)


def test_the_self_test_passes(shared: Supervisor) -> None:
    shared.self_test()


def test_a_worker_that_ended_between_two_requests_costs_none_of_them(supervisor: Supervisor) -> None:
    first = worker_id(supervisor)
    descriptor = os.pidfd_open(first)
    os.kill(first, signal.SIGKILL)
    assert ended(descriptor)
    os.close(descriptor)
    assert isinstance(supervisor.prove(MODEL), ExactnessCertificate)
    assert worker_id(supervisor) != first


def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    with Supervisor(WorkerLimits(request_s=0.5)) as supervisor:
        first = worker_id(supervisor)
        descriptor = os.pidfd_open(first)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(Unable, match="took too long"):
            supervisor.prove(MODEL)
        assert ended(descriptor)
        os.close(descriptor)


def test_a_worker_that_does_not_read_is_killed() -> None:
    with Supervisor(WorkerLimits(request_s=0.5)) as supervisor:
        os.kill(worker_id(supervisor), signal.SIGSTOP)
        with pytest.raises(Unable, match="took too long"):
            supervisor.prove(bytes(1 << 20))


def test_a_worker_without_processor_time_is_ended_by_the_system() -> None:
    with (
        Supervisor(WorkerLimits(cpu_s=1)) as supervisor,
        pytest.raises(Unable, match="signal SIGXCPU"),
    ):
        supervisor.prove(large())


def test_a_worker_without_memory_is_replaced() -> None:
    with Supervisor(WorkerLimits(memory_bytes=400 << 20)) as supervisor:
        with pytest.raises(Unable, match=r"the worker ended with|out of memory"):
            supervisor.prove(bytes(60 << 20))
        assert supervisor.prove(MODEL) == verdict(MODEL)


def test_a_worker_that_cannot_start_is_unable() -> None:
    with (
        Supervisor(WorkerLimits(memory_bytes=16 << 20)) as supervisor,
        pytest.raises(Unable, match="the worker ended with"),
    ):
        supervisor.prove(MODEL)


def test_closing_leaves_no_process(supervisor: Supervisor) -> None:
    descriptor = os.pidfd_open(worker_id(supervisor))
    supervisor.close()
    assert ended(descriptor)
    os.close(descriptor)
    with pytest.raises(Unable, match="closed"):
        supervisor.prove(MODEL)


def test_closing_ends_a_request_in_another_thread(supervisor: Supervisor) -> None:
    os.kill(worker_id(supervisor), signal.SIGSTOP)
    reasons: list[str] = []

    def ask() -> None:
        try:
            supervisor.prove(MODEL)
        except Unable as unable:
            reasons.append(str(unable))

    thread = Thread(target=ask)
    thread.start()
    supervisor.close()
    thread.join(30)
    assert len(reasons) == 1


def test_a_worker_dies_with_its_parent() -> None:
    script = (
        "import signal; from inference.supervisor import Supervisor; s = Supervisor(); s.network_isolated();"
        "print(s._worker._process.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        assert ended(descriptor)
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_sees_nothing_of_its_parent(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET", "of the parent")
    with (tmp_path / "open").open("wb") as held:
        os.set_inheritable(held.fileno(), True)
        worker = Path(f"/proc/{worker_id(supervisor)}")
        targets = {str(link.readlink()) for link in (worker / "fd").iterdir()}
    assert str(tmp_path / "open") not in targets
    assert b"SECRET" not in (worker / "environ").read_bytes()
    assert (worker / "cwd").readlink().name.endswith(" (deleted)")
    assert os.getpgid(int(worker.name)) == int(worker.name)
    own_network = (worker / "ns" / "net").readlink() != Path("/proc/self/ns/net").readlink()
    assert own_network == supervisor.network_isolated()


def test_the_node_side_loads_no_library() -> None:
    script = (
        "import sys, inference.supervisor, inference.certificate, inference.encoding, inference.scales;"
        "print(sorted({'numpy', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True).stdout
    assert output == b"[]\n"
