"""The worker under its supervisor: answers, verdicts, crashes, limits, and what it can see."""

import os
import platform
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from msgspec.structs import replace

from benchmarks.gas_sketch import Case, Named, Sketch, ints
from inference import messages
from inference.certificate import ExactnessCertificate, proof_gas
from inference.engines.interface import run
from inference.engines.reference import NumpyEngine
from inference.evaluation import (
    DATASET_BYTES_MAX,
    Classified,
    Metric,
    Row,
    Unusable,
    decode_dataset,
    encode_dataset,
    evaluate,
)
from inference.process import WorkerProcess, WorkerSettings
from inference.prover import prove, verdict
from inference.refusal import Refusal, Refused
from inference.seccomp import MACHINES
from inference.supervisor import Supervisor
from inference.tensor import Tensor, from_integers
from inference.unable import Crashed, Garbled, TimedOut, Unable
from primitives.hashing import blake2b_256
from tests.inference.bad_worker import BAD_TO_LOAD, BAD_TO_RUN
from tests.inference.build import two_layers

MODEL = two_layers()
MODEL_HASH = blake2b_256(MODEL)
GAS = prove(MODEL).certificate.gas
INPUTS = (from_integers("int8", (1, 3), (5, -7, 100)),)

BAD_WORKER = "tests.inference.bad_worker"
BAD_INPUTS = (from_integers("int8", (1, 3), (BAD_TO_RUN, 0, 0)),)
BAD_MODEL = two_layers(metadata={"exact.scale.x": BAD_TO_LOAD.decode()})

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
    supervisor.self_test()
    assert supervisor._worker is not None
    return supervisor._worker.id


def end(supervisor: Supervisor) -> None:
    """Kill an idle worker."""
    descriptor = os.pidfd_open(worker_id(supervisor))
    os.kill(worker_id(supervisor), signal.SIGKILL)
    assert ended(descriptor)
    os.close(descriptor)


