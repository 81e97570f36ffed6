"""Every kind of engine serves, behind a worker and from the command line's options."""

from pathlib import Path

import pytest
import typer

from cli.engines import worker_settings
from inference.engines.kinds import EngineKind
from inference.engines.reference import NumpyEngine
from inference.process import WorkerSettings
from inference.prover import prove
from inference.supervisor import Supervisor
from inference.tensor import from_integers
from inference.unable import Unable
from primitives.hashing import blake2b_256
from tests.inference.build import two_layers
from tests.inference.engines.protocol_server import Answer, serving

MODEL = two_layers()
PROOF = prove(MODEL)
X = (from_integers("int8", (1, 3), (5, -7, 100)),)
EXPECTED = NumpyEngine().load(PROOF.canonical).run(X)


def outputs(settings: WorkerSettings) -> object:
    with Supervisor(settings) as supervisor:
        supervisor.self_test()
        return supervisor.run(blake2b_256(MODEL), lambda: MODEL, X, PROOF.certificate.gas)


@pytest.mark.parametrize("kind", [kind for kind in EngineKind if kind is not EngineKind.REMOTE])
def test_each_kind_serves_in_a_worker(kind: EngineKind) -> None:
    assert outputs(worker_settings(kind, None, None)) == EXPECTED


def test_a_server_serves_through_a_worker_that_keeps_the_network(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        settings = worker_settings(EngineKind.REMOTE, server.url, tmp_path)
        assert outputs(settings) == EXPECTED
        with Supervisor(settings) as supervisor:
            protections = supervisor.protections()
    assert protections.memory
    assert {"network", "files", "calls"} <= set(protections.missing())


def test_a_wrong_server_is_refused(tmp_path: Path) -> None:
    def off_by_one(answer: Answer) -> Answer:
        changed = [each | {"data": [value + 1 for value in each["data"]]} for each in answer["outputs"]]
        return answer | {"outputs": changed}

    with serving(tmp_path, off_by_one) as server:
        settings = worker_settings(EngineKind.REMOTE, server.url, tmp_path)
        with (
            Supervisor(settings) as supervisor,
            pytest.raises(Unable, match="fails the self-test 'sums of 1'"),
        ):
            supervisor.self_test()


def test_a_server_that_is_gone_is_unable_and_no_verdict(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        settings = worker_settings(EngineKind.REMOTE, server.url, tmp_path)
    with Supervisor(settings) as supervisor:
        with pytest.raises(Unable, match=r"the server at 127\.0\.0\.1 fails"):
            supervisor.self_test()
        assert supervisor.prove(MODEL) == PROOF.certificate


@pytest.mark.parametrize(
    ("kind", "url", "repository", "reason"),
    [
        (EngineKind.REMOTE, None, None, "name the model server"),
        (EngineKind.REMOTE, "localhost:80", None, "write http://HOST:PORT"),
        (EngineKind.INT8, "http://localhost", None, "only --engine remote has a server"),
        (EngineKind.AUTO, None, Path(), "only --engine remote has a server"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    kind: EngineKind, url: str | None, repository: Path | None, reason: str
) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        worker_settings(kind, url, repository)