def ended(descriptor: int) -> bool:
    """Whether the process behind a pidfd ends within half a minute."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(30_000))


def misbehaving(misdeed: str, base_s: float = 10) -> Supervisor:
    """A supervisor of the program in `bad_worker`."""
    return Supervisor(
        WorkerSettings(module=BAD_WORKER, engine=misdeed, base_s=base_s, memory_bytes=1 << 30, start_s=10)
    )


def test_a_proof_in_the_worker_is_the_proof_here(shared: Supervisor) -> None:
    assert shared.prove(MODEL) == prove(MODEL).certificate


def test_a_refusal_is_a_verdict(shared: Supervisor) -> None:
    answer = shared.prove(b"nonsense")
    assert isinstance(answer, Refusal)
    assert answer == verdict(b"nonsense")


def test_a_run_gives_the_reference_outputs_and_keeps_the_model(shared: Supervisor) -> None:
    expected = run(NumpyEngine(), MODEL, INPUTS)
    assert shared.run(MODEL_HASH, fetch, INPUTS, GAS) == expected
    assert shared.run(MODEL_HASH, no_fetch, INPUTS, GAS) == expected


def evaluating(first: int, data: bytes | None = None) -> messages.Evaluate:
    """A measurement on 300 rows that start with that number, unless it is on `data`."""
    rows = [
        Row((from_integers("int8", (1, 3), (first, at % 100, -2)),), from_integers("uint8", (), (at % 3,)))
        for at in range(300)
    ]
    return messages.Evaluate(
        file_hash=MODEL_HASH,
        certificate=prove(MODEL).certificate,
        metric=Metric.CLASSIFICATION,
        rows=len(rows),
        data=encode_dataset(rows) if data is None else data,
    )


def test_an_evaluation_is_what_the_rows_one_by_one_come_to(supervisor: Supervisor) -> None:
    request = evaluating(1)
    rows, model = decode_dataset(request.data), NumpyEngine().load(MODEL)
    expected = evaluate(request.certificate, request.metric, rows, model.run)
    assert supervisor.evaluate(request, fetch) == expected
    assert supervisor.evaluate(request, no_fetch) == expected
    assert supervisor.has_run(MODEL_HASH)


def test_an_evaluation_may_take_the_time_of_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[int] = []

    def allow(gas: int) -> float:
        allowed.append(gas)
        return 0.0

    monkeypatch.setattr("inference.supervisor.allowance_s", allow)
    request = evaluating(1)
    with Supervisor() as supervisor:
        supervisor.evaluate(request, fetch)
    assert allowed == [request.gas, proof_gas(len(MODEL)) + GAS, request.gas]
    assert request.gas > 300 * GAS


@pytest.mark.parametrize("data", [b"", b"\xdd\xff\xff\xff\xff", bytes(DATASET_BYTES_MAX)])
def test_what_is_no_data_set_is_a_verdict(shared: Supervisor, data: bytes) -> None:
    assert shared.evaluate(evaluating(1, data), fetch) == Unusable(0, "it is no data set")


def test_an_evaluation_of_what_cannot_be_proved_is_refused(shared: Supervisor) -> None:
    request = replace(evaluating(1), file_hash=blake2b_256(b""))
    with pytest.raises(Refused, match="names no version"):
        shared.evaluate(request, lambda: b"")


@pytest.mark.parametrize("misdeed", ["die", "loop", "exhaust_memory", "send_garbage"])
def test_a_failed_evaluation_costs_its_request_alone(misdeed: str) -> None:
    kind, words = FAILURES[misdeed]
    with misbehaving(misdeed, base_s=1 if kind is TimedOut else 10) as supervisor:
        with pytest.raises(Unable, match=words) as caught:
            supervisor.evaluate(evaluating(BAD_TO_RUN), fetch)
        assert caught.type is kind
        assert isinstance(supervisor.evaluate(evaluating(1), fetch), Classified)


def test_the_supervisor_knows_what_its_worker_ran(supervisor: Supervisor) -> None:
    assert not supervisor.has_run(MODEL_HASH)
    supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)
    assert supervisor.has_run(MODEL_HASH)
    end(supervisor)
    supervisor.self_test()
    assert not supervisor.has_run(MODEL_HASH)


def test_wrong_inputs_and_wrong_models_are_refused(shared: Supervisor) -> None:
    with pytest.raises(Refused, match=r"expected 1: x int8\[1, 3\]; not 0"):
        shared.run(MODEL_HASH, fetch, (), GAS)
    with pytest.raises(Refused, match=r"takes int8\[1, 3\]"):
        shared.run(MODEL_HASH, fetch, (from_integers("int8", (3, 1), (1, 2, 3)),), GAS)
    with pytest.raises(Refused, match="names no version"):
        shared.run(blake2b_256(b""), lambda: b"", INPUTS, GAS)
    with pytest.raises(Refused, match="takes 3 bytes, not 1"):
        shared.run(MODEL_HASH, fetch, (Tensor(dtype="int8", shape=(1, 3), data=b"1"),), GAS)


def test_a_file_that_is_too_large_gets_the_same_verdict(shared: Supervisor) -> None:
    data = bytes(64 * 1024 * 1024 + 1)
    assert shared.prove(data) == verdict(data)


def test_a_file_with_another_hash_is_never_run(shared: Supervisor) -> None:
    with pytest.raises(Unable, match="NotLoaded"):
        shared.run(bytes(32), fetch, INPUTS, GAS)


def test_the_self_test_passes(shared: Supervisor) -> None:
    shared.self_test()


def test_a_worker_that_ended_between_two_requests_costs_none_of_them(supervisor: Supervisor) -> None:
    first = worker_id(supervisor)
    end(supervisor)
    assert isinstance(supervisor.prove(MODEL), ExactnessCertificate)
    assert worker_id(supervisor) != first


def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    with Supervisor(WorkerSettings(base_s=0.1)) as supervisor:
        first = worker_id(supervisor)
        descriptor = os.pidfd_open(first)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(Unable, match="took too long"):
            supervisor.prove(MODEL)
        assert ended(descriptor)
        os.close(descriptor)


def test_a_worker_that_does_not_read_is_killed() -> None:
    with Supervisor(WorkerSettings(base_s=0.1)) as supervisor:
        os.kill(worker_id(supervisor), signal.SIGSTOP)
        with pytest.raises(Unable, match="took too long"):
            supervisor.prove(bytes(1 << 17))


def test_a_worker_without_processor_time_is_ended_by_the_system() -> None:
    settings = WorkerSettings(module=BAD_WORKER, engine="loop", base_s=1)
    worker = WorkerProcess(settings)
    worker.greet(60)
    assert isinstance(worker.ask(messages.REQUEST.encode(messages.Load(model=MODEL)), 60), messages.Loaded)
    with pytest.raises(Crashed, match="signal SIGXCPU"):
        worker.ask(messages.REQUEST.encode(messages.Run(file_hash=MODEL_HASH, inputs=BAD_INPUTS)), 60)
    worker.release()


def test_a_worker_without_memory_is_replaced() -> None:
    with Supervisor(WorkerSettings(memory_bytes=400 << 20)) as supervisor:
        with pytest.raises(Unable, match=r"the worker ended with|out of memory"):
            supervisor.prove(bytes(60 << 20))
        assert supervisor.prove(MODEL) == verdict(MODEL)


def test_a_model_larger_than_the_memory_fails_alone() -> None:
    """Three tensors of 256 MiB at one time, which the default engine asks the system for."""
    model = Case((1, 8192), _spread, high=1).models()[1]
    certificate = prove(model).certificate
    assert certificate.peak_bytes > 700 << 20
    inputs = (from_integers("int8", (1, 8192), [1] * 8192),)
    with Supervisor(WorkerSettings(memory_bytes=500 << 20)) as supervisor:
        for _ in range(2):
            with pytest.raises(Unable, match=r"Non-zero status code|out of memory"):
                supervisor.run(blake2b_256(model), lambda: model, inputs, certificate.gas)
        assert len(supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)) == 2
        assert supervisor.ended == {}


def _spread(sketch: Sketch, ends: tuple[Named, ...]) -> tuple[Named, ...]:
    """A row many times, and the same turned, of which each element is compared."""
    rows = sketch.add("Expand", ends[-1][0], ints(8192, 8192))
    turned = sketch.add("Transpose", rows, perm=(1, 0))
    return ((sketch.add("Max", rows, turned), 2),)


def test_a_worker_that_cannot_start_is_unable() -> None:
    with (
        Supervisor(WorkerSettings(memory_bytes=16 << 20)) as supervisor,
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
        "import signal; from inference.supervisor import Supervisor; s = Supervisor(); s.self_test();"
        "print(s._worker.id, flush=True); signal.pause()"
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
    assert own_network == supervisor.protections().network


FAILURES = {
    "die": (Crashed, "signal SIGKILL"),
    "crash": (Crashed, "signal SIGSEGV"),
    "end_without_a_name": (Crashed, "signal 40"),
    "loop": (TimedOut, "took too long"),
    "stop": (TimedOut, "took too long"),
    "send_part": (TimedOut, "took too long"),
    "send_without_end": (Garbled, "makes no sense"),
    "complain_without_end": (Unable, "File too large"),
    "exhaust_memory": (Unable, "out of memory"),
    "send_garbage": (Garbled, "makes no sense"),
    "send_too_much": (Garbled, "a reply of 4294967295 bytes"),
    "send_half": (Crashed, "signal SIGKILL"),
    "send_nothing_more": (Crashed, "the worker ended"),
}
"""What becomes of the request for each misdeed that no system can forbid."""


@pytest.mark.parametrize("misdeed", FAILURES)
def test_a_failure_costs_its_request_alone(misdeed: str) -> None:
    kind, words = FAILURES[misdeed]
    with misbehaving(misdeed, base_s=1 if kind is TimedOut else 10) as supervisor:
        expected = supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)
        with pytest.raises(Unable, match=words) as caught:
            supervisor.run(MODEL_HASH, fetch, BAD_INPUTS, GAS)
        assert caught.type is kind
        assert supervisor.run(MODEL_HASH, fetch, INPUTS, GAS) == expected
        assert supervisor.ended == ({} if kind is Unable else {kind.__name__: 1})


def test_a_crash_while_loading_costs_its_request_alone() -> None:
    with misbehaving("die") as supervisor:
        with pytest.raises(Crashed):
            supervisor.run(blake2b_256(BAD_MODEL), lambda: BAD_MODEL, INPUTS, GAS)
        assert len(supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)) == 2


def test_an_answer_that_nobody_asked_is_never_taken_for_another() -> None:
    with misbehaving("send_twice") as supervisor:
        supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)
        with pytest.raises(Unable, match="answered Loaded"):
            supervisor.run(MODEL_HASH, fetch, BAD_INPUTS, GAS)
        assert supervisor._worker is not None
        assert supervisor._worker._readable.poll(30_000)
        with pytest.raises(Garbled, match="nobody asked"):
            supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)
        assert len(supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)) == 2


def test_what_a_library_prints_is_no_answer() -> None:
    with misbehaving("talk") as supervisor:
        assert len(supervisor.run(MODEL_HASH, fetch, BAD_INPUTS, GAS)) == 2
        assert supervisor.ended == {}


@pytest.mark.parametrize("start", ["start_die", "start_garbage", "start_without_greeting"])
def test_a_worker_that_does_not_greet_is_unable(start: str) -> None:
    with misbehaving(start) as supervisor, pytest.raises(Unable):
        supervisor.prove(MODEL)


def test_a_worker_that_hangs_at_its_start_is_ended() -> None:
    settings = WorkerSettings(module=BAD_WORKER, engine="start_loop", start_s=0.5)
    with Supervisor(settings) as supervisor, pytest.raises(TimedOut):
        supervisor.prove(MODEL)


def test_an_engine_that_fails_the_self_test_runs_nothing() -> None:
    with misbehaving("flatter") as supervisor:
        with pytest.raises(Unable, match="fails the self-test 'sums of 1'"):
            supervisor.self_test()
        with pytest.raises(Unable, match="fails the self-test"):
            supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)
        assert supervisor.prove(MODEL) == prove(MODEL).certificate


FORBIDDEN = ("fork", "execute", "connect", "kill_parent", "read_file", "write_file")


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES, reason="needs a filter of system calls"
)
@pytest.mark.parametrize("misdeed", FORBIDDEN)
def test_a_worker_can_touch_nothing_else(misdeed: str) -> None:
    with misbehaving(misdeed) as supervisor:
        assert supervisor.protections().calls
        first = worker_id(supervisor)
        with pytest.raises(Unable, match="PermissionError"):
            supervisor.run(MODEL_HASH, fetch, BAD_INPUTS, GAS)
        assert worker_id(supervisor) == first


def test_threads_without_end_are_stopped_by_the_limit_on_memory() -> None:
    with misbehaving("start_threads") as supervisor:
        with pytest.raises(Unable, match="can't start new thread"):
            supervisor.run(MODEL_HASH, fetch, BAD_INPUTS, GAS)
        assert len(supervisor.run(MODEL_HASH, fetch, INPUTS, GAS)) == 2


def test_the_node_side_loads_no_library() -> None:
    script = (
        "import sys, inference.pool, inference.certificate, inference.encoding, inference.scales;"
        "print(sorted({'numpy', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True).stdout
    assert output == b"[]\n"
